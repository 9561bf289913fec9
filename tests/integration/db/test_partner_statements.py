"""Statements in the database: lines and their position together, messages once, closed for one run."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import polars as pl
import psycopg
import pytest

from db.cipher import ColumnCipher, parse_keys
from db.keyset import Position
from db.models import Partner, PartnerReconciliationRun
from db.partner_statements import Closing, OpenedStatement
from db.session import Database
from domain.errors import NotFound, Unavailable
from domain.statement_lines import StatedLine
from domain.tenancy import Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS

AT = datetime(2026, 10, 31, 12, tzinfo=UTC)


@dataclass
class House:
    """An agency with a partner."""

    db: Database
    tenant: Tenant
    partner_id: UUID
    superuser_url: str

    async def open(self, sha256: str = "aa", *, location: str = "/p/a.csv", profile: str = "1") -> Any:
        async with self.db.transaction(self.tenant) as tx:
            return await tx.statements.open_file(
                self.partner_id,
                name="a.csv",
                location=location,
                sha256=sha256,
                size=10,
                mtime=1,
                profile=profile,
            )

    async def begin(self, statement_id: UUID) -> tuple[UUID, dict[str, Any] | None]:
        async with self.db.transaction(self.tenant) as tx:
            return await tx.statements.take_over(statement_id)

    async def append(self, statement_id: UUID, holder: UUID, lines: pl.DataFrame, at: int) -> None:
        async with self.db.transaction(self.tenant) as tx:
            await tx.statements.append_lines(statement_id, holder, lines, {"at": at})

    async def finish(self, statement_id: UUID, holder: UUID) -> Any:
        async with self.db.transaction(self.tenant) as tx:
            return await tx.statements.finish(statement_id, holder)

    async def staged_file(self, sha256: str) -> UUID:
        opened = await self.open(sha256, location=f"/p/{sha256}.csv")
        holder, _ = await self.begin(opened.statement.id)
        await self.append(opened.statement.id, holder, lines(2, 3), 1)
        await self.finish(opened.statement.id, holder)
        return UUID(str(opened.statement.id))

    async def say(self, *items: StatedLine) -> list[str]:
        async with self.db.transaction(self.tenant) as tx:
            return list(await tx.stated_messages.append(self.partner_id, items))

    async def run(self, *, status: str = "completed") -> UUID:
        async with self.db.transaction(self.tenant) as tx:
            run = PartnerReconciliationRun(
                agency_id=self.tenant.agency_id,
                partner_id=self.partner_id,
                origin="manual",
                requested_by="test",
                status=status,
            )
            tx.session.add(run)
            await tx.session.flush()
            return run.id

    async def close(self, run_id: UUID, scope: Any = "full", *, dry_run: bool = False) -> Closing:
        async with self.db.transaction(self.tenant) as tx:
            return await tx.statements.close_for(run_id, scope, dry_run=dry_run)

    async def get(self, statement_id: UUID) -> Any:
        async with self.db.transaction(self.tenant) as tx:
            return await tx.statements.get(statement_id)

    async def rows(self, columns: str, statement_id: UUID) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.superuser_url) as link:
            query = f"SELECT {columns} FROM statement_line WHERE statement_id = %s ORDER BY line"  # noqa: S608
            return await (await link.execute(query.encode(), (statement_id,))).fetchall()


@pytest.fixture
async def db(module_database: Any) -> AsyncIterator[Database]:
    made = Database(module_database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    yield made
    await made.close()


@pytest.fixture
async def house(db: Database, module_database: Any) -> House:
    return await _house(db, module_database.superuser_url)


async def _house(db: Database, superuser_url: str) -> House:
    slug = f"a-{uuid4().hex[:8]}"
    async with db.platform() as platform:
        agency = await platform.agencies.add({"slug": slug, "name": slug})
    tenant = Tenant.system(agency.id, "test")
    async with db.transaction(tenant) as tx:
        partner = Partner(agency_id=agency.id, name="northgate")
        tx.session.add(partner)
        await tx.session.flush()
    return House(db, tenant, partner.id, superuser_url)


def lines(*numbers: int, problem: int | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "line": numbers,
            "account_ref": [f'A "{n}", ü' for n in numbers],
            "balance": pl.Series([Decimal(f"-{n}.50") for n in numbers], dtype=pl.Decimal(14, 2)),
            "status": ["UNPAID"] * len(numbers),
            "processed_at": [AT + timedelta(days=n, microseconds=5) for n in numbers],
            "problem": ["balance is empty" if n == problem else None for n in numbers],
        },
        schema_overrides={"problem": pl.String},
    )


def said(ref: str, *, balance: str = "10.00", at: datetime = AT) -> StatedLine:
    return StatedLine(account_ref=ref, balance=Decimal(balance), status="UNPAID", processed_at=at)


async def test_lines_arrive_as_they_were_read_and_with_their_position(house: House) -> None:
    opened = await house.open()
    assert opened.created
    statement_id = opened.statement.id
    holder, position = await house.begin(statement_id)
    assert position is None
    await house.append(statement_id, holder, lines(2, 3), 7)
    holder, position = await house.begin(statement_id)
    assert position == {"at": 7}
    await house.append(statement_id, holder, lines(4, 9, problem=9), 8)
    await house.append(statement_id, holder, lines(), 9)

    staged = await house.finish(statement_id, holder)
    assert (staged.state, staged.lines, staged.problems) == ("staged", 4, 1)
    assert staged.oldest_at == AT + timedelta(days=2, microseconds=5)
    assert staged.newest_at == AT + timedelta(days=4, microseconds=5), "unreadable lines do not count"
    found = await house.rows("line, account_ref, balance, processed_at, problem, debtor_ref", statement_id)
    assert found[0] == (2, 'A "2", ü', Decimal("-2.50"), AT + timedelta(days=2, microseconds=5), None, None)
    assert [(line, problem) for line, *_, problem, _ in found[2:]] == [(4, None), (9, "balance is empty")]


async def test_an_earlier_holder_can_add_nothing_more(house: House) -> None:
    statement_id = (await house.open()).statement.id
    first, _ = await house.begin(statement_id)
    second, _ = await house.begin(statement_id)
    with pytest.raises(Unavailable):
        await house.append(statement_id, first, lines(2), 1)
    with pytest.raises(Unavailable):
        await house.finish(statement_id, first)
    await house.append(statement_id, second, lines(2), 1)
    assert (await house.finish(statement_id, second)).lines == 1
    with pytest.raises(NotFound):
        await house.begin(statement_id)


async def test_the_same_bytes_are_the_same_statement_until_they_are_refused(house: House) -> None:
    first = (await house.open()).statement.id
    again: OpenedStatement = await house.open(location="/p/b.csv")
    assert (again.created, again.statement.id) == (False, first)
    assert (await house.get(first)).location == "/p/b.csv", "what is read to its end is what lies there now"
    holder, _ = await house.begin(first)
    await house.append(first, holder, lines(2, 3, problem=3), 1)
    async with house.db.transaction(house.tenant) as tx:
        refused = await tx.statements.refuse(first, "cut off")
        assert (refused.state, refused.reason) == ("refused", "cut off")
        # Refused once and for all: the reason of the first stands.
        assert (await tx.statements.refuse(first, "other")).reason == "cut off"
    assert await house.rows("line", first) == [(3,)], "what could be read of a refused file is of no use"

    still: OpenedStatement = await house.open(location="/p/b.csv")
    assert (still.created, still.statement.id) == (False, first), "nothing has changed: refused as before"
    mended: OpenedStatement = await house.open(location="/p/b.csv", profile="2")
    assert mended.created, "another layout reads it in another way"
    async with house.db.transaction(house.tenant) as tx:
        assert await tx.statements.to_put_away(house.partner_id) == [], "what lies there is the new one's"


async def test_a_file_that_changed_is_forgotten(house: House) -> None:
    statement_id = (await house.open()).statement.id
    holder, _ = await house.begin(statement_id)
    await house.append(statement_id, holder, lines(2), 1)
    async with house.db.transaction(house.tenant) as tx:
        await tx.statements.discard(statement_id)
    assert await house.rows("line", statement_id) == []
    with pytest.raises(NotFound):
        await house.get(statement_id)


async def test_a_message_counts_once_however_often_it_comes(house: House) -> None:
    assert await house.say(said("A-1"), said("A-2"), said("A-1")) == ["accepted", "accepted", "duplicate"]
    moved = said("A-1", at=AT.astimezone(datetime.now(UTC).astimezone().tzinfo))
    assert await house.say(moved, said("A-1", balance="10.01")) == ["duplicate", "accepted"]
    run = await house.run()
    closed = await house.close(run, "messages")
    assert (len(closed.statement_ids), closed.lines, closed.problems) == (1, 3, 0)
    assert await house.rows("line, account_ref, balance", closed.statement_ids[0]) == [
        (1, "A-1", Decimal("10.00")),
        (2, "A-2", Decimal("10.00")),
        (3, "A-1", Decimal("10.01")),
    ]
    assert await house.say(said("A-2")) == ["duplicate"], "closing does not forget what was said"
    async with house.db.transaction(house.tenant) as tx:
        assert len(await tx.statements.page(house.partner_id, None, 10)) == 1
    assert await house.say(said("A-2"), said("A-3")) == ["duplicate", "accepted"]
    assert (await house.close(await house.run())).lines == 1


async def test_equal_payments_of_one_request_are_as_many_and_a_request_again_is_none(house: House) -> None:
    money = StatedLine(account_ref="A-1", amount=Decimal("75.00"), paid_on=AT.date(), currency="USD")
    named = replace(money, payment_ref="pi_1")
    items = (money, named, money, named)
    assert await house.say(*items) == ["accepted", "accepted", "accepted", "duplicate"]
    assert await house.say(*items) == ["duplicate"] * 4
    assert await house.say(money) == ["duplicate"]
    assert await house.say(money, money, money) == ["duplicate", "duplicate", "accepted"]


async def test_the_same_message_of_another_partner_is_another_one(house: House, db: Database) -> None:
    other = await _house(db, house.superuser_url)
    assert await house.say(said("A-1")) == await other.say(said("A-1")) == ["accepted"]


async def test_messages_that_come_at_once_are_counted_once_each(house: House) -> None:
    async def send(first: int) -> list[str]:
        return await house.say(*(said(f"A-{n % 20}") for n in range(first, first + 15)))

    outcomes = await asyncio.gather(*(send(n) for n in range(8)), return_exceptions=False)
    assert sum(outcome.count("accepted") for outcome in outcomes) == 20
    closed = await house.close(await house.run())
    assert closed.lines == 20
    found = await house.rows("line, account_ref", closed.statement_ids[0])
    assert [line for line, _ in found] == list(range(1, 21))
    assert len({ref for _, ref in found}) == 20


async def test_no_message_is_lost_between_two_closings(house: House) -> None:
    """Every message that was acknowledged is in exactly one closed statement."""

    async def talk(who: int) -> int:
        return sum([(await house.say(said(f"{who}-{n}"))).count("accepted") for n in range(12)])

    async def close() -> int:
        return sum([(await house.close(await house.run(), "messages")).lines for _ in range(12)])

    *accepted, closed = await asyncio.gather(*(talk(who) for who in range(4)), close())
    closed += (await house.close(await house.run(), "messages")).lines
    assert sum(accepted) == closed == 48


async def test_a_run_gets_what_was_staged_when_it_asked_first(house: House) -> None:
    file = await house.staged_file("f1")
    unread = (await house.open("f2")).statement.id
    await house.say(said("A-1"))
    dry, full = await house.run(), await house.run()
    foreseen = await house.close(dry, dry_run=True)
    assert (await house.get(file)).state == "staged"
    closed = await house.close(full)
    assert closed == foreseen
    assert file in closed.statement_ids
    assert closed.lines == 3
    assert unread not in closed.statement_ids
    row = await house.get(file)
    assert (row.state, row.run_id) == ("closed", full)

    late = await house.staged_file("f3")
    assert await house.close(full) == closed, "a repetition takes nothing that came later"
    assert (await house.close(await house.run(), "messages")).statement_ids == []
    assert (await house.close(await house.run())).statement_ids == [late]


async def test_a_failed_run_gives_its_statements_to_the_next_one(house: House) -> None:
    await house.staged_file("f1")
    await house.say(said("A-1"))
    failed = await house.run(status="failed")
    closed = await house.close(failed)
    await house.say(said("A-2"))
    async with house.db.transaction(house.tenant) as tx:
        await tx.statements.reopen(failed)
    again = await house.close(await house.run())
    assert set(closed.statement_ids) < set(again.statement_ids)
    assert again.lines == 4


async def test_problems_are_listed_in_the_order_of_lines_both_ways(house: House) -> None:
    statement_id = (await house.open()).statement.id
    holder, _ = await house.begin(statement_id)
    for n in range(2, 7):
        await house.append(statement_id, holder, lines(n, problem=n), n)
    async with house.db.transaction(house.tenant) as tx:
        first = await tx.statements.problems(statement_id, None, 2)
        after = await tx.statements.problems(statement_id, Position((3,)), 2)
        before = await tx.statements.problems(statement_id, Position((6,), backward=True), 2)
    assert [[row.line for row in rows] for rows in (first, after, before)] == [[2, 3], [4, 5], [5, 4]]


async def test_files_are_put_away_when_a_run_is_done_with_them(house: House) -> None:
    file = await house.staged_file("f1")

    async def waiting() -> list[UUID]:
        async with house.db.transaction(house.tenant) as tx:
            return [row.id for row in await tx.statements.to_put_away(house.partner_id)]

    assert await waiting() == []
    await house.close(await house.run())
    assert await waiting() == [file]
    async with house.db.transaction(house.tenant) as tx:
        await tx.statements.put_away(file)
    assert await waiting() == []


async def test_another_agency_sees_none_of_it(house: House, db: Database) -> None:
    file = await house.staged_file("f1")
    other = await _house(db, house.superuser_url)
    async with db.transaction(other.tenant) as tx:
        assert await tx.statements.page(house.partner_id, None, 10) == []
        assert await tx.statements.problems(file, None, 10) == []
        with pytest.raises(NotFound):
            await tx.statements.get(file)
        with pytest.raises(NotFound):
            await tx.statements.take_over(file)
    assert replace(said("A"), balance=None).digest(house.partner_id) != said("A").digest(house.partner_id)
