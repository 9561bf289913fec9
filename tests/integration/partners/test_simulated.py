"""A simulated partner's statement, over SFTP and through a whole run: the truth file and the run agree."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from benchmarks.placed import place
from domain.tenancy import Tenant
from sandbox.partner_shares import Shares
from sandbox.partner_simulator import Simulated, simulate
from sandbox.planted import Score
from tests.integration.partners.office import Json, PartnerOffice

ACCOUNTS = 500
NOTHING = Shares(balance=Decimal(0), status=Decimal(0), missing=Decimal(0), duplicates=Decimal(0))
EXACT = Shares(unknown=Decimal("0.02"), currency=Decimal("0.02"), noise=Decimal("0.10"))
WRITTEN_OTHERWISE = replace(NOTHING, variants=Decimal("0.10"))
VARIANT_RULES = """
matching:
  variants:
    strip_prefixes: [REF-]
    ignore_case: true
    ignore_punctuation: true
    ignore_leading_zeros: true
"""


@pytest.fixture(scope="module")
async def stocked(office: PartnerOffice, module_database: Any) -> PartnerOffice:
    """An office with many accounts."""

    async def query(statement: str, *values: Any) -> None:
        async with await psycopg.AsyncConnection.connect(module_database.superuser_url) as link:
            await link.execute(statement.encode(), values)

    await place(query, office.agency_id, ACCOUNTS)
    await query("UPDATE account SET external_ref = 'ac-' || lpad(external_ref, 4, '0')")
    return office


async def known(office: PartnerOffice, **changes: Any) -> Json:
    """A partner that has named every account, rightly."""
    partner = await office.partner(**changes)
    run, score = await measured(office, partner, NOTHING)
    assert (run["matched"], run["breaks"], score.overall.planted) == (ACCOUNTS, 0, 0)
    return partner


async def measured(office: PartnerOffice, partner: Json, shares: Shares) -> tuple[Json, Score]:
    """A run over a simulated statement, and how right it is."""
    made = await simulated(office, partner, shares)
    (office.folder(partner["name"]) / made.name).write_bytes(made.content)
    run = await office.reconciled(partner)
    assert run["status"] == "completed", run["reason"]
    assert run["lines"] == made.truth.lines
    found = await office.query(
        "SELECT kind, subject FROM reconciliation_break WHERE run_id = :run", run=UUID(run["id"])
    )
    return run, made.truth.score((kind, subject) for kind, subject in found)


async def simulated(office: PartnerOffice, partner: Json, shares: Shares) -> Simulated:
    async with office.world.database.transaction(Tenant.system(office.agency_id, "test")) as tx:
        row = await tx.partners.get(UUID(partner["id"]))
        return await simulate(tx, row, seed=7, shares=shares)


@pytest.mark.timeout(120)
async def test_every_planted_break_is_found_and_nothing_else(stocked: PartnerOffice) -> None:
    run, score = await measured(stocked, await known(stocked), EXACT)
    assert (score.missed, score.invented) == (frozenset(), frozenset())
    assert (score.overall.precision, score.overall.recall) == (1.0, 1.0)
    assert set(score.by_kind) == {
        "balance", "status", "missing_here", "missing_there", "duplicate", "currency",
    }  # fmt: skip
    assert run["breaks"] == score.overall.planted > ACCOUNTS // 4


@pytest.mark.timeout(120)
async def test_references_written_otherwise_are_found_by_rules_and_never_guessed(
    stocked: PartnerOffice,
) -> None:
    partner = await known(stocked)
    _, guessed = await measured(stocked, partner, WRITTEN_OTHERWISE)
    not_found = {kind: measure.found for kind, measure in guessed.by_kind.items()}
    assert not_found == {"missing_here": ACCOUNTS // 10, "missing_there": ACCOUNTS // 10}

    await stocked.done("PUT", f"/partners/{partner['id']}/rules", {"rules": VARIANT_RULES})
    run, score = await measured(stocked, partner, WRITTEN_OTHERWISE)
    assert (score.overall.found, score.overall.planted) == (0, 0), score.as_json()
    assert (run["matched"], run["cured"]) == (ACCOUNTS, 2 * ACCOUNTS // 10)
