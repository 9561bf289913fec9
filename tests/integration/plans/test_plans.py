"""Payment plans over REST, with the worker and the Stripe stand-in."""

from tests.integration.plans.plan_desk import DAY, PlanDesk, today


async def test_a_card_is_kept_for_the_plan_and_charged_without_its_holder(desk: PlanDesk) -> None:
    account = await desk.debt("300.00")

    plan = await desk.charged(account)

    assert (plan["status"], plan["method"], plan["total"]) == ("active", "card", "300.00")
    assert plan["payment_method"].startswith("pm_")
    assert plan["payment_method"] != "pm_card_visa"
    assert plan["next_due"] == (today() + 10 * DAY).isoformat()
    assert await desk.account(account) == ("payment_plan", "300.00")
    for number in (1, 2, 3):
        await desk.tell(plan, "pay-early", status=202)
        paid = ["paid"] * number + ["scheduled"] * (3 - number)
        plan = await desk.stands(plan, instalments=paid)
    assert (plan["status"], plan["paid"], plan["left"], plan["next_due"]) == (
        "completed",
        "300.00",
        "0.00",
        None,
    )
    assert await desk.account(account) == ("closed", "0.00")
    charges = await desk.till.charges(account)
    assert [charge["amount"] for charge in charges] == [10000] * 3
    assert len({charge["payment_method"] for charge in charges}) == 1
    assert {charge["customer"] is None for charge in charges} == {False}
    assert await desk.workflow(plan).result() == "completed"
