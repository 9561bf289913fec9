"""A scoring run over all accounts of an agency, against one INSERT … SELECT of as many constant rows."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from activities.scoring import ScoringRequest
from benchmarks.medians import Turns
from benchmarks.memory import watched
from benchmarks.placed import place
from benchmarks.spans import history
from workflows import queues
from workflows.scoring import PortfolioScoring

if TYPE_CHECKING:
    from benchmarks.world import Shop, World

FEW_ACCOUNTS = 100_000
MOST_RATIO = 2.0
MOST_GROWTH = 1.1
"""Memory is flat: for ten times the accounts the worker may hold this many times as much."""


@dataclass(frozen=True, slots=True)
class ScoringRunTimes:
    """One run: seconds from the start of its workflow to completed, accounts written, worker's peak."""

    wall_s: float
    changed: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class ScoringFigures(Turns[ScoringRunTimes]):
    """Runs that score everything for the first time, floors, runs that find everything unchanged, and few."""

    few: ScoringRunTimes


async def measure(
    world: "World", accounts: int, repeat: int, report: Callable[[str], None]
) -> ScoringFigures:
    """Score ``accounts`` from nothing, write as many constant rows, and score again, ``repeat`` times."""
    few = await _few(world, min(accounts, FEW_ACCOUNTS), report)
    first, floors, again = [], [], []
    async with world.shop() as shop:
        report(f"placing {accounts:,} accounts")
        await place(shop.query, shop.agency_id, accounts)
        for turn in range(1, repeat + 1):
            await _clear(shop)
            first.append(await _run(shop, expect=accounts))
            report(f"{turn} of {repeat}: scored in {first[-1].wall_s:.1f} s")
            again.append(await _run(shop, expect=0))
            report(f"{turn} of {repeat}: scored again, unchanged, in {again[-1].wall_s:.1f} s")
            notices = (await shop.query("SELECT count(*) FROM high_priority_notice"))[0]["count"]
            await _clear(shop)
            floors.append(await _floor(shop, notices))
            report(f"{turn} of {repeat}: floor {floors[-1]:.1f} s")
    return ScoringFigures(accounts, tuple(first), tuple(floors), tuple(again), few)


async def _few(world: "World", accounts: int, report: Callable[[str], None]) -> ScoringRunTimes:
    async with world.shop() as shop:
        await place(shop.query, shop.agency_id, accounts)
        run = await _run(shop, expect=accounts)
    report(f"{accounts:,} accounts scored in {run.wall_s:.1f} s")
    return run


async def _run(shop: "Shop", *, expect: int) -> ScoringRunTimes:
    client, run_id = shop.world.client, uuid.uuid4()
    await shop.world.checkpoint()
    async with watched(shop.worker.pid or 0) as peak:
        summary = await client.execute_workflow(
            PortfolioScoring.run,
            ScoringRequest(agency_id=shop.agency_id, origin="manual", run_id=run_id, requested_by="bench"),
            id=queues.scoring_workflow_id(run_id),
            task_queue=queues.LIFECYCLE,
        )
    if (summary.status, summary.changed) != ("completed", expect):
        raise RuntimeError(f"the run of the bench ended {summary.status} with {summary.changed} changed")
    began = (await history(client.get_workflow_handle(queues.scoring_workflow_id(run_id)))).began
    [run] = await shop.query("SELECT completed_at FROM scoring_run WHERE id = %s", run_id)
    return ScoringRunTimes((run["completed_at"] - began).total_seconds(), summary.changed, peak.look())


async def _clear(shop: "Shop") -> None:
    await shop.query("TRUNCATE account_score, account_score_history, high_priority_notice")


async def _floor(shop: "Shop", notices: int) -> float:
    """One statement that writes constants into the same tables, for the same accounts in the same order."""
    await shop.world.checkpoint()
    began = time.monotonic()
    await shop.query(_FLOOR, notices)
    return time.monotonic() - began


_FLOOR = """
    WITH card AS (SELECT id FROM scorecard LIMIT 1),
    scores AS (
        INSERT INTO account_score (account_id, agency_id, queued, rank, total, level, priority, high_priority,
                                   points, scorecard_id, scored_at, inputs_hash, account_version,
                                   debtor_version)
        SELECT a.id, a.agency_id, true, 100000000, 300, 'HIGH', 3, true, '{5,5,5,5,5,5}', card.id, now(),
               sha256('constant'), 1, 1
          FROM account a CROSS JOIN card ORDER BY a.id),
    notices AS (
        INSERT INTO high_priority_notice (agency_id, account_id, rank, total, level)
        SELECT agency_id, id, 100000000, 300, 'HIGH' FROM (SELECT * FROM account ORDER BY id LIMIT %s) a)
    INSERT INTO account_score_history (agency_id, account_id, scorecard_id, threshold, total, level, priority,
                                       rank, high_priority, points, balance, monthly_income,
                                       late_payments_count, employment_status, contract_type,
                                       industry_sector, family_situation, inputs_hash)
    SELECT a.agency_id, a.id, card.id, 500000, 300, 'HIGH', 3, 100000000, true, '{5,5,5,5,5,5}', 1000.00,
           2000.00, 2, 'EMPLOYED', 'PERMANENT', 'HEALTHCARE', 'MARRIED_DUAL_INCOME', sha256('constant')
      FROM account a CROSS JOIN card ORDER BY a.id
"""
