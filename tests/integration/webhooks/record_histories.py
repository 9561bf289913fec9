"""Records histories of events, sweeps and reconciliations that ``tests/replay`` replays.

``python -m pytest tests/integration/webhooks/record_histories.py`` writes them anew; commit them after a
change of workflow code that is meant to break with running workflows, and never to silence a replay.
"""

from uuid import UUID

from activities.reconciliation_messages import SweepRequest
from tests.integration.accounts.record_histories import save
from tests.integration.webhooks.office import Office
from workflows.payment_reconciliation import PaymentSweep
from workflows.queues import (
    LIFECYCLE,
    inbox_workflow_id,
    payment_sweep_workflow_id,
    reconciliation_workflow_id,
)


async def test_record_an_event_that_is_handled(office: Office) -> None:
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    await office.caller.done("refunds", payment_intent=payment["processor_ref"], amount=1000)
    await office.ends(payment, "partially_refunded")
    row = await office.came("refund.created", payment["processor_ref"], "handled")
    await save(office.temporal.get_workflow_handle(inbox_workflow_id(row["id"])), "inbox-event-handled")


async def test_record_an_event_that_fails(office: Office) -> None:
    intent = (await office.other_currency())["id"]
    row = await office.came("payment_intent.succeeded", intent, "failed")
    await save(office.temporal.get_workflow_handle(inbox_workflow_id(row["id"])), "inbox-event-failed")


async def test_record_a_sweep(office: Office) -> None:
    sweep = await office.temporal.start_workflow(
        PaymentSweep.run,
        SweepRequest(agency_id=office.agency_id),
        id=payment_sweep_workflow_id(office.agency_id),
        task_queue=LIFECYCLE,
    )
    await sweep.result()
    await save(sweep, "payment-sweep-with-nothing-to-do")


async def test_record_a_reconciliation(office: Office) -> None:
    debt = await office.debt("100.00")
    await office.paid(debt, "40.00")
    await office.caller.paid(700)
    run = await office.reconciled()
    assert run["breaks"] >= 1
    handle = office.temporal.get_workflow_handle(reconciliation_workflow_id(UUID(run["id"])))
    await save(handle, "payment-reconciliation-with-a-break")


async def test_record_a_reconciliation_that_fails(office: Office) -> None:
    await office.put_key("rival", "sk_test_expired_key")
    run = await office.reconciled("rival")
    assert run["status"] == "failed"
    handle = office.temporal.get_workflow_handle(reconciliation_workflow_id(UUID(run["id"])))
    await save(handle, "payment-reconciliation-failed")
