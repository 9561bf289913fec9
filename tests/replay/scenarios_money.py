"""Standard scenarios of what moves money."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from activities.inbox_messages import InboxOutcome, InboxRef
from activities.payment_messages import IntentFacts, PaymentFailure, PaymentView, RefundFacts, RefundFailure
from activities.plan_messages import KeptMethod, PaymentUnderWay, PlanStanding, RefusedMethod
from activities.reconciliation_messages import (
    LookedUp,
    Mended,
    ReconciliationRef,
    ReconciliationRequest,
    ReconciliationSummary,
    SweepRequest,
    Swept,
)
from domain.errors import NotFound
from domain.payments import PaymentStatus as S
from tests.replay.stage import Handle, Run, refusal, scenario
from workflows import queues
from workflows.inbox import InboxEvent
from workflows.payment_messages import PaymentProcessInput, PaymentWay, RefundProcessInput
from workflows.payment_reconciliation import PaymentReconciliation, PaymentSweep
from workflows.payments import PaymentProcess
from workflows.plan_messages import PlanInput
from workflows.plans import PaymentPlan
from workflows.refunds import RefundProcess

DAY = timedelta(days=1)
SWEPT = Swept(payments=1, refunds=0, events=0)


def intent(run: Run, status: str) -> IntentFacts:
    return IntentFacts(
        intent_ref="pi", status=status, amount_received=Decimal(0), currency="USD", created=run.now
    )


def view(run: Run, status: S, **more: Any) -> PaymentView:
    return PaymentView(
        payment_id=run.id("payment"), account_id=run.id("account"), status=status, by_provider=True, **more
    )


async def pay(run: Run, way: PaymentWay = PaymentWay.PROVIDER, *, at_once: bool = True) -> Handle:
    return await run.start(asked(run, way, at_once=at_once), payment_process(run))


def asked(run: Run, way: PaymentWay = PaymentWay.PROVIDER, *, at_once: bool = True) -> PaymentProcessInput:
    made: PaymentProcessInput = run.ref(
        PaymentProcessInput, payment_id=run.id("payment"), way=way, books_at_once=at_once
    )
    return made


def payment_process(run: Run) -> str:
    return queues.payment_workflow_id(run.agency_id, "request", run.scenario.name)


@scenario(PaymentProcess)
async def payment_process_card(run: Run) -> Handle:
    """a card is charged, and whoever asked waits for the first answer"""
    run.answers = {
        "payments.create_intent": [intent(run, "requires_confirmation")],
        "payments.confirm": [intent(run, "succeeded")],
        "ledger.record_intent": [view(run, S.SUCCEEDED)],
    }
    handle = await run.start_with(PaymentProcess.first_answer, asked(run), payment_process(run))
    await handle.result()
    return handle


@scenario(PaymentProcess)
async def payment_process_declined(run: Run) -> Handle:
    """the provider refuses for good"""
    failure = PaymentFailure(
        agency_id=run.agency_id, payment_id=run.id("payment"), code="card_declined", message="no"
    )
    run.answers = {
        "payments.create_intent": [failure],
        "ledger.record_failure": [view(run, S.FAILED)],
    }
    handle = await pay(run)
    await handle.result()
    return handle


@scenario(PaymentProcess)
async def payment_process_debit(run: Run) -> Handle:
    """a bank debit that takes a while: looked after, told of by the provider; the books are locked once"""
    run.answers = {
        "payments.create_intent": [intent(run, "processing")],
        "payments.look_up": [intent(run, "processing"), intent(run, "succeeded")],
        "ledger.record_intent": [
            refusal("unavailable"),
            view(run, S.PROCESSING),
            view(run, S.PROCESSING),
            view(run, S.SUCCEEDED),
        ],
    }
    handle = await pay(run)
    await run.rest(handle, "ledger.record_intent", 2)
    await run.sleep(timedelta(seconds=90))
    await run.rest(handle, "ledger.record_intent", 3)
    await handle.signal(PaymentProcess.provider_spoke)
    await handle.result()
    return handle


@scenario(PaymentProcess)
async def payment_process_link(run: Run) -> Handle:
    """a page on which the debtor pays is opened and nobody comes: it is given up"""
    waiting = view(run, S.REQUIRES_ACTION, action_until=run.now + timedelta(minutes=10))
    run.answers = {
        "payments.open_link": [waiting],
        "payments.look_up": [None],
        "payments.give_up": [intent(run, "canceled")],
        "ledger.record_intent": [view(run, S.FAILED)],
    }
    handle = await pay(run, PaymentWay.LINK)
    await handle.result()
    return handle


@scenario(PaymentProcess)
async def payment_process_cash(run: Run) -> Handle:
    """money that was handed in, by a process of the shape before the books were local"""
    run.answers = {"ledger.record_received": [view(run, S.SUCCEEDED)]}
    handle = await pay(run, PaymentWay.HAND, at_once=False)
    await handle.result()
    return handle


@scenario(RefundProcess)
async def refund_process_card(run: Run) -> Handle:
    """a refund that the bank takes its time for"""
    facts = RefundFacts(refund_ref="re", status="pending", amount=Decimal(1), currency="USD", created=run.now)
    run.answers = {
        "refunds.refund": [facts],
        "refunds.look_up": [facts.model_copy(update={"status": "succeeded"})],
        "ledger.record_refund": [view(run, S.SUCCEEDED), view(run, S.REFUNDED)],
    }
    refund_id = queues.refund_workflow_id(run.id("refund"))
    handle = await run.start_with(RefundProcess.first_answer, refund(run), refund_id)
    await run.rest(handle, "ledger.record_refund")
    await run.sleep(timedelta(seconds=90))
    await handle.result()
    return handle


@scenario(RefundProcess)
async def refund_process_refused(run: Run) -> Handle:
    """a refund that the provider refuses"""
    ids = {"payment_id": run.id("payment"), "refund_id": run.id("refund")}
    run.answers = {
        "refunds.refund": [RefundFailure(agency_id=run.agency_id, **ids, code="no", message="no")],
        "ledger.record_refund_failure": [view(run, S.SUCCEEDED)],
    }
    handle = await run.start(refund(run), queues.refund_workflow_id(run.id("refund")))
    await handle.result()
    return handle


@scenario(RefundProcess)
async def refund_process_cash(run: Run) -> Handle:
    """money that is handed back"""
    run.answers = {"ledger.record_paid_back": [view(run, S.REFUNDED)]}
    start = refund(run).model_copy(update={"by_provider": False})
    handle = await run.start(start, queues.refund_workflow_id(run.id("refund")))
    await handle.result()
    return handle


def refund(run: Run) -> RefundProcessInput:
    made: RefundProcessInput = run.ref(
        RefundProcessInput, payment_id=run.id("payment"), refund_id=run.id("refund")
    )
    return made


def plan(run: Run) -> PlanInput:
    made: PlanInput = run.ref(PlanInput, plan_id=run.id("plan"))
    return made


@scenario(PaymentPlan)
async def payment_plan_charged(run: Run) -> Handle:
    """a card is kept, an instalment waited for and charged by a child, and the plan is completed"""
    waits = PlanStanding(status="active", of=1, number=1, look_at=run.now + 7 * DAY)
    due = PlanStanding(
        status="active", of=1, number=1, payment=PaymentUnderWay(payment_id=run.id("payment"), key="plan/1")
    )
    kept = run.ref(KeptMethod, plan_id=run.id("plan"), customer_ref="cus", payment_method="pm", method="card")
    run.answers = {
        "plans.advance": [
            PlanStanding(status="active", of=1, needs_method=True),
            waits,
            due,
            PlanStanding(status="completed", of=1),
        ],
        "plans.keep_method": [kept],
        "plans.record_method": [waits],
        "payments.create_intent": [intent(run, "succeeded")],
        "ledger.record_intent": [view(run, S.SUCCEEDED)],
    }
    handle = await run.start_with(PaymentPlan.ready, plan(run), queues.plan_workflow_id(run.id("plan")))
    await run.rest(handle, "plans.advance", 2)
    await run.sleep(8 * DAY)
    await handle.result()
    return handle


@scenario(PaymentPlan)
async def payment_plan_paused(run: Run) -> Handle:
    """a plan in trouble, tried again; then paused, until somebody changes it; its method is refused"""
    refused = run.ref(RefusedMethod, plan_id=run.id("plan"), reason="no")
    run.answers = {
        "plans.advance": [
            refusal("conflict"),
            PlanStanding(status="paused", of=1),
            PlanStanding(status="active", of=1, needs_method=True),
            PlanStanding(status="cancelled", of=1),
        ],
        "plans.keep_method": [refused],
        "plans.refuse_method": [PlanStanding(status="cancelled", of=1)],
    }
    handle = await run.start(plan(run), queues.plan_workflow_id(run.id("plan")))
    await run.rest(handle, "plans.advance")
    await run.sleep(timedelta(minutes=11))
    await run.rest(handle, "plans.advance", 2)
    await handle.signal(PaymentPlan.changed)
    await handle.result()
    return handle


@scenario(InboxEvent)
async def inbox_event_handled(run: Run) -> Handle:
    """what the provider has told is brought to its payment"""
    run.answers = {"inbox.handle": [InboxOutcome(status="handled")]}
    return await tell(run)


@scenario(InboxEvent)
async def inbox_event_failed(run: Run) -> Handle:
    """what the provider has told cannot be handled now"""
    run.answers = {
        "inbox.handle": [refusal("conflict")],
        "inbox.fail": [InboxOutcome(status="failed", reason="not like this")],
    }
    return await tell(run)


async def tell(run: Run) -> Handle:
    start = run.ref(InboxRef, event_id=run.id("event"))
    handle = await run.start(start, queues.inbox_workflow_id(run.id("event")))
    await handle.result()
    return handle


@scenario(PaymentSweep)
async def payment_sweep(run: Run) -> Handle:
    """what rows wait for is started"""
    run.answers = {"payments.sweep": [SWEPT]}
    handle = await run.start(run.ref(SweepRequest), queues.payment_sweep_workflow_id(run.agency_id))
    await handle.result()
    return handle


async def reconcile(run: Run) -> Handle:
    start = run.ref(ReconciliationRequest, origin="manual", run_id=run.id("run"))
    return await run.start(start, queues.reconciliation_workflow_id(run.id("run")))


@scenario(PaymentReconciliation)
async def payment_reconciliation(run: Run) -> Handle:
    """swept, looked up in two batches, compared, mended in two batches, concluded"""
    after = run.id("payment")
    run.answers = {
        "payment_reconciliation.open": [run.ref(ReconciliationRef, run_id=run.id("run"))],
        "payments.sweep": [SWEPT],
        "payment_reconciliation.look_up": [
            LookedUp(looked_up=2, changed=1, after=after),
            LookedUp(looked_up=1, changed=0),
        ],
        "payment_reconciliation.stage": [None],
        "payment_reconciliation.mend": [
            Mended(looked_up=1, changed=1, after="ch"),
            Mended(looked_up=0, changed=0),
        ],
        "payment_reconciliation.conclude": [
            ReconciliationSummary(run_id=run.id("run"), status="completed", looked_up=4, mended=2, breaks=0)
        ],
    }
    handle = await reconcile(run)
    await handle.result()
    return handle


@scenario(PaymentReconciliation)
async def payment_reconciliation_failed(run: Run) -> Handle:
    """the row that was made for it says why it cannot be"""
    run.answers = {
        "payment_reconciliation.open": [refusal(NotFound.type)],
        "payment_reconciliation.fail": [None],
    }
    handle = await reconcile(run)
    return await run.ended(handle)
