"""The simulated partner: what its truth file says is what its statement says, and nothing else is wrong."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import polars as pl
import psycopg
import pytest

from activities.statement_file import StatementReader
from benchmarks.placed import place
from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from domain.accounts import AccountStatus
from domain.errors import Conflict, Invalid
from domain.reconciliation import OurAccount, Terms, TheirAccount, judge
from domain.statement_profiles import StatementProfile
from domain.tenancy import Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from sandbox.partner_shares import Shares
from sandbox.partner_simulator import VARIANTS, Simulated, simulate
from sandbox.planted import Found, read_truth

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
COUNT = 400
NOTHING = Shares(*(Decimal(0) for _ in range(10)))
ALL = Shares(
    balance=Decimal("0.10"),
    status=Decimal("0.20"),
    missing=Decimal("0.05"),
    duplicates=Decimal("0.04"),
    unknown=Decimal("0.03"),
    stale=Decimal("0.02"),
    currency=Decimal("0.02"),
    timing=Decimal("0.05"),
    variants=Decimal("0.06"),
    noise=Decimal("0.10"),
)


@dataclass
class House:
    """An agency with accounts and a partner that has most of them."""

    db: Database
    superuser_url: str
    tenant: Tenant
    partner_id: UUID

    async def query(self, statement: str, *values: Any) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(self.superuser_url) as link:
            # Balances are set as they would have become: without scores, which must follow them.
            await link.execute("SET session_replication_role = replica")
            cursor = await link.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def simulate(self, shares: Shares = ALL, seed: int = 7, **more: Any) -> Simulated:
        async with self.db.transaction(self.tenant) as tx:
            partner = await tx.partners.get(self.partner_id)
            return await simulate(tx, partner, seed=seed, shares=shares, at=AT, **more)

    async def profile(self, **values: Any) -> None:
        async with self.db.transaction(self.tenant) as tx:
            await tx.partners.change(self.partner_id, {"statement_profile": values}, {})

    async def pay_some(self) -> None:
        """A third of every fifth account was paid, ten days before the statement."""
        await self.query(_PAYMENTS, self.tenant.agency_id, AT - timedelta(days=10), self.tenant.agency_id)
        await self.query(
            "UPDATE account SET balance = original_amount - round(original_amount / 3, 2)"
            " WHERE agency_id = %s AND id IN (SELECT account_id FROM posting)",
            self.tenant.agency_id,
        )


_PAYMENTS = """
    WITH made AS (
        INSERT INTO journal (agency_id, kind, key, description, occurred_at, created_at)
        SELECT %s, 'payment', id::text, 'test', created_at, %s FROM account
         WHERE agency_id = %s AND external_ref::int %% 5 = 0
        RETURNING id, agency_id, key)
    INSERT INTO posting (agency_id, journal_id, account_id, debit, credit, amount, currency)
    SELECT m.agency_id, m.id, a.id, 'cash', 'receivable', round(a.original_amount / 3, 2), a.currency
      FROM made m JOIN account a ON a.id = m.key::uuid
"""


_TWINS = """
    WITH other AS (INSERT INTO creditor (agency_id, name) VALUES (%s, 'Other') RETURNING id)
    INSERT INTO account (agency_id, creditor_id, debtor_id, external_ref, original_amount, balance, status)
    SELECT a.agency_id, o.id, a.debtor_id, a.external_ref, 10, 0, 'settled' FROM account a, other o
     WHERE a.agency_id = %s AND a.external_ref = '1'
"""
"""Another creditor's account with a reference that is known: the two cannot be told apart."""


