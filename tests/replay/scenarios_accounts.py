"""Standard scenarios of accounts and of what is done for an agency's accounts together."""

from datetime import timedelta
from typing import Any

from activities.account_messages import AccountSnapshot, Assign, CommandIdentity, Transition
from activities.admission import Admitted, Place
from activities.assignment import (
    AssignedChunk,
    AssignmentRef,
    AssignmentRequest,
    AssignmentSummary,
)
from activities.figures import FiguresRequest, RefreshedFigures
from activities.messages import AccountRef, AgencyRef
from activities.notices import Delivered, NoticePlace
from activities.partitions import MaintenanceRequest, PartitionsMade
from activities.scoring import ScoringRef, ScoringRequest, ScoringSummary
from domain.accounts import AccountStatus as S
from domain.deadlines import Deadline, DeadlineKind
from tests.replay.stage import Handle, Run, refusal, scenario
from workflows import queues
from workflows.account_messages import LifecycleInput
from workflows.accounts import AccountLifecycle
from workflows.admission import Admission
from workflows.assignment import AutoAssignment
from workflows.figures import FiguresRefresh
from workflows.notices import NoticeDelivery
from workflows.partitions import PartitionMaintenance
from workflows.scoring import PortfolioScoring

DAY = timedelta(days=1)


def snapshot(run: Run, status: S, *deadlines: tuple[DeadlineKind, int]) -> AccountSnapshot:
    """An account as it is; deadlines in days from when the scenario began."""
    return AccountSnapshot(
        status=status,
        version=1,
        is_open=status not in {S.SETTLED, S.CLOSED},
        follow_up_at=run.now + 30 * DAY,
        deadlines=tuple(
            Deadline(kind=kind, at=run.now + days * DAY, subject_id=run.id(kind)) for kind, days in deadlines
        ),
    )


def command(run: Run, kind: type[Any], **more: Any) -> Any:
    account = run.ref(AccountRef, account_id=run.id("account"))
    identity = CommandIdentity(operation=kind.__name__, key="key", body_hash="00" * 32)
    return kind(account=account, identity=identity, actor_kind="user", actor="admin", **more)


async def live(run: Run) -> Handle:
    start = run.ref(LifecycleInput, account_id=run.id("account"), alarms=True)
    return await run.start(start, queues.account_workflow_id(run.id("account")))


@scenario(AccountLifecycle)
async def account_lifecycle(run: Run) -> Handle:
    """assigned, promised, left alone until a deadline rings, paid off"""
    waits = (DeadlineKind.FOLLOW_UP, 30)
    promise = (DeadlineKind.PROMISE_DUE, 10)
    run.answers = {
        "accounts.load": [snapshot(run, S.NEW, waits)],
        "accounts.assign": [snapshot(run, S.ASSIGNED, waits, promise)],
        "accounts.deadline_reached": [snapshot(run, S.IN_CONTACT, (DeadlineKind.FOLLOW_UP, 40))],
        "accounts.payment_posted": [snapshot(run, S.CLOSED)],
        "admission.release": [None],
    }
    handle = await live(run)
    await run.rest(handle, "accounts.load")
    await handle.execute_update(
        AccountLifecycle.assign, command(run, Assign, collector_id=run.id("collector"))
    )
    await run.sleep(11 * DAY)
    await run.rest(handle, "accounts.deadline_reached")
    await handle.signal(AccountLifecycle.payment_posted)
    await handle.result()
    return handle


@scenario(AccountLifecycle)
async def account_lifecycle_in_trouble(run: Run) -> Handle:
    """a refused command, a step tried again after a pause, a transition by signal that is refused"""
    run.answers = {
        "accounts.load": [snapshot(run, S.NEW), refusal("unavailable"), snapshot(run, S.ASSIGNED)],
        "accounts.assign": [refusal("conflict")],
        "accounts.transition": [refusal("illegal-move")],
        "accounts.note_refusal": [None],
    }
    handle = await live(run)
    await run.rest(handle, "accounts.load")
    assign = command(run, Assign, collector_id=run.id("collector"))
    await run.refused(handle.execute_update(AccountLifecycle.assign, assign))
    await run.rest(handle, "accounts.load", 2)
    await run.sleep(timedelta(minutes=11))
    await run.rest(handle, "accounts.load", 3)
    await handle.signal(AccountLifecycle.ask_transition, command(run, Transition, new_status=S.IN_CONTACT))
    await run.rest(handle, "accounts.load", 4)
    return handle


@scenario(AccountLifecycle)
async def account_lifecycle_recalled(run: Run) -> Handle:
    """the admission at work is told that a place is free"""
    run.answers = {
        "admission.admit": [Admitted(started=1, after=None, more=True, pause_s=3600)],
        "accounts.load": [snapshot(run, S.CLOSED)],
        "admission.release": [None],
    }
    other = await run.environment.client.start_workflow(
        Admission.run,
        run.ref(AgencyRef),
        id=queues.admission_workflow_id(run.agency_id),
        task_queue=queues.LIFECYCLE,
    )
    await run.rest(other, "admission.admit")
    handle = await live(run)
    await handle.result()
    return handle


