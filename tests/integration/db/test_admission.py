"""Admission on the real tables: the best first, within the capacity, whatever is cut off between."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from temporalio.testing import ActivityEnvironment

from activities.admission import AdmissionActivities, AdmissionRequest, Admitted
from activities.messages import AccountRef
from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from domain.errors import Unavailable
from domain.tenancy import Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS

FILL = """
    WITH card AS (INSERT INTO scorecard (name, definition, sha256, maximum)
                  VALUES ('c', '{{}}', '{agency}', 100) RETURNING id),
         c AS (INSERT INTO creditor (agency_id, name) VALUES ('{agency}', 'C') RETURNING id),
         d AS (INSERT INTO debtor (agency_id, natural_key, full_name) VALUES ('{agency}', 'ref:1', 'Ana')
               RETURNING id),
         a AS (INSERT INTO account (agency_id, creditor_id, debtor_id, external_ref, original_amount, balance)
               SELECT '{agency}', c.id, d.id, n::text, n, n FROM c, d, generate_series(1, {count}) n
               RETURNING id, external_ref::int AS n)
    INSERT INTO account_score (account_id, agency_id, queued, rank, total, level, priority, high_priority,
                               points, scorecard_id, scored_at, inputs_hash, account_version, debtor_version)
    SELECT a.id, '{agency}', true, a.n / 2, 1, 'LOW', 1, false, '{{}}', card.id, now(), '', 1, 1
      FROM a, card
