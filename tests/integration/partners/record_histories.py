"""Records histories of reconciliations with partners that ``tests/replay`` replays; invented accounts only.

``python -m pytest tests/integration/partners/record_histories.py`` writes them anew; commit them after a
change of workflow code that is meant to break with running workflows, and never to silence a replay.
"""

from uuid import UUID

from activities.partner_run_messages import PartnerReconciliationRequest
from tests.integration.accounts.record_histories import save
from tests.integration.partners.office import Json, PartnerOffice
from workflows.partner_reconciliation import PartnerReconciliation
from workflows.queues import LIFECYCLE, daily_partner_reconciliation_workflow_id


async def test_record_a_run_with_breaks_and_a_file_that_is_refused(
    office: PartnerOffice, partner: Json
) -> None:
    [account] = await office.accounts(1, "5000.00")
    office.send(partner, [(account["external_ref"], "10.00", "PARTIAL"), ("NOBODY", "1.00", "UNPAID")])
    office.send(partner, "account_ref,balance\n", "broken.csv")
    run = await office.reconciled(partner)
    assert (run["status"], run["breaks"]) == ("completed", 2)
    await save(office.process(run), "partner-reconciliation-with-breaks")


async def test_record_a_dry_run_over_messages(office: PartnerOffice, partner: Json) -> None:
    run = await office.reconciled(partner, scope="messages", dry_run=True)
    assert run["status"] == "completed"
    await save(office.process(run), "partner-reconciliation-dry")


async def test_record_a_run_that_cannot_go_on(office: PartnerOffice, partner: Json) -> None:
    spoil = (
        "INSERT INTO partner_rules (agency_id, partner_id, version, body, sha256, created_by)"
        " VALUES (:agency, :id, 1, 'resolve: [{kind: luck}]', 'x', 'test')"
    )
    await office.query(spoil, agency=office.agency_id, id=UUID(partner["id"]))
    run = await office.reconciled(partner)
    assert run["status"] == "failed"
    await save(office.process(run), "partner-reconciliation-failed")


async def test_record_a_scheduled_one_that_is_left_out(office: PartnerOffice, partner: Json) -> None:
    await office.done("PATCH", f"/partners/{partner['id']}", {"active": False})
    partner_id = UUID(partner["id"])
    handle = await office.temporal.start_workflow(
        PartnerReconciliation.run,
        PartnerReconciliationRequest(agency_id=office.agency_id, partner_id=partner_id),
        id=daily_partner_reconciliation_workflow_id(partner_id),
        task_queue=LIFECYCLE,
    )
    assert await handle.result() is None
    await save(handle, "partner-reconciliation-left-out")
