"""Payment plans over REST, with the worker and the Stripe stand-in."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from temporalio.client import WorkflowExecutionStatus

from activities.account_change import AccountChange
from activities.messages import AgencyRef
from domain.business_days import business_days_after
from domain.plan_schedule import Frequency
from domain.tenancy import Tenant
from sandbox.processes import until
from services.plan_forms import PlanForm
from services.plan_making import make_plan
from tests.integration.accounts.desk import SCORERS
from tests.integration.api.commanding import collectors
from tests.integration.api.people import set_account
from tests.integration.payments.till import Json
from tests.integration.plans.plan_desk import DAY, PlanDesk, key, today
from workflows import queues
from workflows.notices import NoticeDelivery

SENT = {"copy_sent_on": today().isoformat()}


async def new_card(desk: PlanDesk) -> str:
    """A card at Stripe that is kept for nobody yet."""
    made = await desk.till.caller.done(
        "payment_methods",
        type="card",
        card__number="4242424242424242",
        card__exp_month="12",
        card__exp_year="2034",
    )
    return str(made["id"])


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
    ended = (plan["status"], plan["paid"], plan["left"], plan["next_due"])
    assert ended == ("completed", "300.00", "0.00", None)
    assert await desk.account(account) == ("closed", "0.00")
    charges = await desk.till.charges(account)
    assert [charge["amount"] for charge in charges] == [10000] * 3
    assert {charge["payment_method"] for charge in charges} == {plan["payment_method"]}
    [customer] = {charge["customer"] for charge in charges}
    kept = await desk.till.caller.get(f"customers/{customer}")
    assert (kept["email"], kept["name"], kept["metadata"]) == (None, None, {"recoup_plan": plan["id"]})
    assert await desk.workflow(plan).result() == "completed"


async def test_what_is_collected_soon_is_listed_for_written_notices(desk: PlanDesk) -> None:
    """Between the third and the tenth business day from today, both included."""
    first, last = (business_days_after(today(), days) for days in (3, 10))
    account, by_hand, paused = [await desk.debt("300.00") for _ in range(3)]
    plan = await desk.charged(account, frequency="weekly", first_due=(today() + DAY).isoformat())
    await desk.made(by_hand, first_due=first.isoformat())
    held = await desk.charged(paused, first_due=first.isoformat())
    await desk.tell(held, "pause")
    listed = (await desk.get("/plans/upcoming?page_size=200"))["results"]
    assert {one["account_id"] for one in listed}.isdisjoint({by_hand["id"], paused["id"]})
    soon = [
        {"plan_id": plan["id"], "number": one["number"], "amount": "100.00", "collect_on": one["collect_on"]}
        for one in plan["instalments"]
        if first.isoformat() <= one["collect_on"] <= last.isoformat()
    ]
    mine = [{name: one[name] for name in soon[0]} for one in listed if one["plan_id"] == plan["id"]]
    assert mine == soon[::-1], "the furthest first"
    theirs = (await desk.get("/plans/upcoming?page_size=200", who="acme.collector"))["results"]
    assert plan["id"] not in {one["plan_id"] for one in theirs}


async def test_a_method_that_is_kept_serves_the_debtor_s_next_plan_and_nobody_else_s(desk: PlanDesk) -> None:
    account = await desk.debt("300.00")
    card = await new_card(desk)
    first = await desk.charged(account, card)
    await desk.tell(first, "cancel", {"reason": "negotiated again"})

    again = await desk.charged(account, card)

    await desk.tell(again, "pay-early", status=202)
    await desk.stands(again, payment_method=card, instalments=["paid", "scheduled", "scheduled"])
    [charge] = await desk.till.charges(account)
    kept = await desk.till.caller.get(f"customers/{charge['customer']}")
    assert kept["metadata"] == {"recoup_plan": first["id"]}
    others = await desk.debt("300.00")
    refused = await desk.ask(others, payment_method=card, copy_sent_on=today().isoformat())
    assert (refused.status_code, refused.json()["field"]) == (422, "payment_method")
    assert "another customer" in refused.json()["detail"]
    assert await desk.account(others) == ("negotiating", "300.00")


async def test_a_method_that_is_not_kept_cannot_be_used_again(desk: PlanDesk) -> None:
    """Stripe's rule, which is why plans keep theirs."""
    account = await desk.debt("300.00")
    plan = await desk.made(account)
    card = await new_card(desk)
    await desk.tell(plan, "pay-early", {"payment_method": card, "method": "card"}, status=202)
    await desk.stands(plan, instalments=["paid", "scheduled", "scheduled"])
    await desk.tell(plan, "pay-early", {"payment_method": card, "method": "card"}, status=202)

    async def failed() -> Json:
        plan_now = await desk.plan(plan)
        second = plan_now["instalments"][1]
        return dict(await desk.till.ends({"id": second["payment_id"]}, "failed"))

    assert (await failed())["failure_code"] is not None
    stands = await desk.stands(plan, instalments=["paid", "scheduled", "scheduled"])
    assert (stands["instalments"][1]["tries"], stands["status"]) == (1, "active")
    assert len(await desk.till.charges(account)) == 1


