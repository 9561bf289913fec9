"""What becomes of a payment plan when its account is disputed, held, closed, or its money goes back."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest

from activities.account_messages import (
    AnswerDispute,
    Close,
    PlaceHold,
    Recall,
    RecordDispute,
    ReleaseHold,
    Transition,
)
from activities.payment_messages import PaymentRef
from activities.plan_change import PlanIsOver
from domain.accounts import AccountStatus as S
from domain.accounts import IllegalMove
from domain.business_days import business_day_from
from domain.errors import Conflict, Invalid
from domain.holds import HoldKind
from domain.payments import PaymentMethod, PaymentRefused
from domain.plan_schedule import Frequency, due_dates, next_try_after, rest_of_rhythm
from tests.integration.accounts.desk import Desk
from tests.integration.accounts.plan_books import DAY, Plans
from tests.integration.accounts.test_payment_books import Till


@pytest.fixture
async def plans(desk: Desk) -> Plans:
    made = Plans(desk, Till(desk))
    await made.open()
    return made


def tries(first: date) -> list[date]:
    """When an instalment is asked for that is declined every time."""
    day = business_day_from(first)
    return [day, next_try_after(day), next_try_after(next_try_after(day))]


async def disputed(plans: Plans, account: Any) -> str:
    today = datetime.now(UTC).date()
    made = await plans.desk.ask(
        RecordDispute, account, reason="not mine", received_on=today, in_writing=False
    )
    return str(made["id"])


async def test_a_dispute_pauses_it_and_its_answer_lets_it_go_on(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    first = plans.today + 20 * DAY
    ref = await plans.make(account, first_due=first)
    dispute = await disputed(plans, account)
    assert (await plans.plan(ref))["paused_because"] == "disputed", "in the same transaction"
    assert (await plans.words(account))[-1] == "The payment plan is paused: the debt is disputed"
    paused = await plans.look(ref, first)
    assert (paused.status, paused.payment) == ("paused", None)
    assert paused.look_at == datetime.combine(business_day_from(first + DAY), time(8), tzinfo=UTC)

    back = first + 3 * DAY
    await plans.desk.tell(AnswerDispute, account, dispute_id=dispute, outcome="verified")
    assert await plans.stands(account) == ("in_contact", Decimal("300.00"))
    standing = await plans.look(ref, back)

    assert (standing.status, standing.payment) == ("active", None)
    assert await plans.stands(account) == ("payment_plan", Decimal("300.00"))
    expected = list(islice(rest_of_rhythm(first, Frequency.MONTHLY, back), 3))
    assert [one["due_on"] for one in await plans.instalments(ref)] == expected
    assert await plans.payments(account) == []


async def test_an_unanswered_dispute_of_the_period_keeps_it_paused_whatever_is_set_by_hand(
    plans: Plans,
) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    today = datetime.now(UTC).date()
    await plans.desk.tell(RecordDispute, account, reason="not mine", received_on=today, in_writing=True)
    await plans.desk.tell(Transition, account, new_status=S.IN_CONTACT)
    assert (await plans.look(ref)).status == "paused"
    with pytest.raises(PaymentRefused, match="until that is answered"):
        await plans.change(ref, "resume")


@pytest.mark.parametrize("kind", [HoldKind.BANKRUPTCY, HoldKind.DECEASED, HoldKind.CHARGEBACK])
async def test_a_hold_that_forbids_payments_pauses_it_until_it_ends(plans: Plans, kind: HoldKind) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    await plans.desk.tell(PlaceHold, account, kind=kind, reason="told us")
    assert (await plans.plan(ref))["paused_because"] == "held"
    assert (await plans.look(ref)).payment is None
    with pytest.raises(PaymentRefused):
        await plans.change(ref, "pay_early")
    await plans.desk.tell(ReleaseHold, account, kind=kind)
    standing = await plans.look(ref)
    assert (standing.status, standing.payment is not None) == ("active", True), "it is due today"
    assert await plans.stands(account) == ("payment_plan", Decimal("300.00"))


@pytest.mark.parametrize("kind", [HoldKind.CEASE, HoldKind.ATTORNEY, HoldKind.SCRA])
async def test_under_other_holds_a_debtor_goes_on_paying(plans: Plans, kind: HoldKind) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    await plans.desk.tell(PlaceHold, account, kind=kind, reason="in writing")
    await plans.paid(ref)
    assert await plans.statuses(ref) == "active: paid scheduled scheduled"


async def test_a_hold_of_the_person_on_another_account_pauses_it_when_it_is_looked_at(plans: Plans) -> None:
    debtor = await plans.desk.debtor()
    account = await plans.desk.place(debtor, "300.00", status="negotiating")
    other = await plans.desk.place(debtor)
    ref = await plans.make(account)
    await plans.desk.tell(PlaceHold, other, kind=HoldKind.BANKRUPTCY, reason="petition filed")
    assert (await plans.look(ref)).status == "paused"
    assert await plans.payments(account) == []


async def test_paused_by_hand_it_stays_so_though_a_hold_came_and_went(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    await plans.desk.tell(PlaceHold, account, kind=HoldKind.DECEASED, reason="a mistake")
    await plans.change(ref, "pause")
    await plans.desk.tell(ReleaseHold, account, kind=HoldKind.DECEASED)
    standing = await plans.look(ref, plans.today + 40 * DAY)
    assert (standing.status, standing.look_at) == ("paused", None)
    with pytest.raises(Conflict, match="already"):
        await plans.change(ref, "pause")
    await plans.change(ref, "resume")
    with pytest.raises(Conflict, match="not paused"):
        await plans.change(ref, "resume")
    first = (await plans.instalments(ref))[0]
    assert first["due_on"] >= plans.today, "what came due meanwhile is due later"
    assert first["collect_on"] == business_day_from(first["due_on"])
    assert await plans.amounts(ref) == [Decimal("100.00")] * 3


@pytest.mark.parametrize(
    ("order", "given", "stands"),
    [
        (Recall, {"reason": "sold"}, "closed"),
        (Close, {"reason": "too old"}, "closed"),
        (Transition, {"new_status": S.SETTLED}, "settled"),
    ],
    ids=["recall", "close", "settled-by-hand"],
)
async def test_with_its_account_it_ends(plans: Plans, order: Any, given: dict[str, Any], stands: str) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    await plans.paid(ref)
    await plans.desk.tell(order, account, **given)
    assert await plans.statuses(ref) == "cancelled: paid cancelled cancelled"
    assert (await plans.plan(ref))["ended_because"] == f"the account is {stands}"
    assert (await plans.stands(account))[0] == stands
    assert (await plans.look(ref, plans.today + 40 * DAY)).over
    assert len(await plans.payments(account)) == 1
    async with plans.desk.db.transaction(plans.desk.tenant) as tx:
        [notice] = await tx.notices.of([account])
        assert (notice.plan_id, notice.plan_goes_on) == (ref.plan_id, False)
        await tx.notices.drop_unworked()
        assert notice in await tx.notices.oldest(10), "its workflow is told, though nobody works the account"


@pytest.mark.parametrize(
    ("status", "ends"), [("succeeded", "paid"), ("requires_payment_method", "cancelled")]
)
async def test_what_the_bank_has_goes_on_when_the_plan_is_cancelled(
    plans: Plans, status: str, ends: str
) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    payment = await plans.asked(ref)
    await plans.change(ref, "cancel", "wants no more")
    assert await plans.statuses(ref) == "cancelled: collecting cancelled cancelled"
    assert await plans.stands(account) == ("negotiating", Decimal("300.00"))
    standing = await plans.look(ref)
    assert (standing.over, standing.payment is not None) == (False, True), "its end is waited for"
    await plans.till.intent(
        payment, status, "100.00" if ends == "paid" else "0", failure_code="card_declined"
    )
    assert await plans.statuses(ref) == f"cancelled: {ends} cancelled cancelled"
    assert (await plans.look(ref)).over
    for what, given in (("pause", []), ("resume", []), ("cancel", [None]), ("pay_early", [])):
        with pytest.raises(PlanIsOver, match="wants no more"):
            await plans.change(ref, what, *given)


async def test_a_cancel_on_the_day_itself_stops_what_was_not_asked_for(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    assert (await plans.look(ref, hour=7)).payment is None
    await plans.change(ref, "cancel", None)
    assert (await plans.look(ref, hour=9)).over
    assert await plans.payments(account) == []


async def test_the_date_is_changed_for_all_that_was_not_asked_for(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    await plans.declined(ref)
    again = (await plans.instalments(ref))[0]["next_try_on"]
    next_due = plans.today + 50 * DAY
    await plans.change(ref, "change_date", next_due)
    one, two, three = await plans.instalments(ref)
    assert one["next_try_on"] == again
    assert [two["due_on"], three["due_on"]] == list(islice(due_dates(next_due, Frequency.MONTHLY), 2))
    for day in (plans.today - DAY, plans.today, plans.today + 91 * DAY):
        with pytest.raises(Invalid) as refused:
            await plans.change(ref, "change_date", day)
        assert refused.value.field == "next_due"


async def test_an_earlier_date_is_another_agreement(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account, first_due=plans.today + 40 * DAY)
    before = await plans.instalments(ref)
    plans.now += 10 * DAY
    tomorrow, today = plans.today + DAY, plans.today
    for given, field in (
        ({}, "agreed_on"),
        ({"agreed_on": today + DAY, "copy_sent_on": today}, "agreed_on"),
        ({"agreed_on": today - 20 * DAY, "copy_sent_on": today}, "agreed_on"),
        ({"agreed_on": today}, "copy_sent_on"),
        ({"agreed_on": today, "copy_sent_on": today - DAY}, "copy_sent_on"),
    ):
        with pytest.raises(Invalid) as refused:
            await plans.change(ref, "change_date", tomorrow, **given)
        assert refused.value.field == field
    assert await plans.instalments(ref) == before
    await plans.change(ref, "change_date", tomorrow, agreed_on=today, copy_sent_on=today)
    payment = await plans.asked(ref, business_day_from(tomorrow))
    [row] = await plans.desk.query("SELECT authorised_at FROM payment WHERE id = %s", payment.payment_id)
    assert row["authorised_at"] == datetime.combine(today, time(12), tzinfo=UTC), "the later agreement"
    plan = await plans.plan(ref)
    assert (plan["agreed_on"], plan["copy_sent_on"]) == (today, today)
    [moved] = [one for one in await plans.desk.audit(account) if one["action"] == "plan.moved"]
    assert moved["new"]["agreed_on"] == moved["new"]["copy_sent_on"] == today.isoformat()


async def test_the_next_one_is_paid_early_by_another_card(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account, first_due=plans.today + 30 * DAY)
    await plans.change(ref, "pay_early", payment_method="pm_other", method=PaymentMethod.BANK_TRANSFER)
    [row] = await plans.payments(account)
    terms = (row["payment_method"], row["customer_ref"], row["off_session"], row["method"])
    assert terms == ("pm_other", None, False, "bank_transfer")
    await plans.till.intent(PaymentRef(agency_id=ref.agency_id, payment_id=row["id"]), "succeeded", "100.00")
    assert await plans.statuses(ref) == "active: paid scheduled scheduled"
    by_hand = await plans.desk.place(amount="300.00", status="negotiating")
    manual = await plans.make(by_hand, by_hand=True)
    with pytest.raises(Invalid, match="give one"):
        await plans.change(manual, "pay_early")
    await plans.change(manual, "pay_early", payment_method="pm_other")
    [row] = await plans.payments(by_hand)
    await plans.till.intent(PaymentRef(agency_id=ref.agency_id, payment_id=row["id"]), "succeeded", "100.00")
    assert await plans.statuses(manual) == "active: paid scheduled scheduled"


async def test_a_refunded_instalment_is_not_asked_for_again_and_breaks_the_plan_at_its_end(
    plans: Plans,
) -> None:
    account = await plans.desk.place(amount="200.00", status="negotiating")
    ref = await plans.make(account, instalments=2)
    payment = await plans.paid(ref)
    await plans.till.refund(payment, "40.00", "succeeded", "re_1")
    assert await plans.statuses(ref) == "active: paid scheduled"
    await plans.till.refund(payment, "60.00", "succeeded", "re_2")
    assert await plans.statuses(ref) == "active: missed scheduled"
    second = business_day_from((await plans.instalments(ref))[1]["due_on"])
    await plans.paid(ref, second)
    assert await plans.statuses(ref) == "broken: missed paid"
    assert await plans.stands(account) == ("negotiating", Decimal("100.00"))


async def test_a_chargeback_pauses_it_and_a_dispute_that_is_won_lets_it_go_on(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    payment = await plans.paid(ref)
    await plans.till.dispute(payment, "100.00", "needs_response")
    assert await plans.statuses(ref) == "paused: missed scheduled scheduled"
    assert (await plans.plan(ref))["paused_because"] == "held"
    await plans.till.dispute(payment, "100.00", "won")
    assert (await plans.look(ref)).status == "active"
    assert await plans.statuses(ref) == "active: paid scheduled scheduled"
    assert await plans.stands(account) == ("payment_plan", Decimal("200.00"))


@pytest.mark.parametrize("status", ["new", "assigned", "in_contact", "disputed", "settled", "closed"])
async def test_a_plan_is_made_while_it_is_negotiated_only(plans: Plans, status: str) -> None:
    account = await plans.desk.place(amount="300.00", status=status)
    with pytest.raises(IllegalMove) as refused:
        await plans.make(account)
    assert refused.value.details["status_now"] == status
    assert "legal_moves" in refused.value.details


async def test_plans_that_nobody_works_are_found(plans: Plans) -> None:
    """However they stand: a time at which a plan is to be looked at has passed a day ago, and nobody has."""
    made = {}
    for state in ("asked for", "by hand", "missed", "held", "paused", "collecting", "never looked at"):
        account = await plans.desk.place(amount="300.00", status="negotiating")
        # Without its method on record, nobody has looked at a plan before.
        given = "pm_given" if state == "never looked at" else None
        made[state] = await plans.make(
            account, by_hand=state == "by hand", first_due=plans.today + DAY, given=given
        )
        if state == "held":
            await plans.desk.tell(PlaceHold, account, kind=HoldKind.DECEASED, reason="told us")
        if state == "paused":
            await plans.change(made[state], "pause")
        if state == "collecting":
            await plans.change(made[state], "pay_early")
        if state != "never looked at":
            await plans.look(made[state])
    for try_on in tries(plans.today + DAY):
        await plans.declined(made["missed"], try_on)
    await plans.look(made["missed"])

    async def found() -> set[str]:
        async with plans.desk.db.transaction(plans.desk.tenant) as tx:
            accounts = set(await tx.plans.left_alone(20))
        return {state for state, ref in made.items() if (await plans.plan(ref))["account_id"] in accounts}

    assert await found() == set()
    for days, expected in (
        (2, {"never looked at"}),
        (10, {"never looked at", "asked for", "held", "by hand"}),
        (60, {"never looked at", "asked for", "held", "by hand", "missed"}),
    ):
        await plans.desk.query(
            "UPDATE payment_plan SET next_look_at = next_look_at - make_interval(days => %s),"
            " updated_at = updated_at - make_interval(days => %s) WHERE agency_id = %s",
            days,
            days,
            plans.desk.agency_id,
        )
        assert await found() == expected
