"""Settlements: paid at once or by a plan, the rest forgiven by a journal of its own, and taken back."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from activities.account_messages import AcceptOffer, OfferSettlement
from domain.business_days import business_day_from
from domain.deadlines import SETTLEMENT_PAY_DAYS, DeadlineKind
from domain.errors import Conflict, Forbidden, Invalid
from domain.plan_schedule import next_try_after
from tests.integration.accounts.desk import Desk
from tests.integration.accounts.plan_books import DAY, Plans
from tests.integration.accounts.test_payment_books import Till

SOON = datetime.now(UTC).date() + timedelta(days=7)
DEBT = "1000.00"


@pytest.fixture
async def plans(desk: Desk) -> Plans:
    made = Plans(desk, Till(desk))
    await made.open()
    return made


async def settling(plans: Plans, *, instalments: int = 1, **terms: Any) -> tuple[UUID, UUID]:
    """An account of 1,000.00 on which an offer of 600.00 was accepted, and that offer."""
    account = await plans.desk.place(amount=DEBT, status="negotiating")
    given = {"amount": Decimal("600.00"), "expires_on": SOON, "instalments": instalments} | terms
    offer = await plans.desk.ask(OfferSettlement, account, **given)
    await plans.desk.tell(AcceptOffer, account, offer_id=UUID(offer["id"]))
    return account, UUID(offer["id"])


async def offer_of(plans: Plans, offer_id: UUID) -> tuple[str, bool]:
    """How the offer stands, and whether a rest was written off for it."""
    [row] = await plans.desk.query(
        "SELECT status, write_off_id FROM settlement_offer WHERE id = %s", offer_id
    )
    return row["status"], row["write_off_id"] is not None


async def kinds(plans: Plans, account: UUID) -> list[tuple[str, Decimal]]:
    """What was posted on an account, in order: kind of the journal and amount."""
    rows = await plans.desk.query(
        "SELECT j.kind, sum(p.amount) AS amount FROM journal j JOIN posting p ON p.journal_id = j.id"
        " WHERE p.account_id = %s AND j.kind <> 'placement' GROUP BY j.id, j.kind ORDER BY j.id",
        account,
    )
    return [(row["kind"], row["amount"]) for row in rows]


async def sound(plans: Plans) -> None:
    async with plans.desk.db.transaction(plans.desk.tenant) as tx:
        assert [breach async for breach in tx.ledger.breaches()] == []


async def test_a_lump_sum_settles_and_the_rest_is_forgiven(plans: Plans) -> None:
    account, offer = await settling(plans)
    await plans.till.paid(account, "600.00")
    assert await plans.stands(account) == ("settled", Decimal("0.00"))
    assert await offer_of(plans, offer) == ("kept", True)
    [payment, forgiven] = await kinds(plans, account)
    assert (payment, forgiven[1]) == (("payment", Decimal("600.00")), Decimal("400.00"))
    assert forgiven[0] != "payment"
    await sound(plans)


async def test_less_than_agreed_settles_nothing(plans: Plans) -> None:
    account, offer = await settling(plans)
    await plans.till.paid(account, "599.99")
    assert await plans.stands(account) == ("negotiating", Decimal("400.01"))
    assert await offer_of(plans, offer) == ("accepted", False)


async def test_more_than_agreed_settles_and_less_is_forgiven(plans: Plans) -> None:
    account, offer = await settling(plans)
    await plans.till.paid(account, "700.00")
    assert await plans.stands(account) == ("settled", Decimal("0.00"))
    assert [amount for _, amount in await kinds(plans, account)] == [Decimal("700.00"), Decimal("300.00")]
    assert await offer_of(plans, offer) == ("kept", True)
    await sound(plans)


async def test_all_that_was_owed_is_paid_and_nothing_forgiven(plans: Plans) -> None:
    account, offer = await settling(plans)
    await plans.till.paid(account, DEBT)
    assert await plans.stands(account) == ("closed", Decimal("0.00"))
    assert await kinds(plans, account) == [("payment", Decimal(DEBT))]
    assert (await offer_of(plans, offer))[1] is False
    await sound(plans)


async def lapses_on(plans: Plans, account: UUID) -> date | None:
    """The last day on which an accepted settlement can be paid."""
    found = await plans.desk.deadlines(account, DeadlineKind.SETTLEMENT_DUE)
    return found[0].at.date() - DAY if found else None


async def test_a_settlement_that_nobody_pays_lapses(plans: Plans) -> None:
    account, offer = await settling(plans)
    last = datetime.now(UTC).date() + SETTLEMENT_PAY_DAYS * DAY
    assert await lapses_on(plans, account) == last
    debit = await plans.till.ask(account, "600.00", "bank_transfer")
    assert await lapses_on(plans, account) is None, "the bank may have the money already"
    await plans.till.intent(debit, "requires_payment_method", failure_code="no_account")
    plan = await plans.make(account, offer_id=offer, instalments=1)
    assert await lapses_on(plans, account) is None, "a plan pays it"
    await plans.change(plan, "cancel", "paid otherwise")
    assert await lapses_on(plans, account) == last

    await plans.desk.reach(account, DeadlineKind.SETTLEMENT_DUE)

    assert await offer_of(plans, offer) == ("expired", False)
    assert await lapses_on(plans, account) is None
    [event] = [event for event in await plans.desk.events(account) if event[2] == "expired"]
    assert event == ("offer", "accepted", "expired")
    await plans.till.paid(account, "600.00")
    assert (await plans.stands(account))[1] == Decimal("400.00"), "the rest is owed"


async def test_an_offer_that_is_good_for_longer_can_be_paid_for_as_long(plans: Plans) -> None:
    late = datetime.now(UTC).date() + 3 * SETTLEMENT_PAY_DAYS * DAY
    account, _ = await settling(plans, expires_on=late)
    assert await lapses_on(plans, account) == late


async def test_a_percentage_that_is_less_than_a_cent_is_refused(plans: Plans) -> None:
    account = await plans.desk.place(amount="10.00", status="negotiating")
    with pytest.raises(Invalid, match="less than") as refused:
        await plans.desk.tell(OfferSettlement, account, percent=Decimal("0.01"), expires_on=SOON)
    assert refused.value.field == "percent"


@pytest.mark.parametrize("how", ["refund", "chargeback"])
async def test_money_that_goes_back_after_it_brings_the_whole_rest_back(plans: Plans, how: str) -> None:
    account, offer = await settling(plans)
    payment = await plans.till.paid(account, "600.00")
    if how == "refund":
        await plans.till.refund(payment, "100.00", "succeeded")
        left = Decimal("500.00")
    else:
        await plans.till.dispute(payment, "600.00", "needs_response")
        left = Decimal(DEBT)
    assert await plans.stands(account) == ("in_contact", left)
    assert (await offer_of(plans, offer))[0] == "cancelled"
    await sound(plans)


async def test_a_refund_of_what_was_paid_too_much_leaves_it_settled(plans: Plans) -> None:
    account, offer = await settling(plans)
    payment = await plans.till.paid(account, "700.00")
    await plans.till.refund(payment, "60.00", "succeeded", "re_1")
    await plans.till.refund(payment, "40.00", "succeeded", "re_2")
    assert await offer_of(plans, offer) == ("kept", True)
    assert await plans.stands(account) == ("settled", Decimal("0.00"))
    forgiven = [amount for kind, amount in await kinds(plans, account) if kind not in {"payment", "refund"}]
    assert forgiven == [Decimal(n) for n in (300, 300, 360, 360, 400)], "each time anew"
    await sound(plans)
    await plans.till.refund(payment, "1.00", "succeeded", "re_3")
    assert await plans.stands(account) == ("in_contact", Decimal("401.00"))
    assert (await offer_of(plans, offer))[0] == "cancelled"
    await sound(plans)


async def test_a_plan_pays_it_in_instalments(plans: Plans) -> None:
    account, offer = await settling(plans, instalments=3)
    ref = await plans.make(account, offer_id=offer)
    assert await plans.amounts(ref) == [Decimal("200.00")] * 3
    for one in await plans.instalments(ref):
        assert await offer_of(plans, offer) == ("accepted", False)
        await plans.paid(ref, business_day_from(one["due_on"]))
    assert await plans.stands(account) == ("settled", Decimal("0.00"))
    assert await plans.statuses(ref) == "completed: paid paid paid"
    assert await offer_of(plans, offer) == ("kept", True)
    assert [amount for _, amount in await kinds(plans, account)] == [Decimal("200.00")] * 3 + [
        Decimal("400.00")
    ]
    await sound(plans)


async def test_other_money_counts_for_it_too(plans: Plans) -> None:
    account, offer = await settling(plans, instalments=3)
    ref = await plans.make(account, offer_id=offer)
    await plans.paid(ref)
    await plans.till.paid(account, "250.00")
    assert await plans.amounts(ref) == [Decimal("200.00"), Decimal("150.00")]
    await plans.paid(ref, business_day_from((await plans.instalments(ref))[1]["due_on"]))
    assert await plans.stands(account) == ("settled", Decimal("0.00"))
    assert await plans.statuses(ref) == "completed: paid paid cancelled"
    await sound(plans)


async def test_a_broken_plan_takes_the_settlement_with_it_and_the_rest_is_owed(plans: Plans) -> None:
    account, offer = await settling(plans, instalments=3)
    ref = await plans.make(account, offer_id=offer)
    await plans.paid(ref)
    day = business_day_from((await plans.instalments(ref))[1]["due_on"])
    for _ in range(3):
        await plans.declined(ref, day)
        day = next_try_after(day)
    await plans.broken(ref, plans.today + 6 * DAY)
    assert await plans.statuses(ref) == "broken: paid missed cancelled"
    assert await plans.stands(account) == ("negotiating", Decimal("800.00"))
    assert await offer_of(plans, offer) == ("cancelled", False)
    events = await plans.desk.events(account)
    assert ("offer", "accepted", "cancelled") in events
    await plans.till.paid(account, "400.00")
    assert await plans.stands(account) == ("negotiating", Decimal("400.00")), "600 do not settle it any more"


async def test_a_cancelled_plan_leaves_the_settlement_to_another_one(plans: Plans) -> None:
    account, offer = await settling(plans, instalments=3)
    ref = await plans.make(account, offer_id=offer)
    await plans.paid(ref)
    await plans.change(ref, "cancel", None)
    assert await offer_of(plans, offer) == ("accepted", False)
    again = await plans.make(account, offer_id=offer, instalments=2)
    assert await plans.amounts(again) == [Decimal("200.00")] * 2, "what is left of it"


async def test_a_settlement_that_is_replaced_ends_its_plan(plans: Plans) -> None:
    account, offer = await settling(plans, instalments=3)
    ref = await plans.make(account, offer_id=offer)
    better = await plans.desk.ask(OfferSettlement, account, amount=Decimal("500.00"), expires_on=SOON)
    await plans.desk.tell(AcceptOffer, account, offer_id=UUID(better["id"]))
    assert (await plans.look(ref)).over
    assert (await plans.plan(ref))["ended_because"] == "its settlement stands no more"
    assert await plans.payments(account) == []


async def test_a_plan_keeps_to_what_was_offered(plans: Plans) -> None:
    account, offer = await settling(plans, instalments=3)
    with pytest.raises(Invalid, match="3 instalments at most"):
        await plans.make(account, offer_id=offer, instalments=4)
    with pytest.raises(Invalid, match="leave the total out") as refused:
        await plans.make(account, offer_id=offer, total=Decimal("500.00"))
    assert refused.value.field == "total"
    with pytest.raises(Conflict, match="accept it first"):
        await plans.make(account, offer_id=uuid4())
    await plans.make(account, offer_id=offer, total=Decimal("600.00"))


async def test_a_payment_of_the_same_day_counts_though_the_day_alone_is_on_record(plans: Plans) -> None:
    """Cash is entered with its day; what was handed in today came after what was agreed on this morning."""
    account, offer = await settling(plans)
    ref = await plans.till.ask(account, "600.00", "cash", received_on=datetime.now(UTC).date())
    await plans.till.books.record_received(ref)
    assert await plans.stands(account) == ("settled", Decimal("0.00"))
    assert await offer_of(plans, offer) == ("kept", True)


@pytest.mark.parametrize(
    ("terms", "least"),
    [
        ({"percent": Decimal("59.99")}, "600.00"),
        ({"percent": Decimal(60)}, None),
        ({"amount": Decimal("599.99")}, "600.00"),
        ({"amount": Decimal("600.00")}, None),
    ],
    ids=str,
)
async def test_a_collector_offers_no_less_than_the_agency_lets_them(
    plans: Plans, terms: dict[str, Decimal], least: str | None
) -> None:
    cole = await plans.desk.hire()
    account = await plans.desk.place(amount=DEBT, status="negotiating")
    await plans.desk.query("UPDATE account SET assigned_to = %s WHERE id = %s", cole, account)
    given = {"expires_on": SOON, **terms}
    if least is None:
        await plans.desk.tell(OfferSettlement, account, only_for=cole, **given)
        return
    with pytest.raises(Forbidden) as refused:
        await plans.desk.tell(OfferSettlement, account, only_for=cole, **given)
    assert refused.value.details == {"least_amount": least, "least_percent": 60}
    await plans.desk.tell(OfferSettlement, account, **given)
    await plans.desk.query(
        "UPDATE agency SET least_settlement_percent = 10 WHERE id = %s", plans.desk.agency_id
    )
    await plans.desk.tell(OfferSettlement, account, only_for=cole, **given)
