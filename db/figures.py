"""Figures of one agency: counted by ``FigureStore.refresh``, read as they were counted.

What is kept is small: a row of totals, accounts by some respects, money and work by day and collector.
Everything is counted anew each time, so that no mistake lasts longer than until the next time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text

from db import figures_sql
from db.store import Store
from domain.accounts import OPEN_STATUSES

if TYPE_CHECKING:
    from db.readings import Readings
    from domain.figures import Days

KNOWN_AFTER = timedelta(minutes=1)
"""How long after a change PostgreSQL's statistics tell of it, at the latest (``PGSTAT_MAX_INTERVAL``)."""

SMALL = 20_000
"""Accounts that are counted within some hundredths of a second."""


class Standing(NamedTuple):
    """Since when an agency's figures hold, and how long counting them took."""

    as_of: datetime
    took: timedelta


@dataclass(frozen=True, slots=True)
class Totals:
    """An agency's totals. ``today`` is the day by which ages are counted; ``age`` of them, now."""

    as_of: datetime
    age: timedelta
    took: timedelta
    currency: str
    zone: str
    today: date
    payments: int
    received: Decimal
    refunded: Decimal
    charged_back: Decimal
    collected: Decimal
    owed_back: Decimal
    attempts: int
    right_party: int
    promises_open: int
    promises_kept: int
    promises_broken: int
    promises_cancelled: int
    breaks: int
    breaks_elsewhere: int
    breaks_value: Decimal


class Slice(NamedTuple):
    """Accounts that are alike in one respect: ``status``, ``risk`` ('' is none), ``aging``, ``collector``."""

    respect: str
    part: str
    accounts: int
    placed: Decimal
    balance: Decimal


class Happened(NamedTuple):
    """What happened on one day, or in some days by one collector (``key``)."""

    key: Any
    payments: int
    received: Decimal
    refunded: Decimal
    charged_back: Decimal
    collected: Decimal
    owed_back: Decimal
    attempts: int
    right_party: int
    promises_kept: int
    promises_broken: int


class Person(NamedTuple):
    """A collector of the agency."""

    id: UUID
    full_name: str
    active: bool


class FigureStore(Store):
    """Counting. The caller's transaction is a snapshot, so that all figures are of one moment."""

    async def refresh(self, changes: str, *, if_changed: bool) -> Standing | None:
        """Count everything anew; None while somebody else does, whose transaction is still open.

        ``changes`` is what ``FigureReadings.changes`` said before this transaction began. ``if_changed``:
        only when it says more than the last time, or a day has begun since; else the figures hold still.
        ``Unavailable`` when somebody else has finished meanwhile.
        """
        if not await self._session.scalar(_LOCK, self._lock):
            return None
        agency = (await self._session.execute(_AGENCY, {"agency": self._agency_id})).one()
        as_of = await self._now()
        values = {
            "agency": self._agency_id,
            "zone": agency.time_zone,
            "currency": agency.currency,
            "today": as_of.astimezone(ZoneInfo(agency.time_zone)).date(),
            "as_of": as_of,
            "changes": changes,
            "open": sorted(OPEN_STATUSES),
            "known_after": KNOWN_AFTER,
        }
        if if_changed and (row := (await self._session.execute(_HOLD, values)).one_or_none()):
            return _standing(row)
        # Row by row, the join of a large agency that is new to the planner would be quadratic.
        await self._session.execute(_NESTLOOP, {"nestloop": "off"})
        await self._session.execute(_ACCOUNTS, values)
        await self._session.execute(_NESTLOOP, {"nestloop": "on"})
        await self._session.execute(_DAYS, values)
        return _standing((await self._session.execute(_TOTALS, values)).one())

    async def wait(self) -> None:
        """Until whoever counts at this moment has finished."""
        await self._session.execute(_WAIT, self._lock)

    @property
    def _lock(self) -> dict[str, str]:
        return {"name": f"figures/{self._agency_id}"}

    async def is_small(self) -> bool:
        """Whether the agency has so few accounts that they may be counted while somebody waits."""
        return bool(await self._session.scalar(_IS_SMALL, {"agency": self._agency_id, "small": SMALL}))


def _standing(row: Any) -> Standing:
    return Standing(row.as_of, timedelta(milliseconds=row.took_ms))