@pytest.fixture(scope="module")
async def house(module_database: Any) -> AsyncIterator[House]:
    db = Database(module_database.app_url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    async with db.platform() as platform:
        agency = await platform.agencies.add({"slug": "acme", "name": "Acme"})
    tenant = Tenant.system(agency.id, "test")
    async with db.transaction(tenant) as tx:
        await tx.creditors.add({"name": "House", "is_default": True})
        partner = await tx.partners.add({"name": "northgate"})
    made = House(db, module_database.superuser_url, tenant, partner.id)
    await place(made.query, agency.id, COUNT)
    await made.pay_some()
    # Some are paid here; one is closed for another reason and is nobody's business any more.
    await made.query("UPDATE account SET status = 'settled', balance = 0 WHERE external_ref::int %% 11 = 0")
    await made.query(
        "UPDATE account SET status = 'closed', closed_reason = 'recalled' WHERE external_ref = '7'"
    )
    await made.query(_TWINS, agency.id, agency.id)
    await made.query(
        "INSERT INTO partner_account (partner_id, account_id, agency_id, sent_at)"
        " SELECT %s, id, agency_id, now() FROM account WHERE external_ref::int <= 380",
        partner.id,
    )
    await made.query("UPDATE account SET external_ref = 'ac-' || lpad(external_ref, 4, '0')")
    yield made
    await db.close()


def read(made: Simulated, profile: StatementProfile | None = None) -> list[dict[str, Any]]:
    """The statement's lines as staging reads them."""
    reader = StatementReader(
        profile or StatementProfile(), read_at=AT, stated_at=AT, gzip=made.name.endswith(".gz")
    )
    chunks = [*reader.feed(made.content), *reader.finish()]
    lines = pl.concat([chunk.lines for chunk in chunks])
    assert lines["problem"].null_count() == len(lines), "a simulated statement can be read"
    return lines.to_dicts()


async def differences(house: House, lines: list[dict[str, Any]]) -> set[Found]:
    """What the pure rules find in a statement, by exact references."""
    rows = await house.query(
        "SELECT a.id::text, a.external_ref, a.balance, a.original_amount, a.currency, a.status,"
        "       a.closed_reason, p.account_id IS NOT NULL, j.created_at, -po.amount"
        "  FROM account a LEFT JOIN partner_account p ON p.account_id = a.id"
        "  LEFT JOIN posting po ON po.account_id = a.id LEFT JOIN journal j ON j.id = po.journal_id"
    )
    named = Counter(row[1] for row in rows)
    ours = {row[1]: row for row in rows if named[row[1]] == 1}
    keys = {VARIANTS.key(ref): ref for ref in ours}
    found = set()
    newest: dict[str, dict[str, Any]] = {}
    for line in sorted(lines, key=lambda one: one["processed_at"]):
        ref = line["account_ref"]
        ref = ref if ref in ours else keys.get(VARIANTS.key(ref), ref)
        if ref not in ours:
            found.add(Found("missing_here", ref))
            continue
        if ref in newest:
            found.add(Found("duplicate", ours[ref][0]))
        newest[ref] = line
    for ref, line in newest.items():
        account_id, _, balance, original, currency, status, reason, _, posted_at, change = ours[ref]
        since = change if posted_at is not None and posted_at > line["processed_at"] else Decimal(0)
        mine = OurAccount(balance, original, currency, AccountStatus(status), reason, since)
        theirs = TheirAccount(line["balance"], line["status"], line["currency"], line["processed_at"])
        found |= {Found(one.kind.value, account_id) for one in judge(mine, theirs, Terms(now=AT))}
    unsaid = [row for row in rows if row[1] not in newest and row[7]]
    return found | {Found("missing_there", row[0]) for row in unsaid if row[5] not in {"settled", "closed"}}


async def test_the_truth_is_what_the_rules_find_in_the_statement(house: House) -> None:
    made = await house.simulate()
    lines = read(made)
    assert len(lines) == made.truth.lines
    score = made.truth.score(await differences(house, lines))
    assert (score.missed, score.invented) == (frozenset(), frozenset())
    assert (score.overall.precision, score.overall.recall) == (1.0, 1.0)

    population = made.truth.population
    assert population == 380
    expected = {"balance": 38, "status": 76, "missing_there": 20, "duplicate": 15, "missing_here": 11}
    expected |= {"stale": 8, "currency": 8, "timing": 19}
    assert made.truth.counts == expected
    assert made.truth.notes == []
    assert len(made.truth.links) == 23
    assert {link["how"] for link in made.truth.links} == {"prefix", "case", "zeros", "punctuation"}
    kinds = Counter(entry["subject"] for entry in made.truth.planted)
    both = {subject for subject, count in kinds.items() if count == 2}
    assert both, "some are wrong in both balance and status"
    assert all(
        {e["kind"] for e in made.truth.planted if e["subject"] == s} == {"balance", "status"} for s in both
    )


async def test_planted_breaks_are_on_the_lines_that_the_truth_names(house: House) -> None:
    made = await house.simulate()
    lines = {line["line"]: line for line in read(made)}
    for entry in made.truth.planted:
        if entry["line"] is None:
            assert entry["kind"] == "missing_there"
            continue
        line = lines[entry["line"]]
        assert line["account_ref"] == entry["account_ref"]
        stated = {"status": line["status"], "currency": line["currency"]}.get(entry["kind"], line["balance"])
        assert str(stated) == entry["theirs"]
    balances = {e["theirs"] for e in made.truth.planted if e["kind"] == "balance"}
    assert any(Decimal(b) < 0 for b in balances)
    assert any(Decimal(b) == 0 for b in balances)


async def test_without_shares_only_what_cannot_be_stated_differs(house: House) -> None:
    made = await house.simulate(NOTHING)
    assert [(e["kind"], e["account_ref"]) for e in made.truth.planted] == [("missing_there", "ac-0001")]
    assert await differences(house, read(made)) == made.truth.breaks, "what cannot be told apart is left out"


async def test_differences_within_the_tolerance_are_no_breaks(house: House) -> None:
    made = await house.simulate(replace(NOTHING, noise=Decimal("0.5")))
    lines = read(made)
    truth = await house.simulate(NOTHING)
    exact = {line["account_ref"]: line["balance"] for line in read(truth)}
    assert sum(line["balance"] != exact[line["account_ref"]] for line in lines) > 150
    assert await differences(house, lines) == truth.truth.breaks


async def test_the_same_seed_makes_the_same_bytes_and_another_one_others(house: House) -> None:
    one, same, other = await house.simulate(), await house.simulate(), await house.simulate(seed=8)
    assert one.content == same.content
    assert one.truth == same.truth
    assert one.truth.breaks != other.truth.breaks


@pytest.mark.parametrize(
    "values",
    [
        {"delimiter": ";", "decimal_mark": ",", "thousands": ".", "negative": "parentheses"},
        {"encoding": "utf-16", "negative": "trailing_minus", "trailer": {}, "reversed_signs": True},
        {
            "columns": {"Acct": "account_ref", "Owed": "balance", "State": "status", "As of": "processed_at"},
            "statuses": {"open": "UNPAID", "closed": "PAID"},
            "date_format": "%m/%d/%Y",
            "negative": "cr",
            "thousands": ",",
        },
    ],
    ids=["european", "utf-16 with trailer", "own names"],
)
async def test_statements_are_written_in_the_partners_own_layout(
    house: House, values: dict[str, Any]
) -> None:
    plain = read(await house.simulate())
    await house.profile(**values)
    profile = StatementProfile.model_validate(values)
    assert read(await house.simulate(), profile) == plain
    assert read(await house.simulate(packed=True), profile) == plain
    await house.profile()


async def test_a_truth_file_says_the_same_when_it_is_read_again(house: House, tmp_path: Path) -> None:
    made = await house.simulate()
    made.truth.write(tmp_path / "truth.json")
    assert read_truth(tmp_path / "truth.json") == made.truth
    empty = await house.simulate(NOTHING)
    empty.truth.write(tmp_path / "empty.json")
    assert read_truth(tmp_path / "empty.json") == empty.truth


async def test_what_cannot_be_planted_is_told(house: House) -> None:
    made = await house.simulate(replace(NOTHING, missing=Decimal(1)))
    [note] = made.truth.notes
    assert note.startswith("missing: 344 instead of 380: only open accounts")
    async with house.db.transaction(house.tenant) as tx:
        other = await tx.partners.add({"name": "southgate"})
        unknown = await simulate(tx, other, seed=1, shares=ALL, at=AT)
        assert unknown.truth.population == COUNT, "who was sent nothing states all accounts"
        assert unknown.truth.notes[0].startswith("missing: 0 instead of 20")
        bank = await tx.partners.add({"name": "bank", "kind": "bank"})
        with pytest.raises(Conflict, match="there are no payments that bank could state"):
            await simulate(tx, bank, seed=1, shares=ALL)
    async with house.db.platform() as platform:
        empty = await platform.agencies.add({"slug": f"e-{uuid4().hex[:6]}", "name": "Empty"})
    async with house.db.transaction(Tenant.system(empty.id, "test")) as tx:
        nobody = await tx.partners.add({"name": "nobody"})
        with pytest.raises(Conflict, match="there are no accounts that nobody could state"):
            await simulate(tx, nobody, seed=1, shares=ALL)


def test_shares_are_from_nothing_to_all() -> None:
    for wrong in ("-0.1", "1.1", "NaN"):
        with pytest.raises(Invalid, match="stale: must be from 0 to 1"):
            replace(NOTHING, stale=Decimal(wrong))
    with pytest.raises(Invalid, match=r"add up to 1\.2"):
        replace(NOTHING, stale=Decimal("0.6"), missing=Decimal("0.6"))
