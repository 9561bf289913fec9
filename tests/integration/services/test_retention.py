"""Which months could be archived: none with a debt whose last activity is younger than three years."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from domain.errors import Invalid
from domain.tenancy import Actor
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from services.retention import MonthReport, report

TODAY = datetime.now(UTC).date()
LONG_AGO = range(1, 13)
"""The months of 2020, whose partitions these tests make."""


class Books:
    """Two agencies' accounts, written by the owner as they would lie there after years."""

    def __init__(self, link: psycopg.AsyncConnection[Any]) -> None:
        self._link = link
        self.agencies: dict[str, UUID] = {}

    async def open(self) -> None:
        for n in LONG_AGO:
            first, following = date(2020, n, 1), date(2020 + n // 12, n % 12 + 1, 1)
            for parent in ("timeline_event", "audit_record", "account_score_history"):
                await self._link.execute(
                    f"CREATE TABLE {parent}_2020_{n:02} PARTITION OF {parent}"
                    f" FOR VALUES FROM ('{first} 00:00Z') TO ('{following} 00:00Z')".encode()
                )
        for slug in ("acme", "rival"):
            self.agencies[slug] = await self.add("agency", slug=slug, name=slug)

    async def add(self, table: str, **values: Any) -> UUID:
        values = {"id": uuid4(), **values}
        names, places = ", ".join(values), ", ".join(["%s"] * len(values))
        statement = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608
        await self._link.execute(statement.encode(), list(values.values()))
        identity: UUID = values["id"]
        return identity

    async def account(self, month: int, *, agency: str = "acme", **values: Any) -> UUID:
        """A debt that was placed, worked and closed in a month of 2020."""
        owner, at = {"agency_id": self.agencies[agency]}, datetime(2020, month, 15, tzinfo=UTC)
        creditor = await self.add("creditor", name=uuid4().hex, **owner)
        debtor = await self.add("debtor", natural_key=uuid4().hex, full_name="Ana", **owner)
        account = await self.add(
            "account",
            **{
                **owner,
                "creditor_id": creditor,
                "debtor_id": debtor,
                "external_ref": uuid4().hex,
                "status": "closed",
                "original_amount": 10,
                "balance": 0,
                "created_at": at,
                "updated_at": at,
                **values,
            },
        )
        await self.event(account, at, agency=agency)
        return account

    async def event(self, account: UUID, at: datetime, *, agency: str = "acme") -> None:
        about = {"kind": "note", "description": "called", "actor": "x", "at": at}
        await self.add("timeline_event", agency_id=self.agencies[agency], account_id=account, **about)

    async def of(self, account: UUID, table: str, **values: Any) -> UUID:
        return await self.add(table, agency_id=self.agencies["acme"], account_id=account, **values)

    async def held(self, account: UUID, **values: Any) -> UUID:
        found = await self._link.execute("SELECT debtor_id FROM account WHERE id = %s", [account])
        [(debtor,)] = await found.fetchall()
        return await self.of(account, "hold", debtor_id=debtor, **values)


@pytest.fixture
async def books(database: Any) -> AsyncIterator[Books]:
    async with await psycopg.AsyncConnection.connect(database.owner_url, autocommit=True) as link:
        made = Books(link)
        await made.open()
        yield made


async def months(database: Any, table: str = "timeline_event", years: int = 3) -> dict[int, MonthReport]:
    """What is said of the months of 2020, by their numbers."""
    application = Database(database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    told = await report(application, Actor("system", "test"), years=years, today=TODAY)
    await application.close()
    assert all(month.month.year == 2020 for month in told.months)
    return {month.month.month: month for month in told.months if month.table == table}


async def test_a_month_is_needed_while_anything_happened_lately_on_any_debt_in_it(
    books: Books, database: Any
) -> None:
    """12 CFR 1006.100(a): the old events of a debt go by its last activity, not by their own age."""
    await books.account(1)
    worked = await books.account(2)
    await books.account(2)
    await books.event(worked, datetime.now(UTC))
    await books.event(worked, datetime(2020, 3, 1, tzinfo=UTC))
    await books.account(4, agency="rival", updated_at=datetime.now(UTC))

    said = await months(database)
    assert [n for n in LONG_AGO if not said[n].archivable] == [2, 3, 4]
    assert (said[2].rows, said[2].kept) == (2, {"recent": 1})
    assert (said[1].rows, said[1].kept) == (1, {})
    # Audit records may be about any account: they are needed from the oldest on that is kept.
    audited = await months(database, "audit_record")
    assert [n for n in LONG_AGO if audited[n].archivable] == [1]


async def test_what_is_unfinished_keeps_its_month_however_long_nothing_happened(
    books: Books, database: Any
) -> None:
    await books.account(1, status="in_contact")
    held = await books.account(2)
    await books.held(held, kind="bankruptcy", reason="r", placed_by="x")
    disputed = await books.account(3)
    await books.of(
        disputed,
        "dispute",
        reason="r",
        received_on=date(2020, 3, 2),
        in_writing=True,
        in_period=True,
        recorded_by="x",
    )
    paying = await books.account(4)
    await books.of(
        paying,
        "payment",
        origin="request",
        idempotency_key="k",
        amount=5,
        currency="USD",
        method="card",
        status="disputed",
        requested_by="x",
    )
    await books.event(uuid4(), datetime(2020, 5, 2, tzinfo=UTC))
    released = await books.account(6)
    await books.held(
        released,
        kind="cease",
        reason="r",
        placed_by="x",
        released_at=datetime(2020, 6, 20, tzinfo=UTC),
    )

    said = await months(database)
    assert {n: said[n].kept for n in LONG_AGO if said[n].kept} == {
        1: {"open": 1},
        2: {"held": 1},
        3: {"disputed": 1},
        4: {"being paid": 1},
        5: {"unknown": 1},
    }
    assert said[6].archivable


async def test_an_agency_may_keep_longer_but_not_shorter(books: Books, database: Any) -> None:
    await books.account(1)
    assert (await months(database))[1].archivable
    assert await months(database, years=TODAY.year - 2020 + 1) == {}
    with pytest.raises(Invalid, match="at least 3 years"):
        await months(database, years=2)


async def test_nothing_is_taken_away(books: Books, database: Any) -> None:
    await books.account(1)
    before = await months(database)
    assert before[1].archivable
    assert await months(database) == before
