"""Which partner an account goes to: at most one, by creditor, risk, balance and share, and it stays there."""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest

from sandbox.processes import until
from tests.integration.partners.matching_books import Books, opened

MANY = 4000
WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class Desk:
    """An agency whose accounts are all of high priority, and its partners by name."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.partners: dict[str, UUID] = {}

    async def partner(self, name: str, **values: Any) -> UUID:
        values = {"delivery": "https", "delivery_url": "https://partner.example", **values}
        self.partners[name] = await self.books.partner(name=name, **values)
        return self.partners[name]

    async def account(
        self,
        ref: str,
        balance: str = "500.00",
        *,
        level: str = "HIGH",
        creditor: str = "Bank",
        queued: bool = True,
    ) -> UUID:
        account = await self.books.account(ref, balance, creditor=creditor)
        await self._score(level, queued=queued)
        return account

    async def many(self, count: int) -> None:
        """So many accounts of one person."""
        model = await self.account("MODEL", queued=False)
        await self.books.sql(
            "INSERT INTO account (agency_id, creditor_id, debtor_id, external_ref, original_amount, balance)"
            " SELECT agency_id, creditor_id, debtor_id, 'M-' || n, 500, 500"
            " FROM account, generate_series(1, %s) n WHERE id = %s",
            *(count, model),
        )
        await self._score("HIGH", queued=True)

    async def _score(self, level: str, *, queued: bool) -> None:
        """Give all accounts that have none yet a score."""
        await self.books.sql(
            "INSERT INTO account_score (account_id, agency_id, queued, rank, total, level, priority,"
            " high_priority, points, scorecard_id, scored_at, inputs_hash, account_version, debtor_version)"
            " SELECT id, agency_id, %s, 1000, 10, %s, 3, true, '{}', uuidv7(), now(), '', 1, 1 FROM account"
            " WHERE agency_id = %s AND id NOT IN (SELECT account_id FROM account_score)",
            *(queued, level, self.books.tenant.agency_id),
        )

    async def send(self, name: str, *, confirmed: bool = True) -> list[str]:
        """A sending to a partner, taken by it; the accounts in it, in order of their references."""
        sync_id = uuid4()
        async with self.books.db.transaction(self.books.tenant) as tx:
            sync = await tx.partner_syncs.open(
                sync_id, self.partners[name], origin="manual", requested_by="test"
            )
            await tx.partner_syncs.fill(sync, delivery="https", size=100_000, everything=True)
            items = await tx.partner_syncs.items(sync_id, 1)
            await tx.partner_syncs.add_batch(sync_id, 1, items=len(items), sha256="")
            if confirmed:
                await tx.partner_syncs.deliver(sync_id, 1, "200")
        return sorted(item.account_ref for item in items)

    async def change(self, name: str, **values: Any) -> None:
        async with self.books.db.transaction(self.books.tenant) as tx:
            await tx.partners.change(self.partners[name], values, {})


@pytest.fixture
async def desk(module_database: Any) -> AsyncIterator[Desk]:
    async with opened(module_database) as books:
        await books.sql("SET session_replication_role = replica")  # A scorecard is not what is tested here.
        yield Desk(books)


async def test_a_partner_takes_accounts_by_creditor_risk_and_balance(desk: Desk) -> None:
    for ref, balance, level, creditor in (
        ("A-bank-high", "500.00", "HIGH", "Bank"),
        ("B-bank-low", "500.00", "LOW", "Bank"),
        ("C-shop", "500.00", "CRITICAL", "Shop"),
        ("D-shop-small", "99.99", "HIGH", "Shop"),
        ("E-mill", "100.00", "MEDIUM", "Mill"),
    ):
        await desk.account(ref, balance, level=level, creditor=creditor)
    await desk.account("F-held", creditor="Bank", queued=False)
    await desk.partner("bank", creditor_ids=[desk.books.creditors["Bank"]], risk_levels=["HIGH", "CRITICAL"])
    await desk.partner(
        "others", creditor_ids=[desk.books.creditors[name] for name in ("Shop", "Mill")], min_balance=100
    )
    assert await desk.send("others") == ["C-shop", "E-mill"]
    assert await desk.send("bank") == ["A-bank-high"]
    await desk.partner("rest")
    assert await desk.send("rest") == ["B-bank-low", "D-shop-small"]


async def test_of_several_that_take_an_account_each_gets_its_share_whoever_is_asked_first(desk: Desk) -> None:
    await desk.many(MANY)
    for name, share in (("large", 3), ("small", 1), ("closing", 0)):
        await desk.partner(name, share=share)
    await desk.partner("silent", share=100, delivery="none")
    large, small = await asyncio.gather(desk.send("large"), desk.send("small"))
    assert await desk.send("closing") == []
    assert set(large).isdisjoint(small)
    assert len(large) + len(small) == MANY
    assert 0.72 * MANY < len(large) < 0.78 * MANY
    ids = {row.external_ref: row.id for row in await desk.books.sql("SELECT id, external_ref FROM account")}
    shares = {desk.partners["large"]: 3, desk.partners["small"]: 1}
    assert large == sorted(
        ref for ref in (*large, *small) if _drawn(ids[ref], shares) == desk.partners["large"]
    )


def _drawn(account: UUID, shares: Mapping[UUID, int]) -> UUID:
    """The rule as the documents have it."""

    def number(partner: UUID) -> float:
        drawn = hashlib.sha256(f"{partner}/{account}".encode()).hexdigest()[:13]
        return (int(drawn, 16) + 0.5) / 2**52

    return min(shares, key=lambda partner: -math.log(number(partner)) / shares[partner])


async def test_what_a_partner_works_stays_with_it_whatever_changes(desk: Desk) -> None:
    await desk.account("A-1")
    await desk.account("A-2")
    await desk.partner("first")
    assert await desk.send("first", confirmed=False) == ["A-1", "A-2"]
    await desk.partner("second", share=100)
    await desk.account("A-3")
    await desk.change("first", min_balance=10_000, share=0)
    assert await desk.send("second") == ["A-3"]
    assert await desk.send("first") == ["A-1", "A-2"]
    await desk.change("first", delivery="none")
    assert await desk.send("second") == ["A-3"]


async def test_what_a_partner_worked_that_is_left_goes_to_another_and_does_not_come_back(desk: Desk) -> None:
    await desk.account("A-1")
    await desk.partner("left")
    await desk.partner("other", share=0)
    assert await desk.send("left") == ["A-1"]
    await desk.change("left", active=False)
    assert await desk.send("other") == []
    await desk.change("other", share=1)
    assert await desk.send("other") == ["A-1"]
    await desk.change("left", active=True)
    assert (await desk.send("left"), await desk.send("other")) == ([], ["A-1"])
    known = await desk.books.sql(
        "SELECT partner_id FROM partner_account WHERE agency_id = %s", desk.books.tenant.agency_id
    )
    assert {row.partner_id for row in known} == {desk.partners["left"], desk.partners["other"]}


async def test_what_was_sent_before_assignments_were_kept_goes_to_one_of_those_that_have_it(
    desk: Desk,
) -> None:
    account = await desk.account("A-1")
    for name in ("one", "two"):
        await desk.partner(name, share=0)
        await desk.books.sent(account)
    await desk.partner("new", share=100)
    sent = {name: await desk.send(name) for name in ("new", "one", "two")}
    assert sent["new"] == []
    assert sorted(sent["one"] + sent["two"]) == ["A-1"]


async def test_partners_asked_at_once_never_both_get_an_account(desk: Desk) -> None:
    """The one that is late has read the terms before they changed."""
    await desk.many(200)
    await desk.partner("first", share=100)
    await desk.partner("second", share=0)
    async with desk.books.db.transaction(desk.books.tenant) as tx:
        sync = await tx.partner_syncs.open(
            uuid4(), desk.partners["first"], origin="manual", requested_by="test"
        )
        await tx.partner_syncs.fill(sync, delivery="https", size=1000, everything=True)
        first = await tx.partner_syncs.items(sync.id, 1)
        await desk.change("second", share=100)
        late = asyncio.create_task(desk.send("second"))

        async def waits() -> bool:
            return late.done() or bool(await desk.books.sql(WAITING))

        await until(waits, within_s=60, what="the second to come to what the first is about to be given")
        assert not late.done()
    assert len(first) == 200
    assert await late == []


async def test_a_bank_and_another_agency_s_partner_get_nothing(desk: Desk, module_database: Any) -> None:
    await desk.account("A-1")
    await desk.partner("bank", kind="bank", share=100)
    async with opened(module_database) as elsewhere:
        await Desk(elsewhere).partner("theirs", share=100)
        assert await desk.send("bank") == []
        await desk.partner("mine")
        assert await desk.send("mine") == ["A-1"]
