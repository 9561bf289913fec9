"""A reconciliation of a statement with all accounts, against one FULL JOIN that inserts as many rows."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from activities.partner_run_messages import PartnerReconciliationRequest
from benchmarks import stated
from benchmarks.medians import Turns
from benchmarks.memory import watched
from benchmarks.placed import place
from benchmarks.spans import history
from workflows import queues
from workflows.partner_reconciliation import PartnerReconciliation

if TYPE_CHECKING:
    from uuid import UUID

    from benchmarks.stated import Stated
    from benchmarks.world import Shop, World

MOST_RATIO = 2.0


@dataclass(frozen=True, slots=True)
class ReconciliationTimes:
    """One run: seconds from the start of its workflow to completed, what it found, the worker's peak."""

    wall_s: float
    lines: int
    breaks: int
    peak_bytes: int


class ReconciliationFigures(Turns[ReconciliationTimes]):
    """Runs on a partner's first statement, floors, and runs on the next one, which says the same again."""


async def measure(
    world: "World", accounts: int, repeat: int, report: Callable[[str], None]
) -> ReconciliationFigures:
    """Reconcile a statement about ``accounts`` with them, and insert the same rows by one join, in turn."""
    first, floors, again = [], [], []
    async with world.shop() as shop:
        report(f"placing {accounts:,} accounts")
        await place(shop.query, shop.agency_id, accounts)
        for turn in range(1, repeat + 1):
            await _clear(shop)
            partner_id = await stated.partner(shop.query, shop.agency_id)
            made = await stated.stage(shop.query, shop.agency_id, partner_id)
            first.append(await _run(shop, made))
            report(f"{turn} of {repeat}: {made.lines:,} lines reconciled in {first[-1].wall_s:.1f} s")
            made = await stated.stage(shop.query, shop.agency_id, partner_id)
            again.append(await _run(shop, made))
            report(f"{turn} of {repeat}: the next statement in {again[-1].wall_s:.1f} s")
            await _clear(shop)
            partner_id = await stated.partner(shop.query, shop.agency_id)
            await stated.stage(shop.query, shop.agency_id, partner_id)
            floors.append(await _floor(shop, partner_id, expect=first[-1].breaks))
            report(f"{turn} of {repeat}: floor {floors[-1]:.1f} s")
    return ReconciliationFigures(accounts, tuple(first), tuple(floors), tuple(again))


async def _run(shop: "Shop", made: "Stated") -> ReconciliationTimes:
    client, run_id = shop.world.client, uuid.uuid4()
    workflow_id = queues.partner_reconciliation_workflow_id(run_id)
    await shop.world.checkpoint()
    async with watched(shop.worker.pid or 0) as peak:
        summary = await client.execute_workflow(
            PartnerReconciliation.run,
            PartnerReconciliationRequest(
                agency_id=shop.agency_id,
                partner_id=made.partner_id,
                origin="manual",
                run_id=run_id,
                requested_by="bench",
            ),
            id=workflow_id,
            task_queue=queues.LIFECYCLE,
        )
    if summary is None or (summary.status, summary.lines) != ("completed", made.lines):
        raise RuntimeError(f"the run of the bench ended as {summary}")
    began = (await history(client.get_workflow_handle(workflow_id))).began
    [run] = await shop.query("SELECT completed_at FROM partner_reconciliation WHERE id = %s", run_id)
    wall_s = (run["completed_at"] - began).total_seconds()
    return ReconciliationTimes(wall_s, summary.lines, summary.breaks, peak.look())


async def _clear(shop: "Shop") -> None:
    await shop.query(
        "TRUNCATE partner_account, partner_run_break, reconciliation_break, statement, statement_line CASCADE"
    )
    await shop.query("UPDATE partner SET name = id::text")


async def _floor(shop: "Shop", partner_id: "UUID", *, expect: int) -> float:
    """One statement that joins lines and accounts and inserts as many rows into the same tables."""
    await shop.world.checkpoint()
    began = time.monotonic()
    inserted = await shop.query(_FLOOR, partner_id, partner_id)
    took = time.monotonic() - began
    if inserted[0]["breaks"] != expect:
        raise RuntimeError(f"the floor has {inserted[0]['breaks']} breaks, the product {expect}")
    return took


_FLOOR = """
    WITH joined AS MATERIALIZED (
        SELECT l.*, a.id AS account_id, a.agency_id AS agency, a.external_ref, a.balance AS ours,
               a.status AS ours_status
          FROM statement_line l FULL JOIN account a ON a.external_ref = l.account_ref),
    known AS (
        INSERT INTO partner_account (partner_id, account_id, agency_id, reference, balance, status, currency,
                                     processed_at, matched_by, statement_id, line)
        SELECT %s, account_id, agency, account_ref, balance, status, currency, processed_at, 'reference',
               statement_id, line
          FROM joined WHERE account_id IS NOT NULL AND line IS NOT NULL),
    breaks AS (
        INSERT INTO reconciliation_break (
               agency_id, source, kind, subject, partner_id, account_id, account_ref, statement_id, line,
               ours, theirs, ours_status, theirs_status, theirs_at, difference, value, currency, rule,
               probable_cause)
        SELECT COALESCE(agency_id, agency), 'partner', k.kind, COALESCE(account_id::text, account_ref), %s,
               account_id, COALESCE(external_ref, account_ref), statement_id, line, ours, balance,
               ours_status, status, processed_at, COALESCE(balance, 0) - COALESCE(ours, 0),
               abs(COALESCE(balance, ours)), 'USD', 'reference', 'constant'
          FROM joined
         CROSS JOIN LATERAL (
            SELECT 'balance' AS kind WHERE balance <> ours
            UNION ALL SELECT 'status' WHERE status = 'PAID' AND account_id IS NOT NULL
            UNION ALL SELECT 'missing_here' WHERE account_id IS NULL
            UNION ALL SELECT 'missing_there'
                       WHERE line IS NULL AND account_id IN (SELECT account_id FROM partner_account)) k
        RETURNING 1)
    SELECT count(*) AS breaks FROM breaks
"""