async def test_a_bank_debit_takes_its_days_and_uses_the_agreement_as_its_mandate(desk: PlanDesk) -> None:
    account = await desk.debt("300.00")
    plan = await desk.charged(account, "pm_usBankAccount_processing")
    assert plan["method"] == "bank_transfer"
    plan = await desk.tell(plan, "pay-early", status=202)
    payment = await desk.till.ends({"id": plan["instalments"][0]["payment_id"]}, "processing")
    assert (await desk.plan(plan))["instalments"][0]["status"] == "collecting"
    problem = (await desk.post(f"/plans/{plan['id']}/pay-early")).json()
    assert (problem["status"], problem["instalment"]) == (409, 1)
    await desk.till.caller.control(f"payment_intents/{payment['processor_ref']}/settle")
    await desk.till.process(payment, "plan").signal("provider_spoke")
    await desk.stands(plan, instalments=["paid", "scheduled", "scheduled"])
    assert await desk.account(account) == ("payment_plan", "200.00")


async def test_a_preview_shows_the_schedule_and_makes_nothing(desk: PlanDesk) -> None:
    account = await desk.debt("100.00")
    answer = await desk.ask(account, preview=True, agreed_on=None, payment_method="pm_card_visa")
    assert answer.status_code == 200
    shown = answer.json()
    assert [one["amount"] for one in shown["instalments"]] == ["33.34", "33.33", "33.33"]
    assert (shown["total"], shown["last_due"]) == ("100.00", shown["instalments"][-1]["due_on"])
    assert await desk.account(account) == ("negotiating", "100.00")
    assert (await desk.get(f"/plans?account={account['id']}"))["results"] == []


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"instalments": None}, "instalments"),
        ({"amount": "50.00"}, "instalments"),
        ({"instalments": 121}, "instalments"),
        ({"instalments": 0}, "instalments"),
        ({"instalments": "3"}, "instalments"),
        ({"instalments": None, "amount": "0.50"}, "amount"),
        ({"instalments": None, "amount": "1.00"}, "amount"),
        ({"total": "300.01"}, "total"),
        ({"total": "0.00"}, "total"),
        ({"total": "10.001"}, "total"),
        ({"frequency": "daily"}, "frequency"),
        ({"first_due": (today() - DAY).isoformat()}, "first_due"),
        ({"first_due": (today() + 91 * DAY).isoformat()}, "first_due"),
        ({"first_due": "2026-02-30"}, "first_due"),
        ({"agreed_on": None}, "agreed_on"),
        ({"agreed_on": (today() + DAY).isoformat()}, "agreed_on"),
        ({"agreed_on": "2001-01-01"}, "agreed_on"),
        ({"payment_method": "pm_card_visa"}, "copy_sent_on"),
        ({"payment_method": "pm_card_visa", "copy_sent_on": (today() + DAY).isoformat()}, "copy_sent_on"),
        ({"copy_sent_on": (today() - DAY).isoformat()}, "copy_sent_on"),
        ({"payment_method": "4242424242424242"}, "payment_method"),
        ({"payment_method": "tok_visa"}, "payment_method"),
        ({"weekday": "monday"}, "weekday"),
    ],
    ids=str,
)
async def test_terms_that_do_not_hold_are_refused_by_name(
    desk: PlanDesk, terms: dict[str, Any], field: str
) -> None:
    account = await desk.debt("300.00")
    answer = await desk.ask(account, **terms)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    named = {problem.get("field"), *(one["field"] for one in problem.get("errors", ()))}
    assert any(str(name).endswith(field) for name in named), problem
    assert "4242" not in answer.text
    assert await desk.account(account) == ("negotiating", "300.00")


async def test_a_method_that_stripe_refuses_makes_no_plan_and_says_so_again(desk: PlanDesk) -> None:
    account = await desk.debt("300.00")
    sent = {"payment_method": "pm_nobodyHasThisOne", **SENT, "key": key()}
    for _ in range(2):
        answer = await desk.ask(account, **sent)
        problem = answer.json()
        assert (answer.status_code, problem["type"], problem["field"]) == (
            422,
            problem["type"],
            "payment_method",
        )
        assert "payment-method-refused" in problem["type"]
    plan = await desk.plan({"id": problem["plan_id"]})
    assert (plan["status"], plan["next_due"]) == ("cancelled", None)
    assert await desk.account(account) == ("negotiating", "300.00")
    await desk.charged(account)


