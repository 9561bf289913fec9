"""What a debtor agreed to is all that a plan takes: nothing early, nothing after a word, nothing twice."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from temporalio.testing import ActivityEnvironment

from activities.account_messages import AcceptOffer, OfferSettlement, RecordDispute, Transition
from activities.payment_messages import PaymentFailure, PaymentRef
from activities.payments import PaymentActivities
from domain.accounts import AccountStatus as S
from domain.business_days import business_day_from
from domain.errors import Conflict
from domain.payments import PaymentMethod, PaymentRefused
from domain.plan_schedule import Frequency, next_try_after
from tests.integration.accounts.desk import Desk
from tests.integration.accounts.plan_books import DAY, Plans
from tests.integration.accounts.test_payment_books import Till

HUNDRED = Decimal("100.00")
OTHER: Any = {"payment_method": "pm_other", "method": PaymentMethod.CARD}


@pytest.fixture
async def plans(desk: Desk) -> Plans:
    made = Plans(desk, Till(desk))
    await made.open()
    return made


async def settlement(plans: Plans, account: UUID, amount: str, **terms: Any) -> UUID:
    """One that the debtor has accepted."""
    soon = datetime.now(UTC).date() + timedelta(days=7)
    made = await plans.desk.ask(OfferSettlement, account, amount=Decimal(amount), expires_on=soon, **terms)
    await plans.desk.tell(AcceptOffer, account, offer_id=UUID(made["id"]))
    return UUID(made["id"])


@pytest.mark.parametrize("given", [{}, OTHER], ids=["the plan's method", "another"])
async def test_a_decline_before_the_day_changes_nothing(plans: Plans, given: Any) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    first = plans.today + 40 * DAY
    ref = await plans.make(account, first_due=first)
    before = [(one["due_on"], one["next_try_on"], one["declines"]) for one in await plans.instalments(ref)]
    await plans.change(ref, "pay_early", **given)
    [row] = await plans.payments(account)
    assert row["authorised_at"] == plans.now, "the debtor has just said so"
    await plans.ends(account, "card_declined")
    after = [(one["due_on"], one["next_try_on"], one["declines"]) for one in await plans.instalments(ref)]
    assert after == before
    for day in (plans.today + DAY, next_try_after(plans.today), first - DAY):
        assert (await plans.look(ref, day)).payment is None
    for day in tries(first):
        await plans.declined(ref, day)
    assert await plans.statuses(ref) == "active: missed scheduled scheduled"
    assert len(await plans.payments(account)) == 4, "those agreed on were tried three times"


def tries(first: date) -> list[date]:
    """When an instalment is asked for that is declined every time."""
    day = business_day_from(first)
    return [day, next_try_after(day), next_try_after(next_try_after(day))]


async def test_a_decline_of_another_method_leaves_a_late_one_as_it_was(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    for count, day in enumerate(tries(plans.today), start=1):
        await plans.declined(ref, day)
        before = (await plans.instalments(ref))[0]
        await plans.change(ref, "pay_early", **OTHER)
        await plans.ends(account, "card_declined")
        after = (await plans.instalments(ref))[0]
        for name in ("status", "declines", "next_try_on"):
            assert after[name] == before[name]
        assert after["declines"] == count


async def test_a_decline_does_not_break_a_plan_that_is_paid_by_hand(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    first = plans.today + 60 * DAY
    ref = await plans.make(account, by_hand=True, first_due=first)
    for _ in range(3):
        await plans.change(ref, "pay_early", **OTHER)
        await plans.ends(account, "card_declined")
    assert await plans.statuses(ref) == "active: scheduled scheduled scheduled"
    assert (await plans.look(ref, first + 5 * DAY, hour=23)).status == "active"
    await plans.broken(ref, first + 6 * DAY)


async def test_the_kept_method_is_asked_three_times_early_and_days_apart(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account, first_due=plans.today + 40 * DAY)
    for _ in range(3):
        await plans.change(ref, "pay_early")
        await plans.ends(account, "card_declined")
        again = next_try_after(plans.today)
        for day in (plans.today, again - DAY):
            plans.now = datetime.combine(day, time(9), tzinfo=UTC)
            with pytest.raises(Conflict):
                await plans.change(ref, "pay_early")
        plans.now = datetime.combine(again, time(9), tzinfo=UTC)
    with pytest.raises(Conflict, match="declined 3 times"):
        await plans.change(ref, "pay_early")
    await plans.change(ref, "pay_early", **OTHER)
    assert len(await plans.payments(account)) == 4


async def test_a_paused_plan_is_paid_early_by_another_method_only(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account, first_due=plans.today + 40 * DAY)
    await plans.change(ref, "pause")
    with pytest.raises(Conflict, match="resume it, or"):
        await plans.change(ref, "pay_early")
    await plans.change(ref, "pay_early", **OTHER)
    await plans.ends(account)
    assert await plans.statuses(ref) == "paused: paid scheduled scheduled"


class Away:
    """Stripe, of which nobody has been asked anything yet."""

    async def create(self, payment: Any) -> None:
        raise AssertionError("Stripe was asked")


@pytest.mark.parametrize("word", ["cancel", "pause", "dispute", "paid otherwise"])
async def test_what_stripe_was_not_asked_for_stops_with_a_word(plans: Plans, word: str) -> None:
    """However short the payment has waited, and though its instalment is being asked for."""
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    payment = await plans.asked(ref)
    till: Any = Away()
    steps = PaymentActivities(plans.desk.db, till)
    if word == "dispute":
        today = datetime.now(UTC).date()
        await plans.desk.tell(RecordDispute, account, reason="no", received_on=today, in_writing=True)
        await plans.desk.tell(Transition, account, new_status=S.IN_CONTACT)
    elif word == "paid otherwise":
        await plans.till.paid(account, "250.00")
    else:
        await plans.change(ref, word, *([None] if word == "cancel" else []))
    said = await ActivityEnvironment().run(steps.create_intent, payment)
    assert isinstance(said, PaymentFailure)
    assert said.code == "no_longer_taken"
    await plans.till.books.record_failure(said)
    statuses = {
        "cancel": "cancelled: cancelled cancelled cancelled",
        "paid otherwise": "active: scheduled cancelled cancelled",
    }
    assert await plans.statuses(ref) == statuses.get(word, "paused: scheduled scheduled scheduled")
    assert {one["declines"] for one in await plans.instalments(ref)} == {0}


async def test_nothing_is_asked_for_beyond_a_settlement(plans: Plans) -> None:
    """Though it was accepted when the plan went on."""
    account = await plans.desk.place(amount="1000.00", status="negotiating")
    ref = await plans.make(account, instalments=4)
    await settlement(plans, account, "600.00")
    await plans.paid(ref, (await plans.instalments(ref))[0]["collect_on"])
    assert await plans.amounts(ref) == [Decimal("250.00"), Decimal("250.00"), HUNDRED]
    for number in (1, 2):
        await plans.paid(ref, (await plans.instalments(ref))[number]["collect_on"])
    assert await plans.stands(account) == ("settled", Decimal("0.00"))
    assert sum(row["amount"] for row in await plans.payments(account)) == Decimal("600.00")


async def test_a_settlement_that_is_on_its_way_is_waited_for(plans: Plans) -> None:
    account = await plans.desk.place(amount="1000.00", status="negotiating")
    offer = await settlement(plans, account, "400.00", instalments=4)
    ref = await plans.make(account, instalments=4, offer_id=offer)
    debit = await plans.till.ask(account, "400.00", "bank_transfer")
    await plans.till.intent(debit, "processing")
    assert (await plans.look(ref)).payment is None
    with pytest.raises(PaymentRefused):
        await plans.change(ref, "pay_early")
    await plans.till.intent(debit, "succeeded", "400.00")
    assert await plans.stands(account) == ("settled", Decimal("0.00"))


async def test_the_last_one_that_was_paid_in_part_is_asked_for_its_rest(plans: Plans) -> None:
    account = await plans.desk.place(amount="200.00", status="negotiating")
    ref = await plans.make(account, instalments=2)
    await plans.paid(ref)
    due = (await plans.instalments(ref))[1]["collect_on"]
    await plans.declined(ref, due)
    await plans.desk.post(account, "60.00", at=plans.now)
    assert (await plans.look(ref, due, hour=10)).payment is None
    payment = await plans.paid(ref, next_try_after(due))
    [row] = await plans.desk.query("SELECT amount FROM payment WHERE id = %s", payment.payment_id)
    assert row["amount"] == Decimal("40.00")
    assert await plans.statuses(ref) == "completed: paid paid"
    assert await plans.stands(account) == ("closed", Decimal("0.00"))


async def test_the_same_money_makes_one_instalment_good(plans: Plans) -> None:
    account = await plans.desk.place(amount="500.00", status="negotiating")
    ref = await plans.make(account, instalments=5, frequency=Frequency.BIWEEKLY)
    for day in tries(plans.today):
        await plans.declined(ref, day)
    next_due = (await plans.instalments(ref))[1]["collect_on"]
    plans.now = datetime.combine(next_due, time(7), tzinfo=UTC)
    await plans.desk.post(account, "100.00", at=plans.now)
    await plans.declined(ref, next_due)
    await plans.look(ref, next_due, hour=10)
    assert await plans.statuses(ref) == "active: paid scheduled scheduled scheduled scheduled"
    assert sum(await plans.amounts(ref)) - HUNDRED == (await plans.stands(account))[1]
    await plans.desk.post(account, "60.00", at=plans.now)
    await plans.declined(ref, next_try_after(next_due))
    await plans.desk.post(account, "40.00", at=plans.now)
    await plans.look(ref)
    assert await plans.statuses(ref) == "active: paid paid scheduled scheduled scheduled"


async def test_what_becomes_smaller_is_told_and_recorded(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    await plans.till.paid(account, "150.00")
    assert (await plans.words(account))[-1] == (
        "The payment plan is shortened: 150.00 USD of it are left to be asked for"
    )
    [told] = [one for one in await plans.desk.audit(account) if one["action"] == "plan.shortened"]
    assert told["new"]["amounts"] == [
        {"instalment": 2, "old": "100.00", "new": "50.00"},
        {"instalment": 3, "old": "100.00", "new": "0.00"},
    ]
    await plans.declined(ref)
    await plans.desk.post(account, "100.00", at=plans.now)
    await plans.look(ref)
    assert (await plans.words(account))[-1] == "Instalment 1 of 3 is paid by what came in"
    [paid] = [one for one in await plans.desk.audit(account) if one["action"] == "plan.instalment_paid"]
    assert (paid["new"]["instalment"], paid["new"]["amount"]) == (1, "100.00")


async def test_who_agreed_to_these_amounts_is_charged_no_others(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account, varies_down=False)
    await plans.till.paid(account, "150.00")
    assert await plans.amounts(ref) == [HUNDRED]
    await plans.paid(ref)
    assert await plans.statuses(ref) == "completed: paid cancelled cancelled"
    assert await plans.stands(account) == ("negotiating", Decimal("50.00"))


async def test_who_agreed_to_these_amounts_is_not_charged_the_rest_of_one(plans: Plans) -> None:
    account = await plans.desk.place(amount="100.00", status="negotiating")
    ref = await plans.make(account, instalments=1, varies_down=False)
    await plans.declined(ref)
    await plans.desk.post(account, "60.00", at=plans.now)
    assert (await plans.look(ref)).over
    assert await plans.statuses(ref) == "completed: cancelled"
    assert await plans.stands(account) == ("negotiating", Decimal("40.00"))


async def test_the_month_end_outlasts_a_pause(plans: Plans) -> None:
    account = await plans.desk.place(amount="600.00", status="negotiating")
    first = next(plans.today + n * DAY for n in range(90) if (plans.today + n * DAY).day == 31)
    ref = await plans.make(account, first_due=first, instalments=6)
    agreed = [one["due_on"] for one in await plans.instalments(ref)]
    paused = next(n for n, day in enumerate(agreed) if day.day < 31) - 1
    for one in (await plans.instalments(ref))[:paused]:
        await plans.paid(ref, one["collect_on"])
    plans.now = datetime.combine(agreed[paused] - 2 * DAY, time(7), tzinfo=UTC)
    await plans.change(ref, "pause")
    plans.now = datetime.combine(agreed[paused] + 10 * DAY, time(7), tzinfo=UTC)
    await plans.change(ref, "resume")
    left = [one["due_on"] for one in await plans.instalments(ref)][paused:]
    assert left[:-1] == agreed[paused + 1 :], "those that were agreed on, each one later"


async def test_a_resume_on_the_day_of_collection_skips_nothing(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    due = next(plans.today + n * DAY for n in range(14) if (plans.today + n * DAY).weekday() == 5)
    ref = await plans.make(account, first_due=due)
    collect_on = (await plans.instalments(ref))[0]["collect_on"]
    assert collect_on > due
    plans.now = datetime.combine(due, time(12), tzinfo=UTC)
    await plans.change(ref, "pause")
    plans.now = datetime.combine(collect_on, time(7), tzinfo=UTC)
    await plans.change(ref, "resume")
    assert (await plans.instalments(ref))[0]["due_on"] == due
    await plans.paid(ref, collect_on)


async def test_after_an_absence_people_have_a_day_to_enter_what_came(plans: Plans) -> None:
    """Of a settlement that is paid by check: in time, though everything was down until now."""
    account = await plans.desk.place(amount="1000.00", status="negotiating")
    offer = await settlement(plans, account, "600.00")
    ref = await plans.make(account, by_hand=True, instalments=1, offer_id=offer)
    came_on = plans.today
    back = business_day_from(plans.today + 10 * DAY)
    assert (await plans.look(ref, back, hour=7)).status == "active"
    assert (await plans.look(ref, back, hour=23)).status == "active"
    await check(plans, account, "600.00", came_on)
    assert await plans.stands(account) == ("settled", Decimal("0.00"))


async def test_a_check_that_was_in_time_for_a_broken_plan_is_told_to_people(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account, by_hand=True)
    first = plans.today
    await plans.broken(ref, first + 6 * DAY)
    await check(plans, account, "100.00", first)
    assert (await plans.words(account))[-1] == (
        f"What came on {datetime.now(UTC).date()} was in time for instalment 1 of the plan that is broken:"
        " is it to be made anew?"
    )


async def check(plans: Plans, account: UUID, amount: str, came_on: date) -> None:
    """A check is entered; not of the future by the clock of the books."""
    came_on = min(came_on, datetime.now(UTC).date())
    payment: PaymentRef = await plans.till.ask(account, amount, "check", received_on=came_on)
    await plans.till.books.record_received(payment)
