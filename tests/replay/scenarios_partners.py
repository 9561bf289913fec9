"""Standard scenarios of partners: what is sent to them, and what they say."""

from datetime import timedelta

from activities.break_messages import BreakRef, BreakStanding, CasesSeenTo
from activities.partner_run_messages import (
    ClosedStatements,
    PartnerReconciliationRequest,
    PartnerReconciliationSummary,
    PartnerRunRef,
)
from activities.partner_sync_messages import SyncRef, SyncRequest, SyncSummary
from activities.statement_messages import PutAway, StagedStatement, StatementFile, StatementSighting
from tests.replay.stage import Handle, Run, refusal, scenario
from workflows import queues
from workflows.break_case import BreakCase
from workflows.partner_reconciliation import PartnerReconciliation
from workflows.partner_sync import REFUSED, PartnerSync

DAY = timedelta(days=1)
FIGURES = {"lines": 2, "problems": 0, "matched": 1, "breaks": 1, "resolved": 0, "cured": 0}


async def work(run: Run) -> Handle:
    start = run.ref(BreakRef, break_id=run.id("break"))
    return await run.start(start, queues.break_workflow_id(run.id("break")))


@scenario(BreakCase)
async def break_case(run: Run) -> Handle:
    """in trouble once, waited for, told to the partner, resolved"""
    run.answers = {
        "breaks.attend": [
            refusal("unavailable"),
            BreakStanding(state="open", look_at=run.now + 3 * DAY),
            BreakStanding(state="proposed", to_tell=True),
            BreakStanding(state="resolved", resolution="written_off", over=True),
        ],
        "breaks.deliver": [None],
    }
    handle = await work(run)
    await run.rest(handle, "breaks.attend")
    await run.sleep(timedelta(minutes=11))
    await run.rest(handle, "breaks.attend", 2)
    await handle.signal(BreakCase.changed)
    await handle.result()
    return handle


@scenario(BreakCase)
async def break_case_escalated(run: Run) -> Handle:
    """nobody answers, and the partner cannot be told"""
    run.answers = {
        "breaks.attend": [
            BreakStanding(state="open", look_at=run.now + 2 * DAY),
            BreakStanding(state="open", escalated=True),
            BreakStanding(state="resolved", to_tell=True),
            BreakStanding(state="resolved", resolution="accepted", over=True),
        ],
        "breaks.deliver": [refusal("partner-refused")],
        "breaks.give_up": [True],
    }
    handle = await work(run)
    await handle.result()
    return handle


@scenario(PartnerReconciliation)
async def partner_reconciliation(run: Run) -> Handle:
    """a statement is staged, matched, concluded; cases are told of it and the file is put away"""
    ids = {"partner_id": run.id("partner"), "run_id": run.id("run")}
    statement = run.ref(
        StatementFile,
        partner_id=run.id("partner"),
        path="/a.csv",
        name="a.csv",
        size=10,
        mtime=1,
        found_at=run.now,
    )
    run.answers = {
        "reconciliation.begin": [run.ref(PartnerRunRef, **ids)],
        "statements.look": [StatementSighting(files=[statement], problems=[], settle_s=3)],
        "statements.stage": [StagedStatement(statement_id=run.id("statement"), state="staged", lines=2)],
        "reconciliation.close": [ClosedStatements(statements=1, lines=2, problems=0)],
        "reconciliation.match": [None],
        "reconciliation.conclude": [
            PartnerReconciliationSummary(run_id=run.id("run"), status="completed", **FIGURES)
        ],
        "breaks.follow": [CasesSeenTo(started=1, told=0)],
        "statements.put_away": [PutAway(moved=1, problems=[])],
    }
    handle = await reconcile(run)
    await handle.result()
    return handle


@scenario(PartnerReconciliation)
async def partner_reconciliation_failed(run: Run) -> Handle:
    """a run that cannot go on gives its statements to the next one"""
    run.answers = {
        "reconciliation.begin": [refusal("conflict")],
        "reconciliation.fail": [None],
    }
    return await run.ended(await reconcile(run))


async def reconcile(run: Run) -> Handle:
    request = run.ref(
        PartnerReconciliationRequest, partner_id=run.id("partner"), origin="manual", run_id=run.id("run")
    )
    return await run.start(request, queues.partner_reconciliation_workflow_id(run.id("run")))


async def send(run: Run) -> Handle:
    request = run.ref(SyncRequest, partner_id=run.id("partner"), sync_id=run.id("sync"))
    return await run.start(request, queues.partner_sync_workflow_id(run.id("sync")))


@scenario(PartnerSync)
async def partner_sync(run: Run) -> Handle:
    """two batches, of which the partner refuses one"""
    run.answers = {
        "partner_sync.open": [run.ref(SyncRef, sync_id=run.id("sync"), batches=2)],
        "partner_sync.deliver": [refusal(REFUSED), None],
        "partner_sync.give_up": [None],
        "partner_sync.finish": [
            SyncSummary(sync_id=run.id("sync"), status="completed", total=2, delivered=1)
        ],
    }
    handle = await send(run)
    await handle.result()
    return handle


@scenario(PartnerSync)
async def partner_sync_failed(run: Run) -> Handle:
    """the partner is away for good"""
    run.answers = {
        "partner_sync.open": [run.ref(SyncRef, sync_id=run.id("sync"), batches=1)],
        "partner_sync.deliver": [refusal("partner-unreachable")],
        "partner_sync.finish": [
            SyncSummary(sync_id=run.id("sync"), status="failed", total=1, delivered=0, reason="away")
        ],
    }
    return await run.ended(await send(run))
