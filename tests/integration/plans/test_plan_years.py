"""A plan's months in an instant: timers, payments at Stripe, declines, pauses, and long absences."""

from datetime import timedelta
from decimal import Decimal
from itertools import dropwhile, islice
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.testing import WorkflowEnvironment

from db.session import Database
from domain.business_days import business_day_from
from domain.plan_schedule import Frequency, due_dates, next_try_after
from gateways.stripe import StripeGateway
from tests.integration.accounts.conftest import db
from tests.integration.accounts.desk import Desk
from tests.integration.accounts.plan_books import Plans
from tests.integration.accounts.test_payment_books import Till
from tests.integration.plans.years import DAY, Years
from tests.unit.workflows.conftest import serving
from workflows.plans import PaymentPlan

__all__ = ["db", "serving"]


@pytest.fixture
async def years(
    module_database: Any,
    db: Database,
    time_skipping: WorkflowEnvironment,
    stripe_gateway: StripeGateway,
    stripe_key: str,
    serving: Any,
) -> Years:
    desk = Desk(db, module_database.superuser_url)
    await desk.open()
    async with db.transaction(desk.tenant) as tx:
        await tx.stripe_credentials.put(
            secret_key=stripe_key, account_ref=f"acct_{uuid4().hex}", webhook_secret=None, webhook=None
        )
    plans = Plans(desk, Till(desk))
    # Begun in the afternoon, nothing is due before the next morning.
    await time_skipping.sleep(timedelta(seconds=1))
    plans.now = await time_skipping.get_current_time()
    return Years(plans, time_skipping, stripe_gateway, serving)


async def made(years: Years, amount: str, method: str = "pm_card_visa", **terms: Any) -> tuple[UUID, Any]:
    """An account and a plan on it, due from next week on, whose method is yet to be kept."""
    account = await years.plans.desk.place(amount=amount, status="negotiating")
    first_due = years.plans.today + 7 * DAY
    ref = await years.plans.make(account, given=method, first_due=first_due, **terms)
    return account, ref


async def test_twelve_months_are_paid_to_the_cent(years: Years) -> None:
    account, ref = await made(years, "1000.00", instalments=12)
    async with years.at_work():
        workflow = await years.start(ref)
        standing = await workflow.execute_update(PaymentPlan.ready)
        assert (standing.status, standing.number, standing.of) == ("active", 1, 12)
        planned = await years.plans.instalments(ref)
        await years.until(planned[4]["collect_on"])
        assert await years.plans.statuses(ref) == "active: " + "paid " * 5 + " ".join(["scheduled"] * 7)
        described = await workflow.query(PaymentPlan.describe)
        assert [step.what for step in described.next] == ["instalment 6 of 12"]
        assert await workflow.result() == "completed"
    assert await years.plans.stands(account) == ("closed", Decimal("0.00"))
    assert await years.asked(ref) == [(one["number"], one["collect_on"]) for one in planned]
    rows = await years.plans.payments(account)
    assert sum(row["amount"] for row in rows) == Decimal("1000.00")
    assert {row["amount"] for row in rows} == {Decimal("83.33"), Decimal("83.34")}
    async with years.plans.desk.db.transaction(years.plans.desk.tenant) as tx:
        assert [breach async for breach in tx.ledger.breaches()] == []


async def test_a_card_that_is_declined_breaks_it_after_three_tries_and_grace(years: Years) -> None:
    account, ref = await made(years, "300.00", "pm_card_chargeCustomerFail", instalments=3)
    async with years.at_work():
        workflow = await years.start(ref)
        first = (await years.plans.instalments(ref))[0]["collect_on"]
        tries = [first, next_try_after(first), next_try_after(next_try_after(first))]
        for number, day in enumerate(tries, start=1):
            await years.until(day)
            [one, *_] = await years.plans.instalments(ref)
            assert (one["tries"], one["asked_on"]) == (number, day)
        await years.until(tries[-1] + 5 * DAY, hour=23)
        assert await years.plans.statuses(ref) == "active: missed scheduled scheduled"
        assert await workflow.result() == "broken"
    assert await years.plans.statuses(ref) == "broken: missed cancelled cancelled"
    assert await years.plans.stands(account) == ("negotiating", Decimal("300.00"))
    rows = await years.plans.payments(account)
    assert [(row["status"], row["amount"]) for row in rows] == [("failed", Decimal("100.00"))] * 3


async def test_after_a_long_absence_it_goes_on_in_its_rhythm(years: Years) -> None:
    account, ref = await made(years, "600.00", instalments=6, frequency=Frequency.WEEKLY)
    [first, *_] = await years.plans.instalments(ref)
    await years.until(years.plans.today + 90 * DAY, hour=3)
    back = await years.today()
    async with years.at_work():
        workflow = await years.start(ref)
        assert await workflow.result() == "completed"
    rhythm = (business_day_from(day) for day in due_dates(first["due_on"], Frequency.WEEKLY))
    expected = list(islice(dropwhile(lambda day: day < back, rhythm), 6))
    assert [day for _, day in await years.asked(ref)] == expected
    assert len(await years.plans.payments(account)) == 6, "nothing is asked for twice"
    assert await years.plans.stands(account) == ("closed", Decimal("0.00"))


async def test_paused_it_asks_for_nothing_and_resumed_it_goes_on_later(years: Years) -> None:
    account, ref = await made(years, "300.00", instalments=3)
    async with years.at_work():
        workflow = await years.start(ref)
        await workflow.execute_update(PaymentPlan.ready)
        await years.plans.change(ref, "pause")
        await workflow.signal(PaymentPlan.changed)
        agreed = [one["due_on"] for one in await years.plans.instalments(ref)]
        await years.until(years.plans.today + 100 * DAY)
        assert await years.plans.payments(account) == []
        years.plans.now = await years.clock.get_current_time()
        back = years.plans.today
        await years.plans.change(ref, "resume")
        await workflow.signal(PaymentPlan.changed)
        assert await workflow.result() == "completed"
    rhythm = (business_day_from(day) for day in due_dates(agreed[0], Frequency.MONTHLY))
    expected = list(islice(dropwhile(lambda day: day < back, rhythm), 3))
    assert [day for _, day in await years.asked(ref)] == expected
    assert len(await years.plans.payments(account)) == 3


async def test_who_pays_by_themselves_and_stops_breaks_it_without_being_asked(years: Years) -> None:
    account, ref = await made(years, "300.00", instalments=3, by_hand=True)
    async with years.at_work():
        workflow = await years.start(ref)
        await years.plans.desk.post(account, "100.00")
        second = (await years.plans.instalments(ref))[1]["due_on"]
        await years.until(second + 5 * DAY, hour=23)
        assert await years.plans.statuses(ref) == "active: paid scheduled scheduled"
        assert await workflow.result() == "broken"
        assert await years.today() >= second + 6 * DAY
    assert await years.plans.stands(account) == ("negotiating", Decimal("200.00"))
    assert await years.plans.payments(account) == []


async def test_a_method_that_stripe_refuses_ends_it_at_once(years: Years) -> None:
    account, ref = await made(years, "300.00", "pm_nobodyHasThisOne")
    async with years.at_work():
        workflow = await years.start(ref)
        assert (await workflow.execute_update(PaymentPlan.ready)).over
        assert await workflow.result() == "cancelled"
    assert await years.plans.stands(account) == ("negotiating", Decimal("300.00"))
    because = (await years.plans.plan(ref))["ended_because"]
    assert because.startswith("the payment method was refused: attach pm_nobodyHasThisOne")
