"""Records histories of payment plans that ``tests/replay`` replays: small, and invented people only.

``python -m pytest tests/integration/plans/record_histories.py`` writes them anew; commit them after a change
of workflow code that is meant to break with running workflows, and never to silence a replay. The months come
from the server that skips time, the others from a real one.
"""

from tests.integration.accounts.conftest import db
from tests.integration.accounts.record_histories import save
from tests.integration.plans.plan_desk import PlanDesk, today
from tests.integration.plans.test_plan_years import made, years
from tests.integration.plans.years import DAY, Years
from tests.unit.workflows.conftest import serving
from workflows.plans import PaymentPlan

__all__ = ["db", "serving", "years"]


async def test_record_a_card_that_is_paid_early(desk: PlanDesk) -> None:
    account = await desk.debt("200.00")
    plan = await desk.charged(account, instalments=2)
    for number in (1, 2):
        await desk.tell(plan, "pay-early", status=202)
        await desk.stands(plan, instalments=["paid"] * number + ["scheduled"] * (2 - number))
    await desk.workflow(plan).result()
    await save(desk.workflow(plan), "payment-plan-paid-early")


async def test_record_one_that_waits_and_one_that_was_refused(desk: PlanDesk) -> None:
    waiting = await desk.made(await desk.debt())
    await desk.tell(waiting, "pause")
    await desk.tell(waiting, "resume")
    await desk.tell(waiting, "change-date", {"next_due": (today() + 30 * DAY).isoformat()})
    await save(desk.workflow(waiting), "payment-plan-waiting")
    sent = {"payment_method": "pm_nobodyHasThisOne", "copy_sent_on": today().isoformat()}
    problem = (await desk.ask(await desk.debt(), **sent)).json()
    refused = desk.workflow({"id": problem["plan_id"]})
    await refused.result()
    await save(refused, "payment-plan-refused")


async def test_record_months_that_end_with_declines(years: Years) -> None:
    _, ref = await made(years, "300.00", "pm_card_chargeCustomerFail", instalments=3)
    async with years.at_work():
        workflow = await years.start(ref)
        await workflow.execute_update(PaymentPlan.ready)
        assert await workflow.result() == "broken"
        await save(workflow, "payment-plan-broken")


async def test_record_months_that_are_paid(years: Years) -> None:
    _, ref = await made(years, "300.00", instalments=3)
    async with years.at_work():
        workflow = await years.start(ref)
        assert await workflow.result() == "completed"
        await save(workflow, "payment-plan-completed")
