"""Payment plans, step by step: on the books exactly what was agreed, asked for when it is due, once."""

import asyncio
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import islice
from uuid import uuid4

import pytest

from activities.payment_messages import PaymentFailure, PaymentRef
from domain.business_days import business_day_from
from domain.errors import Conflict, NotFound
from domain.payments import PaymentRefused
from domain.plan_schedule import Frequency, due_dates, next_try_after
from tests.integration.accounts.desk import Desk
from tests.integration.accounts.plan_books import DAY, METHOD, Plans
from tests.integration.accounts.test_payment_books import Till

HUNDRED = Decimal("100.00")


@pytest.fixture
async def plans(desk: Desk) -> Plans:
    made = Plans(desk, Till(desk))
    await made.open()
    return made


async def test_each_instalment_is_asked_for_on_its_day_and_the_last_ends_it(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    assert await plans.stands(account) == ("payment_plan", Decimal("300.00"))
    days = [business_day_from(day) for day in islice(due_dates(plans.today, Frequency.MONTHLY), 3)]
    for number, day in enumerate(days, start=1):
        early = await plans.look(ref, day, hour=7)
        assert (early.number, early.of, early.payment) == (number, 3, None)
        assert early.look_at == datetime.combine(day, time(8), tzinfo=UTC)
        await plans.paid(ref, day)
    assert await plans.statuses(ref) == "completed: paid paid paid"
    assert await plans.stands(account) == ("closed", Decimal("0.00"))
    assert (await plans.look(ref, days[-1] + 30 * DAY)).over
    rows = await plans.payments(account)
    assert [row["idempotency_key"] for row in rows] == [f"plan/{ref.plan_id}/{n}/1" for n in (1, 2, 3)]
    terms = {(row["amount"], row["off_session"], row["customer_ref"], row["payment_method"]) for row in rows}
    assert terms == {(HUNDRED, True, "cus_1", METHOD)}
    assert all(row["authorised_at"] <= row["created_at"] for row in rows)
    assert (await plans.words(account))[-1] == "Payment plan completed: nothing is owed any more"
    assert account in plans.till.told, "its workflow hears of it"


async def test_looking_often_and_at_once_asks_once(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    plans.now = plans.now.replace(hour=9)
    standings = await asyncio.gather(*(plans.steps.advance(ref) for _ in range(6)))
    assert len({one.payment for one in standings}) == 1
    assert len(await plans.payments(account)) == 1
    assert await plans.statuses(ref) == "active: collecting scheduled scheduled"


async def test_a_plan_that_is_not_there_is_not_found(plans: Plans) -> None:
    ref = PaymentRef(agency_id=plans.desk.agency_id, payment_id=uuid4())
    account = await plans.desk.place(amount="300.00", status="negotiating")
    made = await plans.make(account)
    with pytest.raises(NotFound):
        await plans.steps.advance(made.model_copy(update={"plan_id": ref.payment_id}))


async def test_a_declined_instalment_is_tried_twice_again_and_then_breaks_the_plan(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    day, days = plans.today, []
    for _ in range(3):
        assert (await plans.look(ref, day, hour=7)).payment is None
        await plans.declined(ref, day)
        days.append(day)
        day = next_try_after(day)
    assert await plans.statuses(ref) == "active: missed scheduled scheduled"
    rows = await plans.payments(account)
    assert [row["idempotency_key"][-3:] for row in rows] == ["1/1", "1/2", "1/3"]
    assert {row["amount"] for row in rows} == {HUNDRED}
    over = days[-1] + 6 * DAY
    waiting = await plans.look(ref, days[-1] + 5 * DAY, hour=23)
    assert (waiting.status, waiting.look_at) == ("active", datetime.combine(over, time(), tzinfo=UTC))
    await plans.broken(ref, over)
    assert await plans.statuses(ref) == "broken: missed cancelled cancelled"
    assert await plans.stands(account) == ("negotiating", Decimal("300.00"))
    assert len(await plans.payments(account)) == 3
    [last] = (await plans.words(account))[-1:]
    assert last == "Payment plan broken: an instalment was not paid within its days of grace"
    assert (await plans.desk.events(account))[-1] == ("status_changed", "payment_plan", "negotiating")


async def test_it_is_said_whether_a_bank_has_declined_or_stripe_has_not_even_asked_one(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    payment = await plans.asked(ref, plans.today)
    failed = PaymentFailure(
        agency_id=payment.agency_id, payment_id=payment.payment_id, code="resource_missing", message="no pm"
    )
    await plans.till.books.record_failure(failed)
    day = next_try_after(plans.today)
    payment = await plans.asked(ref, day)
    await plans.till.intent(
        payment, "requires_payment_method", failure_code="card_declined", charge_ref="ch_of_the_second"
    )
    said = [words for words in await plans.words(account) if words.startswith("Instalment 1")]
    assert [words.split(";")[0] for words in said] == [
        "Instalment 1 of 3 could not be charged",
        "Instalment 1 of 3 was declined",
    ]


async def test_what_was_never_attempted_counts_as_no_try(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    day = plans.today
    for code in ("not_attempted", "card_declined", "no_longer_taken", "card_declined"):
        await plans.declined(ref, day, code)
        day = next_try_after(day)
    assert await plans.statuses(ref) == "active: scheduled scheduled scheduled"
    await plans.declined(ref, day)
    assert await plans.statuses(ref) == "active: missed scheduled scheduled"


@pytest.mark.parametrize("declines", [1, 3])
async def test_other_money_makes_a_declined_instalment_good(plans: Plans, declines: int) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    day = plans.today
    for _ in range(declines):
        await plans.declined(ref, day)
        day = next_try_after(day)
    await plans.desk.post(account, "60.00", at=plans.now)
    assert (await plans.look(ref)).number == 1
    await plans.desk.post(account, "40.00", at=plans.now)
    standing = await plans.look(ref)
    assert (standing.status, standing.number) == ("active", 2)
    assert await plans.statuses(ref) == "active: paid scheduled scheduled"
    assert await plans.amounts(ref) == [HUNDRED] * 3


async def test_what_came_due_while_everything_was_down_is_due_later_in_its_rhythm(plans: Plans) -> None:
    account = await plans.desk.place(amount="500.00", status="negotiating")
    ref = await plans.make(account, instalments=5, frequency=Frequency.WEEKLY)
    first, back = plans.today, plans.today + 60 * DAY
    asked: list[date] = []
    day = back
    while (await plans.plan(ref))["status"] == "active":
        standing = await plans.look(ref, day)
        if standing.payment is not None:
            asked.append(day)
            [row] = await plans.desk.query(
                "SELECT amount FROM payment WHERE id = %s", standing.payment.payment_id
            )
            paying = PaymentRef(agency_id=ref.agency_id, payment_id=standing.payment.payment_id)
            await plans.till.intent(paying, "succeeded", str(row["amount"]))
            again = await plans.look(ref, day, hour=10)
            assert again.payment is None, "one a day"
        day += DAY
    rhythm = [business_day_from(one) for one in islice(due_dates(first, Frequency.WEEKLY), 30)]
    expected = [one for one in rhythm if one >= back][:5]
    assert asked == expected, "nobody pays for two periods in one"
    assert len(await plans.payments(account)) == 5
    assert await plans.stands(account) == ("closed", Decimal("0.00"))


async def test_one_that_is_a_little_late_is_asked_for_at_once(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    due = [one["due_on"] for one in await plans.instalments(ref)]
    await plans.paid(ref, business_day_from(plans.today + 12 * DAY))
    assert [one["due_on"] for one in await plans.instalments(ref)] == due


async def test_who_pays_by_themselves_keeps_an_instalment_within_its_grace(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    first = plans.today + 3 * DAY
    ref = await plans.make(account, by_hand=True, first_due=first)
    assert (await plans.look(ref)).look_at == datetime.combine(first + 6 * DAY, time(), tzinfo=UTC)
    await plans.desk.post(account, "60.00")
    assert (await plans.look(ref, first + 4 * DAY)).number == 1
    await plans.desk.post(account, "90.00")
    assert (await plans.look(ref)).number == 2
    assert await plans.statuses(ref) == "active: paid scheduled scheduled"
    assert await plans.amounts(ref) == [HUNDRED] * 3
    second = (await plans.instalments(ref))[1]["due_on"]
    await plans.desk.post(account, "50.00")
    assert (await plans.look(ref, second + 5 * DAY, hour=23)).number == 3
    third = (await plans.instalments(ref))[2]["due_on"]
    assert (await plans.look(ref, third + 5 * DAY, hour=23)).status == "active"
    await plans.broken(ref, third + 6 * DAY)
    assert await plans.statuses(ref) == "broken: paid paid missed"
    assert await plans.stands(account) == ("negotiating", HUNDRED)
    assert await plans.payments(account) == [], "nobody was asked for money"


@pytest.mark.parametrize(
    ("other", "left"),
    [
        ("150.00", ["100.00", "50.00"]),
        ("100.00", ["100.00", "100.00"]),
        ("99.70", ["100.00", "99.30", "1.00"]),
        ("299.50", ["0.50"]),
        ("250.00", ["50.00"]),
    ],
)
async def test_other_money_shortens_the_end(plans: Plans, other: str, left: list[str]) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    await plans.till.paid(account, other)
    assert await plans.amounts(ref) == [Decimal(one) for one in left]
    assert sum(await plans.amounts(ref)) == (await plans.stands(account))[1]


async def test_money_that_is_on_its_way_is_waited_for(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    other = await plans.till.ask(account, "250.00", "bank_transfer")
    await plans.till.intent(other, "processing")
    day = plans.today
    standing = await plans.look(ref, day)
    again = business_day_from(day + DAY)
    assert (standing.payment, standing.look_at) == (None, datetime.combine(again, time(8), tzinfo=UTC))
    await plans.till.intent(other, "succeeded", "250.00")
    assert await plans.amounts(ref) == [Decimal("50.00")]
    await plans.paid(ref, again)
    assert await plans.stands(account) == ("closed", Decimal("0.00"))


async def test_the_balance_paid_otherwise_completes_the_plan(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    await plans.till.paid(account, "300.00")
    assert await plans.statuses(ref) == "completed: cancelled cancelled cancelled"
    assert await plans.stands(account) == ("closed", Decimal("0.00"))


async def test_a_plan_of_a_part_leaves_the_rest_to_be_negotiated(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account, total=Decimal("100.00"), instalments=1)
    await plans.paid(ref)
    assert await plans.statuses(ref) == "completed: paid"
    assert await plans.stands(account) == ("negotiating", Decimal("200.00"))
    again = await plans.make(account)
    assert await plans.statuses(again) == "active: collecting scheduled scheduled"


async def test_a_second_plan_beside_the_first_is_refused(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    with pytest.raises(Conflict, match="already") as refused:
        await plans.make(account)
    assert refused.value.details == {"plan_id": str(ref.plan_id)}


async def test_while_nothing_may_be_asked_for_nothing_is_paid_early(plans: Plans) -> None:
    account = await plans.desk.place(amount="300.00", status="negotiating")
    ref = await plans.make(account)
    await plans.change(ref, "pay_early")
    with pytest.raises(Conflict, match="instalment 1 is being asked for"):
        await plans.change(ref, "pay_early")
    [row] = await plans.payments(account)
    await plans.till.intent(PaymentRef(agency_id=ref.agency_id, payment_id=row["id"]), "succeeded", "100.00")
    other = await plans.till.ask(account, "150.00", "bank_transfer")
    await plans.till.intent(other, "processing")
    with pytest.raises(PaymentRefused):
        await plans.change(ref, "pay_early")