"""
"""Accounts of which every two share a rank."""


@dataclass
class Agency:
    """An agency with accounts in the queue, and the lifecycles that were started for it."""

    db: Database
    superuser_url: str
    id: UUID
    started: list[UUID] = field(default_factory=list)
    broken_from: int | None = None

    async def start(self, ref: AccountRef, priority: int, status: str) -> None:
        """Stands in for Temporal, which takes a second start of one account for the first."""
        if self.broken_from is not None and len(self.started) >= self.broken_from:
            raise Unavailable("Temporal did not take the start")
        self.started.append(ref.account_id)

    async def admit(self, after: Any = None, *, capacity: int = 6, rate: float = 4) -> Admitted:
        activities = AdmissionActivities(self.db, self.start, capacity=capacity, rate=rate)
        request = AdmissionRequest(agency_id=self.id, after=after)
        return await ActivityEnvironment().run(activities.admit, request)

    async def query(self, statement: str) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.superuser_url) as link:
            cursor = await link.execute(statement.format(agency=self.id).encode())
            return await cursor.fetchall() if cursor.description else []

    async def worked(self) -> set[UUID]:
        rows = await self.query(
            "SELECT id FROM account WHERE agency_id = '{agency}'"
            " AND admitted_at IS NOT NULL AND released_at IS NULL"
        )
        return {row[0] for row in rows}

    async def best(self, count: int) -> list[UUID]:
        rows = await self.query(
            "SELECT account_id FROM account_score WHERE agency_id = '{agency}' ORDER BY rank DESC, account_id"
        )
        return [row[0] for row in rows][:count]


@pytest.fixture
async def agency(module_database: Any) -> AsyncIterator[Agency]:
    db = Database(module_database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    async with db.platform() as tx:
        made = await tx.agencies.add({"slug": uuid4().hex, "name": "Agency"})
    agency = Agency(db, module_database.superuser_url, made.id)
    await agency.query(FILL.replace("{count}", "10"))
    yield agency
    await db.close()


async def test_the_best_are_admitted_in_batches_up_to_the_capacity(agency: Agency) -> None:
    first = await agency.admit()
    assert (first.started, first.more) == (4, True)
    assert first.pause_s == pytest.approx(1, abs=0.9)
    second = await agency.admit(first.after)
    assert (second.started, second.more) == (2, False)
    assert (await agency.admit(second.after)).started == 0
    assert sorted(agency.started) == sorted(await agency.best(6))
    assert await agency.worked() == set(agency.started)


async def test_the_agencys_own_capacity_comes_before_the_setting(agency: Agency) -> None:
    await agency.query("UPDATE agency SET lifecycle_capacity = 1 WHERE id = '{agency}'")
    assert (await agency.admit()).started == 1
    assert agency.started == await agency.best(1)


async def test_what_was_started_but_not_marked_is_started_again(agency: Agency) -> None:
    agency.broken_from = 2
    with pytest.raises(Unavailable, match="did not take the start"):
        await agency.admit()
    assert await agency.worked() == set()
    begun = list(agency.started)
    assert len(begun) == 2

    agency.broken_from = None
    await agency.admit()
    assert set(begun) < await agency.worked() == set(await agency.best(4))


async def test_a_freed_place_goes_to_the_next_best(agency: Agency) -> None:
    await agency.admit((await agency.admit()).after)
    gone = agency.started[0]
    await agency.query(f"UPDATE account SET status = 'closed' WHERE id = '{gone}'")  # noqa: S608
    async with agency.db.transaction(Tenant.system(agency.id, "test")) as tx:
        await tx.admission.release(gone)
        await tx.admission.release(gone)
    assert (await agency.admit()).started == 1
    assert agency.started[-1] == (await agency.best(7))[-1]
    assert gone not in await agency.worked()
    assert len(await agency.worked()) == 6


async def test_an_account_that_closes_while_it_is_admitted_keeps_no_place(agency: Agency) -> None:
    """Its lifecycle has ended before the mark, so nobody would ever free the place."""
    [best] = await agency.best(1)
    begin = agency.start

    async def close_then_start(ref: AccountRef, priority: int, status: str) -> None:
        if ref.account_id == best:
            await agency.query(f"UPDATE account SET status = 'closed' WHERE id = '{best}'")  # noqa: S608
        await begin(ref, priority, status)

    agency.start = close_then_start  # type: ignore[method-assign]
    await agency.admit()
    assert best in agency.started
    assert len(await agency.worked()) == 3
    assert best not in await agency.worked()
    assert best not in {c.account_id for c in await candidates(agency)}, "though its score still queues it"


async def candidates(agency: Agency) -> list[Any]:
    async with agency.db.transaction(Tenant.system(agency.id, "test")) as tx:
        return list(await tx.admission.candidates(100, after=None))


async def test_nobody_is_admitted_while_a_portfolio_is_on_its_way_in(agency: Agency) -> None:
    await agency.query(
        "INSERT INTO import_job"
        " (agency_id, channel, file_name, location, sha256, profile, requested_by, status)"
        " VALUES ('{agency}', 'upload', 'f', 'l', 's', '{{}}', 'x', 'processing')"
    )
    answer = await agency.admit()
    assert (answer.started, answer.more) == (0, True)
    assert answer.pause_s > 0
    await agency.query(
        "UPDATE import_job SET updated_at = now() - interval '1 day' WHERE agency_id = '{agency}'"
    )
    assert (await agency.admit()).started == 4, "an import that is stuck holds nobody up"


async def test_a_follow_up_is_noted_once_and_only_when_nothing_has_happened(agency: Agency) -> None:
    [account] = await agency.best(1)
    tenant = Tenant.system(agency.id, "account-lifecycle")
    [(created_at, month_later)] = await agency.query(
        f"SELECT created_at, created_at + interval '30 days' FROM account WHERE id = '{account}'"  # noqa: S608
    )

    async def note() -> bool:
        async with agency.db.transaction(tenant) as tx:
            return await tx.lifecycles.note_follow_up(account, due_at=month_later, idle_since=created_at)

    assert sorted(await asyncio.gather(*(note() for _ in range(4)))) == [False, False, False, True]
    assert await note() is False
    async with agency.db.transaction(tenant) as tx:
        seen = await tx.lifecycles.view(account)
        assert seen.last_event_at > created_at
        due = seen.last_event_at
        await tx.timeline.add(account, "note", "called")
    async with agency.db.transaction(tenant) as tx:
        assert not await tx.lifecycles.note_follow_up(account, due_at=due, idle_since=due)