class FigureReadings:
    """Figures as they were counted last, each answer one statement."""

    def __init__(self, readings: "Readings") -> None:
        self._readings = readings

    async def changes(self) -> str:
        """How much has changed in the tables that figures are counted from, in words that only compare.

        By PostgreSQL's statistics, so that changes of other agencies count, too, and one is told of within
        ``KNOWN_AFTER``.
        """
        [(changes,)] = await self._readings.rows(figures_sql.CHANGES, {})
        return str(changes)

    async def accounts(self) -> tuple[Totals, Sequence[Slice]] | None:
        """Totals, and accounts by all respects but the collector; None before they were first counted."""
        rows = await self._readings.rows(_BY_RESPECT, self._values())
        return (_totals(rows[0]), [Slice(*row[_OWN:]) for row in rows if row[_OWN]]) if rows else None

    async def by_day(self, days: "Days") -> tuple[Totals, Sequence[Happened]] | None:
        """Totals, and what happened on each day of ``days`` on which anything did."""
        rows = await self._readings.rows(_BY_DAY, {**self._values(), "first": days.first, "last": days.last})
        return (_totals(rows[0]), [Happened(*row[_OWN:]) for row in rows if row[_OWN]]) if rows else None

    async def totals(self) -> Totals | None:
        """Totals alone."""
        rows = await self._readings.rows(_TOTALS_NOW, self._values())
        return _totals(rows[0]) if rows else None

    async def by_collector(
        self, days: "Days", only: UUID | None
    ) -> tuple[Totals, Sequence[tuple[Person | None, Slice, Happened]]] | None:
        """Totals; of each collector (None: nobody) what they hold and what happened in ``days``.

        ``only`` this collector, unless None. Who holds nothing and has done nothing is there, too.
        """
        values = {**self._values(), "first": days.first, "last": days.last, "only": only}
        rows = await self._readings.rows(_BY_COLLECTOR, values)
        if not rows:
            return None
        found = []
        for row in rows:
            collector_id, full_name, active, accounts, placed, balance, *happened = row[_OWN:]
            if collector_id is None:
                continue
            person = None if full_name is None else Person(collector_id, full_name, active)
            held = Slice("collector", str(collector_id), accounts, placed, balance)
            found.append((person, held, Happened(collector_id, *happened)))
        return _totals(rows[0]), found

    def _values(self) -> dict[str, Any]:
        return {"agency": self._readings.tenant.agency_id}


_OWN = len(Totals.__dataclass_fields__)
"""How many columns of a row are totals; those of what they stand beside follow."""


def _totals(row: Sequence[Any]) -> Totals:
    as_of, age, took_ms, *others = row[:_OWN]
    return Totals(as_of, age, timedelta(milliseconds=took_ms), *others)


_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
_WAIT = text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 0))")
_AGENCY = text("SELECT time_zone, currency FROM agency WHERE id = :agency")
_NESTLOOP = text("SELECT set_config('enable_nestloop', :nestloop, true)")
_HOLD = text("""
    UPDATE figures SET as_of = GREATEST(as_of, CAST(:as_of AS timestamptz) - CAST(:known_after AS interval))
     WHERE agency_id = :agency AND changes = :changes AND today = :today
    RETURNING as_of, took_ms
""")
_ACCOUNTS = text(figures_sql.ACCOUNTS)
_DAYS = text(figures_sql.DAYS)
_TOTALS = text(f"{figures_sql.TOTALS} RETURNING as_of, took_ms")
_IS_SMALL = text("""
    SELECT count(*) <= :small FROM (SELECT FROM account WHERE agency_id = :agency LIMIT :small + 1) found
""")

_SHOWN = f"""
    f.as_of, clock_timestamp() - f.as_of, f.took_ms, g.currency, g.time_zone, f.today,
    {", ".join(f"f.{name}" for name in figures_sql.TOTAL_COLUMNS)}"""
_OF_AGENCY = "figures f JOIN agency g ON g.id = f.agency_id"
_SUMS = ", ".join(f"COALESCE(sum({name}), 0) AS {name}" for name in figures_sql.DAILY_COLUMNS)

_TOTALS_NOW = f"SELECT {_SHOWN} FROM {_OF_AGENCY} WHERE f.agency_id = %(agency)s".encode()

_BY_RESPECT = f"""
    SELECT {_SHOWN}, s.slice, s.part, s.accounts, s.placed, s.balance
      FROM {_OF_AGENCY}
      LEFT JOIN account_figure s ON s.agency_id = f.agency_id AND s.slice <> 'collector'
     WHERE f.agency_id = %(agency)s
""".encode()

_BY_DAY = f"""
    SELECT {_SHOWN}, d.day, {", ".join(f"d.{name}" for name in figures_sql.DAILY_COLUMNS)}
      FROM {_OF_AGENCY}
      LEFT JOIN (
        SELECT day, {_SUMS} FROM daily_figure
         WHERE agency_id = %(agency)s AND day BETWEEN %(first)s AND %(last)s
         GROUP BY day) d ON true
     WHERE f.agency_id = %(agency)s
     ORDER BY d.day
""".encode()

_BY_COLLECTOR = f"""
    SELECT {_SHOWN}, p.id, p.full_name, p.active, COALESCE(s.accounts, 0), COALESCE(s.placed, 0),
           COALESCE(s.balance, 0), {", ".join(f"COALESCE(d.{name}, 0)" for name in figures_sql.DAILY_COLUMNS)}
      FROM {_OF_AGENCY}
      LEFT JOIN (
        SELECT id, full_name, active FROM collector WHERE agency_id = %(agency)s
        UNION ALL
        SELECT {figures_sql.NOBODY}, NULL, false WHERE CAST(%(only)s AS uuid) IS NULL) p
        ON CAST(%(only)s AS uuid) IS NULL OR p.id = CAST(%(only)s AS uuid)
      LEFT JOIN account_figure s
        ON s.agency_id = f.agency_id AND s.slice = 'collector' AND s.part = p.id::text
      LEFT JOIN (
        SELECT collector_id, {_SUMS} FROM daily_figure
         WHERE agency_id = %(agency)s AND day BETWEEN %(first)s AND %(last)s
           AND (CAST(%(only)s AS uuid) IS NULL OR collector_id = CAST(%(only)s AS uuid))
         GROUP BY collector_id) d ON d.collector_id = p.id
     WHERE f.agency_id = %(agency)s
     ORDER BY d.collected DESC NULLS LAST, p.full_name, p.id
""".encode()