@pytest.mark.parametrize("word", ["cancel", "pause"])
async def test_what_waits_for_stripe_is_not_taken_after_a_word(desk: PlanDesk, word: str) -> None:
    account = await desk.debt("300.00")
    plan = await desk.charged(account, first_due=(today() + DAY).isoformat())
    away = desk.till.breaks("unavailable", "/v1/payment_intents*", count=None)
    async with desk.till.in_haste() as hasty:
        plan = await PlanDesk(hasty).tell(plan, "pay-early", status=202)

    async def asked_in_vain() -> bool:
        return away.hits > 0

    await until(asked_in_vain, within_s=60, what="Stripe to be asked")
    await desk.tell(plan, word)
    desk.till.stripe.faults.clear()
    ended = await desk.till.ends({"id": plan["instalments"][0]["payment_id"]}, "failed")
    assert ended["failure_code"] == "no_longer_taken"
    status, left = ("cancelled", "cancelled") if word == "cancel" else ("paused", "scheduled")
    await desk.stands(plan, status=status, instalments=[left] * 3)
    assert await desk.till.charges(account) == []


async def test_one_key_makes_one_plan_and_of_many_at_once_one_is_made(desk: PlanDesk) -> None:
    account = await desk.debt("300.00")
    one = key()
    answers = await asyncio.gather(*(desk.ask(account, key=one) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    other = await desk.ask(account, key=one, instalments=4)
    assert other.status_code == 422
    others = await asyncio.gather(*(desk.ask(account) for _ in range(3)))
    assert {answer.status_code for answer in others} == {409}
    assert others[0].json()["plan_id"] == answers[0].json()["id"]
    assert len((await desk.get(f"/plans?account={account['id']}"))["results"]) == 1


@pytest.mark.parametrize("status", ["new", "in_contact", "disputed", "closed"])
async def test_from_other_statuses_it_is_a_conflict_that_tells_the_legal_moves(
    desk: PlanDesk, status: str
) -> None:
    account = await desk.debt("300.00", status)
    for preview in (False, True):
        answer = await desk.ask(account, preview=preview)
        problem = answer.json()
        assert (answer.status_code, problem["status_now"]) == (409, status)
        assert "legal_moves" in problem


async def test_who_may_do_what(desk: PlanDesk) -> None:
    account, other = await desk.debt(), await desk.debt()
    cole = (await collectors(desk.till.world))["acme.collector"]
    await set_account(desk.till.world, account, assigned_to=cole)
    theirs = await desk.made(account, who="acme.collector")
    foreign = await desk.made(other)
    for who, status in (("acme.collector", 404), ("acme.auditor", 403), ("rival.admin", 404)):
        assert (await desk.ask(other, who)).status_code == status
        assert (await desk.post(f"/plans/{foreign['id']}/pause", who=who)).status_code == status
    assert (await desk.ask(other, "acme.collector", preview=True)).status_code == 404
    for who, status in (("acme.collector", 404), ("acme.auditor", 200), ("rival.admin", 404)):
        answer = await desk.till.ask(who, "GET", f"/plans/{foreign['id']}")
        assert answer.status_code == status
    await desk.tell(theirs, "pause", who="acme.collector")
    listed = await desk.get("/plans?page_size=500", "acme.collector")
    assert theirs["id"] in {plan["id"] for plan in listed["results"]}
    assert foreign["id"] not in {plan["id"] for plan in listed["results"]}
    assert (await desk.get("/plans", "rival.admin"))["results"] == []


async def test_it_is_listed_shown_with_its_account_moved_paused_and_cancelled(desk: PlanDesk) -> None:
    account = await desk.debt()
    plan = await desk.made(account, instalments=None, amount="120.00", frequency="biweekly")
    assert [one["amount"] for one in plan["instalments"]] == ["120.00", "120.00", "60.00"]
    waits = (await desk.get(f"/accounts/{account['id']}/workflow"))["next"]
    assert waits[0]["what"] == "instalment 1 of 3"
    assert waits[0]["at"] is not None

    sooner = {"next_due": (today() + 2 * DAY).isoformat()}
    assert (await desk.tell(plan, "change-date", sooner, status=422))["field"] == "agreed_on"
    moved = await desk.tell(plan, "change-date", {"next_due": (today() + 30 * DAY).isoformat()})
    assert moved["next_due"] == (today() + 30 * DAY).isoformat()
    assert moved["instalments"][2]["due_on"] == (today() + 58 * DAY).isoformat()
    paused = await desk.tell(plan, "pause")
    assert (paused["status"], paused["paused_because"]) == ("paused", "asked")
    [listed] = (await desk.get(f"/plans?status=paused&account={account['id']}"))["results"]
    assert (listed["id"], listed["next_due"]) == (plan["id"], paused["next_due"])
    assert (await desk.get(f"/plans?status=active&account={account['id']}"))["results"] == []
    assert (await desk.till.ask("acme.admin", "GET", "/plans?state=paused")).status_code == 422
    await desk.tell(plan, "resume")
    ended = await desk.tell(plan, "cancel", {"reason": "lost the job"})
    assert (ended["status"], ended["ended_because"]) == ("cancelled", "lost the job")
    problem = await desk.tell(plan, "resume", status=409)
    assert problem["plan_status"] == "cancelled"
    assert await desk.account(account) == ("negotiating", "300.00")
    assert await desk.workflow(plan).result() == "cancelled"
    assert [words.split(":")[0] for words in await desk.events(account)] == [
        "Payment plan",
        f"The next instalment is due on {today() + 30 * DAY} instead of {today() + 10 * DAY}",
        "The payment plan is paused",
        "The payment plan goes on",
        "Payment plan cancelled",
    ]


async def test_a_dispute_pauses_it_at_once_and_it_goes_on_after_the_answer(desk: PlanDesk) -> None:
    account = await desk.debt()
    plan = await desk.made(account)
    body = {"reason": "not mine", "received_on": today().isoformat(), "in_writing": False}
    dispute = (await desk.post(f"/accounts/{account['id']}/disputes", body)).json()
    assert (await desk.plan(plan))["paused_because"] == "disputed"
    answer = {"outcome": "verified", "verification_sent_on": today().isoformat()}
    await desk.post(f"/accounts/{account['id']}/disputes/{dispute['id']}/answer", answer)
    await deliver(desk)
    await desk.stands(plan, status="active")
    assert await desk.account(account) == ("payment_plan", "300.00")


async def test_cash_and_what_is_paid_otherwise_count(desk: PlanDesk) -> None:
    account = await desk.debt()
    plan = await desk.made(account)
    await desk.till.paid(account, "100.00", method="cash", payment_method=None)
    await desk.stands(plan, instalments=["paid", "scheduled", "scheduled"])
    await desk.till.paid(account, "200.00")
    await desk.stands(plan, status="completed")
    assert await desk.workflow(plan).result() == "completed"


async def test_a_plan_whose_start_was_lost_is_started_by_the_sweep(desk: PlanDesk) -> None:
    account = await desk.debt()
    tenant = Tenant.system(desk.till.agency_id, "test")
    form = PlanForm(instalments=3, frequency=Frequency.MONTHLY, first_due=today(), agreed_on=today())
    async with desk.till.world.database.transaction(tenant) as tx:
        change = await AccountChange.begin(tx, UUID(account["id"]), SCORERS)
        plan = {"id": str((await make_plan(change, form)).id)}
        await change.settle()
    await deliver(desk)
    description = await desk.workflow(plan).describe()
    assert description.status is WorkflowExecutionStatus.RUNNING


async def test_a_settlement_is_paid_by_a_plan_and_the_rest_forgiven(desk: PlanDesk) -> None:
    account = await desk.debt("1000.00")
    cole = (await collectors(desk.till.world))["acme.collector"]
    await set_account(desk.till.world, account, assigned_to=cole)
    offers, soon = f"/accounts/{account['id']}/offers", (today() + 7 * DAY).isoformat()
    low = await desk.post(offers, {"percent": "59", "expires_on": soon}, "acme.collector")
    assert (low.status_code, low.json()["least_amount"]) == (403, "600.00")
    terms = {"percent": "60", "instalments": 2, "expires_on": soon}
    offer = (await desk.post(offers, terms, "acme.collector")).json()
    await desk.post(f"{offers}/{offer['id']}/accept")
    plan = await desk.charged(account, instalments=2, offer_id=offer["id"])
    assert (plan["total"], plan["offer_id"]) == ("600.00", offer["id"])
    for number in (1, 2):
        await desk.tell(plan, "pay-early", status=202)
        plan = await desk.stands(plan, instalments=["paid"] * number + ["scheduled"] * (2 - number))
    assert await desk.account(account) == ("settled", "0.00")
    kinds = await desk.till.journals(account)
    assert [amount for _, amount in kinds] == [Decimal(300), Decimal(300), Decimal(400)]


async def deliver(desk: PlanDesk) -> None:
    """Run the sweep that tells what nobody has told yet."""
    await desk.till.temporal.execute_workflow(
        NoticeDelivery.run,
        AgencyRef(agency_id=desk.till.agency_id),
        id=f"{queues.notice_workflow_id(desk.till.agency_id)}-{key()}",
        task_queue=queues.LIFECYCLE,
    )