@scenario(Admission)
async def admission(run: Run) -> Handle:
    """two batches with a pause between"""
    place = Place(rank=1, account_id=run.id("account"))
    run.answers = {
        "admission.admit": [
            Admitted(started=2, after=place, more=True, pause_s=2),
            Admitted(started=1, after=None, more=False, pause_s=0),
        ]
    }
    handle = await run.start(run.ref(AgencyRef), queues.admission_workflow_id(run.agency_id))
    await handle.result()
    return handle


@scenario(Admission)
async def admission_scheduled(run: Run) -> Handle:
    """a schedule's run has the one admission look"""
    handle = await run.start(run.ref(AgencyRef), f"{queues.admission_workflow_id(run.agency_id)}-2026")
    await handle.result()
    return handle


@scenario(AutoAssignment)
async def auto_assignment(run: Run) -> Handle:
    """two chunks"""
    run.answers = {
        "assignment.begin": [run.ref(AssignmentRef, run_id=run.id("run"))],
        "assignment.assign_chunk": [
            AssignedChunk(assigned=2, more=True),
            AssignedChunk(assigned=1, more=False),
        ],
        "assignment.finish": [
            AssignmentSummary(run_id=run.id("run"), status="completed", assigned=3, left_over=0, collectors=1)
        ],
    }
    handle = await run.start(run.ref(AssignmentRequest), queues.assignment_workflow_id(run.agency_id))
    await handle.result()
    return handle


@scenario(AutoAssignment)
async def auto_assignment_failed(run: Run) -> Handle:
    """a chunk fails for good, and the run's row says so"""
    run.answers = {
        "assignment.begin": [run.ref(AssignmentRef, run_id=run.id("run"))],
        "assignment.assign_chunk": [refusal("conflict")],
        "assignment.fail": [None],
    }
    handle = await run.start(run.ref(AssignmentRequest), queues.assignment_workflow_id(run.agency_id))
    return await run.ended(handle)


@scenario(AutoAssignment)
async def auto_assignment_scheduled(run: Run) -> Handle:
    """a schedule's run sees to it that one is at work"""
    workflow_id = queues.daily_assignment_workflow_id(run.agency_id)
    handle = await run.start(run.ref(AssignmentRequest), workflow_id)
    await handle.result()
    return handle


@scenario(NoticeDelivery)
async def notice_delivery(run: Run) -> Handle:
    """two batches"""
    place = NoticePlace(noted_at=run.now, account_id=run.id("account"))
    run.answers = {"notices.deliver": [Delivered(told=2, after=place), Delivered(told=1, after=None)]}
    handle = await run.start(run.ref(AgencyRef), queues.notice_workflow_id(run.agency_id))
    await handle.result()
    return handle


@scenario(FiguresRefresh)
async def figures_refresh(run: Run) -> Handle:
    """counted"""
    run.answers = {"figures.refresh": [RefreshedFigures(as_of=run.now)]}
    handle = await run.start(run.ref(FiguresRequest), queues.figures_workflow_id(run.agency_id))
    await handle.result()
    return handle


@scenario(PartitionMaintenance)
async def partition_maintenance(run: Run) -> Handle:
    """months are made ahead"""
    run.answers = {"partitions.make": [PartitionsMade(made=("audit_record_2030_01",), months_ahead=18)]}
    handle = await run.start(MaintenanceRequest(), "partitions")
    await handle.result()
    return handle


@scenario(PortfolioScoring)
async def portfolio_scoring(run: Run) -> Handle:
    """waits for its turn, scores three chunks, starts the admission and a sending to a partner"""
    run.answers = {
        "scoring.open": [run.ref(ScoringRef, run_id=run.id("run"))],
        "scoring.begin": [False, True],
        "scoring.open_chunks": [[0, 1, 2]],
        "scoring.score_chunk": [10],
        "scoring.finish": [
            ScoringSummary(
                run_id=run.id("run"),
                status="completed",
                scored=30,
                high_priority=1,
                levels={},
                partners=(run.id("partner"),),
            )
        ],
    }
    request = run.ref(ScoringRequest, origin="manual", run_id=run.id("run"))
    handle = await run.start(request, queues.scoring_workflow_id(run.id("run")))
    await handle.result()
    return handle


@scenario(PortfolioScoring)
async def portfolio_scoring_failed(run: Run) -> Handle:
    """the chunks cannot be opened, and the run gives its turn back"""
    run.answers = {
        "scoring.open": [run.ref(ScoringRef, run_id=run.id("run"))],
        "scoring.begin": [True],
        "scoring.open_chunks": [refusal("conflict")],
        "scoring.fail": [None],
    }
    request = run.ref(ScoringRequest, origin="manual", run_id=run.id("run"))
    return await run.ended(await run.start(request, queues.scoring_workflow_id(run.id("run"))))
