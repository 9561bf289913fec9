"""Figures of an installation for monitoring: what it does, what waits in it, whether its books are sound.

All agencies together; no figure tells of a single one.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from temporalio.service import RPCError

from domain.errors import Unavailable
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from temporalio.client import Client, ScheduleListDescription

    from db.operating_figures import Waiting
    from db.session import Database
    from services.health import Readiness

ACTOR = "monitoring"


@dataclass(slots=True)
class Queue:
    """What waits, by status, and for how long (seconds) the oldest of each has."""

    counts: Counter[str] = field(default_factory=Counter)
    oldest_s: dict[str, float] = field(default_factory=dict)

    def add(self, waiting: "Waiting") -> None:
        """Add one agency's."""
        self.counts[waiting.status] += waiting.count
        self.oldest_s[waiting.status] = max(waiting.oldest_s, self.oldest_s.get(waiting.status, 0.0))


@dataclass(slots=True)
class OperatingFigures:
    """``rows`` (taken, refused) and ``files`` (completed, failed) grow for ever.

    ``payments``: of the last day, by method and status. ``decisions``: about contacts, of the last hour, by
    rule and whether allowed. ``import_stalled_s``: since when the slowest unfinished import has not moved.
    """

    rows: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    imports_unfinished: int = 0
    import_stalled_s: float = 0.0
    payments: Counter[tuple[str, str]] = field(default_factory=Counter)
    unfinished_payments: Queue = field(default_factory=Queue)
    inbox: Queue = field(default_factory=Queue)
    decisions: Counter[tuple[str, bool]] = field(default_factory=Counter)
    months_ahead: int = 0


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """How many accounts were proved, and how many of them differ from their postings."""

    accounts: int
    unsound: int


@dataclass(frozen=True, slots=True)
class ScheduleFigures:
    """By kind of schedule: how late (seconds) the latest or the next run is, and how many are paused."""

    lag_s: Mapping[str, float]
    paused: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Reads:
    """What monitoring may ask; each raises ``Unavailable`` while nobody answers."""

    figures: Callable[[], Awaitable[OperatingFigures]]
    ledger: Callable[[], Awaitable[LedgerFigures]]
    schedules: Callable[[], Awaitable[ScheduleFigures]]
    readiness: "Callable[[], Awaitable[Readiness]]"


async def read_operating(database: "Database") -> OperatingFigures:
    """Ask every active agency's books."""
    all_of_it = OperatingFigures()
    async with database.platform() as platform:
        agency_ids = [agency.id for agency in await platform.agencies.active()]
        all_of_it.months_ahead = await platform.months_ahead()
    for agency_id in agency_ids:
        async with database.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            imports = await tx.operating.imports()
            payments = await tx.operating.payments(tx.began_at)
            unfinished = await tx.operating.unfinished_payments()
            inbox = await tx.operating.inbox()
            decisions = await tx.operating.decisions()
        all_of_it.rows.update(taken=imports.taken, refused=imports.refused)
        all_of_it.files.update(completed=imports.completed, failed=imports.failed)
        all_of_it.imports_unfinished += imports.unfinished
        all_of_it.import_stalled_s = max(all_of_it.import_stalled_s, imports.stalled_s)
        all_of_it.payments.update({(each.method, each.status): each.count for each in payments})
        all_of_it.decisions.update({(each.rule, each.allowed): each.count for each in decisions})
        for waiting in unfinished:
            all_of_it.unfinished_payments.add(waiting)
        for waiting in inbox:
            all_of_it.inbox.add(waiting)
    return all_of_it


async def prove_ledger(database: "Database") -> LedgerFigures:
    """Compare every account's balance with its postings, as ``recoup audit ledger`` does."""
    accounts = unsound = 0
    async with database.platform() as platform:
        agency_ids = [agency.id for agency in await platform.agencies.active()]
    for agency_id in agency_ids:
        async with database.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            accounts += await tx.ledger.accounts()
            unsound += len([breach async for breach in tx.ledger.breaches()])
    return LedgerFigures(accounts, unsound)


async def read_schedules(client: "Client") -> ScheduleFigures:
    """Ask Temporal how late its schedules are, by the kind that their ids begin with."""
    now = datetime.now(UTC)
    lag: defaultdict[str, float] = defaultdict(float)
    paused: Counter[str] = Counter()
    try:
        async for entry in await client.list_schedules():
            kind = entry.id.partition("/")[0]
            if entry.schedule is not None and entry.schedule.state.paused:
                paused[kind] += 1
                lag[kind] += 0.0
            else:
                lag[kind] = max(lag[kind], _late(entry, now))
                paused[kind] += 0
    except RPCError as error:
        raise Unavailable("Temporal does not tell its schedules") from error
    return ScheduleFigures(dict(lag), dict(paused))


def _late(entry: "ScheduleListDescription", now: datetime) -> float:
    if entry.info is None:
        return 0.0
    overdue = [(now - due).total_seconds() for due in entry.info.next_action_times[:1]]
    started = [(run.started_at - run.scheduled_at).total_seconds() for run in entry.info.recent_actions[-1:]]
    return max([0.0, *overdue, *started])
