"""Holds, disputes, offers and money against a real database, and what ends by itself."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from activities.account_messages import (
    AcceptOffer,
    AnswerDispute,
    Close,
    DeadlineReached,
    MakePromise,
    OfferSettlement,
    PlaceHold,
    Recall,
    RecordDispute,
    RefusedTransition,
    ReleaseHold,
    Transition,
)
from domain.accounts import AccountStatus, IllegalMove
from domain.compliance import validation
from domain.deadlines import DeadlineKind
from domain.errors import Conflict, Invalid, NotFound
from domain.holds import OF_THE_PERSON, STOPS_WORK, HoldKind
from tests.integration.accounts.desk import Desk

S = AccountStatus
K = DeadlineKind
DAY = timedelta(days=1)


def today() -> date:
    return datetime.now(UTC).date()


def midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC)


async def held(desk: Desk, *accounts: UUID) -> list[bool]:
    """Whether each is held; the worklist must say the opposite."""
    rows = [await desk.account(account) for account in accounts]
    assert [row["queued"] for row in rows] == [not row["held"] for row in rows]
    assert [row["account_version"] for row in rows] == [row["version"] for row in rows]
    return [row["held"] for row in rows]


async def kinds(desk: Desk, account: UUID) -> tuple[str, ...]:
    return (await desk.steps.load(desk.ref(account))).holds


async def statuses(desk: Desk, table: str, account: UUID) -> list[str]:
    rows = await desk.query(
        f"SELECT status FROM {table} WHERE account_id = %s ORDER BY id",  # noqa: S608 - of constants
        account,
    )
    return [row["status"] for row in rows]


@pytest.mark.parametrize("kind", sorted(HoldKind))
async def test_a_hold_counts_on_the_debt_or_on_all_that_the_person_owes(desk: Desk, kind: HoldKind) -> None:
    debtor = await desk.debtor()
    ours, theirs = await desk.place(debtor), await desk.place(debtor)
    stranger = await desk.place()
    order = desk.order(PlaceHold, ours, kind=kind, reason="they said so")
    await desk.carry_out(order)

    stops, personal = kind in STOPS_WORK, kind in OF_THE_PERSON
    assert await held(desk, ours, theirs, stranger) == [stops, stops and personal, False]
    assert await kinds(desk, ours) == (kind,)
    assert await kinds(desk, theirs) == ((kind,) if personal else ())
    status, answer = await desk.answer(order)
    assert (status, answer["kind"], answer["placed_by"], answer["released_at"]) == (201, kind, "admin", None)
    told = await desk.query("SELECT account_id FROM lifecycle_notice WHERE account_id = %s", theirs)
    assert bool(told) is personal

    with pytest.raises(Conflict, match="in force"):
        await desk.tell(PlaceHold, ours, kind=kind, reason="again")
    await desk.tell(ReleaseHold, ours, kind=kind)
    assert await held(desk, ours, theirs) == [False, False]
    assert await kinds(desk, theirs) == ()
    assert await desk.events(ours) == [("hold", None, kind), ("hold", kind, None)]
    with pytest.raises(NotFound):
        await desk.tell(ReleaseHold, ours, kind=kind)


async def test_what_holds_the_person_is_released_on_any_of_their_accounts(desk: Desk) -> None:
    """The account that it was placed on may be closed long since."""
    debtor = await desk.debtor()
    closed, ours = await desk.place(debtor), await desk.place(debtor)
    await desk.tell(PlaceHold, closed, kind=HoldKind.BANKRUPTCY, reason="petition filed")
    await desk.tell(PlaceHold, closed, kind=HoldKind.CEASE, reason="wrote so")
    await desk.tell(Recall, closed, reason="creditor asked")
    with pytest.raises(NotFound):
        await desk.tell(ReleaseHold, ours, kind=HoldKind.CEASE)
    await desk.tell(ReleaseHold, ours, kind=HoldKind.BANKRUPTCY)
    assert await held(desk, ours) == [False]
    assert (await desk.account(closed))["held"] is True, "of the debt, the cease stays"


async def test_one_of_two_holds_that_ends_leaves_the_other(desk: Desk) -> None:
    account = await desk.place()
    until = today() + 10 * DAY
    await desk.tell(PlaceHold, account, kind=HoldKind.CEASE, reason="in writing")
    await desk.tell(PlaceHold, account, kind=HoldKind.ATTORNEY, reason="represented", until=until)
    deadline, after = await desk.reach(account, K.HOLD_END)
    assert deadline.at == midnight(until + DAY) + timedelta(hours=12), "when its last day is over everywhere"
    assert after.holds == ("cease",)
    assert await held(desk, account) == [True]
    await desk.tell(ReleaseHold, account, kind=HoldKind.CEASE)
    assert await held(desk, account) == [False]


async def test_a_hold_of_the_person_ends_though_its_account_is_closed(desk: Desk) -> None:
    debtor = await desk.debtor()
    closed, ours = await desk.place(debtor), await desk.place(debtor)
    await desk.tell(PlaceHold, closed, kind=HoldKind.SCRA, reason="deployed", until=today() + 90 * DAY)
    await desk.tell(Recall, closed, reason="creditor asked")
    assert await desk.deadlines(closed) == []
    await desk.reach(ours, K.HOLD_END)
    assert await held(desk, ours) == [False]
    assert await kinds(desk, closed) == ()


async def test_holds_of_two_accounts_of_one_person_at_once(desk: Desk) -> None:
    debtor = await desk.debtor()
    accounts = [await desk.place(debtor) for _ in range(4)]
    placed = await asyncio.gather(
        *(desk.tell(PlaceHold, account, kind=HoldKind.DECEASED, reason="told so") for account in accounts),
        return_exceptions=True,
    )
    assert [isinstance(answer, Conflict) for answer in placed].count(True) == 3, "the first is for them all"
    assert await held(desk, *accounts) == [True] * 4
    answers = await asyncio.gather(
        *(desk.tell(ReleaseHold, account, kind=HoldKind.DECEASED) for account in accounts),
        return_exceptions=True,
    )
    assert [isinstance(answer, NotFound) for answer in answers].count(True) == 3, "the first ends them all"
    assert await held(desk, *accounts) == [False] * 4


async def test_a_hold_is_not_ended_in_the_past_and_not_put_on_a_closed_account(desk: Desk) -> None:
    account = await desk.place()
    with pytest.raises(Invalid) as refused:
        await desk.tell(PlaceHold, account, kind=HoldKind.CEASE, reason="x", until=today() - DAY)
    assert refused.value.field == "until"
    await desk.tell(Close, account, reason="too small")
    with pytest.raises(IllegalMove):
        await desk.tell(PlaceHold, account, kind=HoldKind.CEASE, reason="x")


async def noticed(desk: Desk, account: UUID, sent_on: date) -> None:
    """A validation notice that went out by letter."""
    await desk.query(
        "INSERT INTO contact (agency_id, account_id, debtor_id, channel, direction, purpose, recipient,"
        "                     place, connected, conversation, right_party, consented, consent_given, at,"
        "                     actor, decision_id)"
        " SELECT agency_id, id, debtor_id, 'letter', 'outbound', 'validation_notice', 'consumer', 'home',"
        "        false, false, true, false, false, %s, 'test', uuidv7() FROM account WHERE id = %s",
        midnight(sent_on) + timedelta(hours=12),
        account,
    )


async def test_a_dispute_stops_collection_until_it_is_answered(desk: Desk) -> None:
    account = await desk.place(status="in_contact")
    received = today() - DAY
    order = desk.order(RecordDispute, account, reason="not mine", received_on=received, in_writing=True)
    await desk.carry_out(order)
    status, dispute = await desk.answer(order)
    assert (status, dispute["status"], dispute["in_period"]) == (201, "open", True)
    row = await desk.account(account)
    assert (row["status"], row["queued"]) == ("disputed", False)
    [escalation] = await desk.deadlines(account, K.DISPUTE_ANSWER)
    assert escalation.at == midnight(received + 31 * DAY)
    with pytest.raises(Conflict, match="open already"):
        await desk.tell(RecordDispute, account, reason="other", received_on=received, in_writing=False)

    await desk.reach(account, K.DISPUTE_ANSWER)
    await desk.steps.deadline_reached(DeadlineReached(account=desk.ref(account), deadline=escalation))
    assert [kind for kind, *_ in await desk.events(account)] == ["dispute", "status_changed", "dispute"]
    assert await desk.deadlines(account, K.DISPUTE_ANSWER) == []

    told = {"dispute_id": UUID(dispute["id"]), "outcome": "verified"}
    with pytest.raises(Invalid) as refused:
        await desk.tell(AnswerDispute, account, **told)
    assert refused.value.field == "verification_sent_on"
    for sent_on in (today() + DAY, received - DAY):
        with pytest.raises(Invalid) as refused:
            await desk.tell(AnswerDispute, account, **told, verification_sent_on=sent_on)
        assert refused.value.field == "verification_sent_on"
    with pytest.raises(NotFound):
        await desk.tell(AnswerDispute, account, dispute_id=uuid4(), outcome="withdrawn")
    answered = await desk.ask(AnswerDispute, account, **told, verification_sent_on=today())
    assert (answered["outcome"], answered["answered_by"]) == ("verified", "admin")
    row = await desk.account(account)
    assert (row["status"], row["queued"]) == ("in_contact", True)
    with pytest.raises(Conflict, match="answered already"):
        await desk.tell(AnswerDispute, account, **told, verification_sent_on=today())


@pytest.mark.parametrize(
    ("after_end", "in_writing", "in_period"),
    [(0, True, True), (1, True, False), (0, False, False)],
    ids=["on the last day", "a day later", "not in writing"],
)
async def test_a_dispute_is_within_the_validation_period_or_not(
    desk: Desk, after_end: int, in_writing: bool, in_period: bool
) -> None:
    account = await desk.place(status="in_contact")
    sent_on = today() - 60 * DAY
    await noticed(desk, account, sent_on)
    received = validation.period_end(sent_on) + after_end * DAY
    made = await desk.ask(
        RecordDispute, account, reason="not mine", received_on=received, in_writing=in_writing
    )
    assert made["in_period"] is in_period
    # Outside of the period it may be answered without a verification.
    told = {"dispute_id": UUID(made["id"]), "outcome": "verified"}
    if in_period:
        with pytest.raises(Invalid):
            await desk.tell(AnswerDispute, account, **told)
    else:
        assert (await desk.tell(AnswerDispute, account, **told)).status == S.IN_CONTACT


async def test_a_dispute_that_only_repeats_an_answered_one_needs_a_notice_of_that(desk: Desk) -> None:
    """12 CFR 1006.38(d)(2)(ii): collection stops until the notice was sent."""
    account = await desk.place(status="in_contact")

    async def disputed(reason: str, **values: Any) -> dict[str, Any]:
        return await desk.ask(
            RecordDispute, account, reason=reason, received_on=today(), in_writing=True, **values
        )

    first = await disputed("It is NOT mine!")
    await desk.tell(
        AnswerDispute,
        account,
        dispute_id=UUID(first["id"]),
        outcome="verified",
        verification_sent_on=today(),
    )
    repeated = await disputed("it is not mine")
    assert (repeated["status"], repeated["outcome"]) == ("open", None)
    assert repeated["duplicate_of"] == first["id"]
    assert (await desk.account(account))["status"] == "disputed"

    answer = {"dispute_id": UUID(repeated["id"]), "outcome": "duplicative"}
    with pytest.raises(Invalid, match="duplicative, was sent") as refused:
        await desk.tell(AnswerDispute, account, **answer)
    assert refused.value.field == "verification_sent_on"
    sent = {"verification_sent_on": today()}
    answered = await desk.ask(AnswerDispute, account, **answer, **sent)
    assert (answered["status"], answered["outcome"]) == ("answered", "duplicative")
    assert (await desk.account(account))["status"] == "in_contact"

    fresh = await disputed("it is not mine", new_information=True)
    assert (fresh["duplicate_of"], (await desk.account(account))["status"]) == (None, "disputed")
    with pytest.raises(Conflict, match="repeats none"):
        await desk.tell(AnswerDispute, account, **{**answer, "dispute_id": UUID(fresh["id"]), **sent})


async def test_a_second_dispute_is_escalated_though_it_came_on_the_day_of_the_first(desk: Desk) -> None:
    account = await desk.place(status="in_contact")
    for reason in ("not mine", "paid already"):
        made = await desk.ask(
            RecordDispute, account, reason=reason, received_on=today() - 40 * DAY, in_writing=False
        )
        await desk.reach(account, K.DISPUTE_ANSWER)
        await desk.tell(AnswerDispute, account, dispute_id=UUID(made["id"]), outcome="withdrawn")
    escalations = [e for e in await desk.timeline(account) if "escalated" in e["description"]]
    assert len(escalations) == 2


async def test_the_debtor_who_is_right_owes_nothing_more(desk: Desk) -> None:
    account = await desk.place(status="in_contact")
    made = await desk.ask(RecordDispute, account, reason="not mine", received_on=today(), in_writing=True)
    after = await desk.tell(AnswerDispute, account, dispute_id=UUID(made["id"]), outcome="invalid")
    row = await desk.account(account)
    assert (after.status, row["closed_reason"], row["queued"]) == (S.CLOSED, "dispute_upheld", False)
    assert await statuses(desk, "dispute", account) == ["answered"]


async def test_nobody_disputes_in_the_future(desk: Desk) -> None:
    account = await desk.place()
    with pytest.raises(Invalid) as refused:
        await desk.tell(RecordDispute, account, reason="x", received_on=today() + DAY, in_writing=True)
    assert refused.value.field == "received_on"


async def test_offers_are_made_accepted_replaced_and_expire(desk: Desk) -> None:
    account = await desk.place(status="negotiating", amount="333.33")
    until = today() + 5 * DAY
    half = await desk.ask(OfferSettlement, account, percent=Decimal(50), instalments=2, expires_on=until)
    assert (half["amount"], half["status"]) == ("166.67", "open")
    [expiry] = await desk.deadlines(account, K.OFFER_EXPIRY)
    assert (expiry.at, str(expiry.subject_id)) == (midnight(until + DAY), half["id"])

    lower = await desk.ask(OfferSettlement, account, amount=Decimal("100.00"), expires_on=until)
    assert await statuses(desk, "settlement_offer", account) == ["cancelled", "open"]
    with pytest.raises(Conflict, match="cancelled"):
        await desk.tell(AcceptOffer, account, offer_id=UUID(half["id"]))
    with pytest.raises(NotFound):
        await desk.tell(AcceptOffer, account, offer_id=uuid4())
    accepted = await desk.ask(AcceptOffer, account, offer_id=UUID(lower["id"]))
    assert accepted["status"] == "accepted"
    assert await desk.deadlines(account, K.OFFER_EXPIRY) == []

    await desk.tell(OfferSettlement, account, amount=Decimal("90.00"), expires_on=until)
    await desk.reach(account, K.OFFER_EXPIRY)
    assert await statuses(desk, "settlement_offer", account) == ["cancelled", "accepted", "expired"]
    assert (await desk.events(account))[-1] == ("offer", "open", "expired")


async def test_an_offer_is_good_until_its_last_day(desk: Desk) -> None:
    account = await desk.place(status="negotiating")
    made = await desk.ask(OfferSettlement, account, amount=Decimal("10.00"), expires_on=today() + DAY)
    await desk.backdate(account, 2 * DAY)
    with pytest.raises(Conflict, match="expired"):
        await desk.tell(AcceptOffer, account, offer_id=UUID(made["id"]))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"amount": Decimal(1), "percent": Decimal(1)}, "amount"),
        ({}, "amount"),
        ({"amount": Decimal("1000.01")}, "amount"),
        ({"amount": Decimal(1), "days": -1}, "expires_on"),
    ],
    ids=["both", "neither", "above the balance", "in the past"],
)
async def test_offers_that_cannot_be_are_refused(desk: Desk, values: dict[str, Any], field: str) -> None:
    account = await desk.place(status="negotiating")
    expires_on = today() + values.pop("days", 1) * DAY
    with pytest.raises(Invalid) as refused:
        await desk.tell(OfferSettlement, account, expires_on=expires_on, **values)
    assert refused.value.field == field
    assert await desk.timeline(account) == []


async def test_money_that_settles_and_money_that_goes_back(desk: Desk) -> None:
    account = await desk.place(status="assigned")
    journal = await desk.post(account, "1000.00")
    await desk.steps.payment_posted(desk.ref(account))
    await desk.steps.payment_posted(desk.ref(account))
    moves = [("status_changed", "assigned", "settled"), ("status_changed", "settled", "closed")]
    assert await desk.events(account) == moves

    await desk.reverse(account, journal)
    await desk.steps.payment_reversed(desk.ref(account))
    await desk.steps.payment_reversed(desk.ref(account))
    row = await desk.account(account)
    assert await desk.events(account) == [*moves, ("status_changed", "closed", "in_contact")]
    assert (row["balance"], row["closed_reason"], row["queued"]) == (Decimal("1000.00"), None, True)
    async with desk.db.transaction(desk.tenant) as tx:
        assert [breach async for breach in tx.ledger.breaches()] == []


async def test_milestones_are_noted_once_each(desk: Desk) -> None:
    debtor = await desk.debtor(state="TX")
    account = await desk.place(debtor, due_date=date(2026, 1, 15))
    await noticed(desk, account, date(2026, 11, 20))
    for kind, event in ((K.VALIDATION_END, "validation"), (K.LIMITATION, "limitation")):
        deadline, after = await desk.reach(account, kind)
        await desk.steps.deadline_reached(DeadlineReached(account=desk.ref(account), deadline=deadline))
        assert kind not in {d.kind for d in after.deadlines}
        assert [e[0] for e in await desk.events(account)].count(event) == 1
        if kind is K.VALIDATION_END:
            assert deadline.at == midnight(date(2026, 12, 31)), "the first instant after its last day"


async def test_a_deadline_that_moved_away_does_nothing(desk: Desk) -> None:
    account = await desk.place(status="negotiating")
    await desk.tell(MakePromise, account, amount=Decimal("50.00"), due_date=today() + DAY)
    [old] = await desk.deadlines(account, K.PROMISE_DUE)
    await desk.tell(MakePromise, account, amount=Decimal("50.00"), due_date=today() + 9 * DAY)
    await desk.steps.deadline_reached(DeadlineReached(account=desk.ref(account), deadline=old))
    assert await statuses(desk, "promise", account) == ["cancelled", "open"]


async def test_a_signalled_move_that_is_refused_is_on_the_timeline_once(desk: Desk) -> None:
    account = await desk.place()
    order = desk.order(Transition, account, new_status=S.SETTLED)
    refused = RefusedTransition(
        account=order.account,
        identity=order.identity,
        new_status=S.SETTLED,
        reason="not from new",
        asked_by="batch",
    )
    await desk.steps.note_refusal(refused)
    await desk.steps.note_refusal(refused)
    [event] = await desk.timeline(account)
    assert (event["kind"], event["description"]) == ("refused", "Not moved to settled: not from new")
    assert event["details"] == {"new_status": "settled", "asked_by": "batch"}


@pytest.mark.parametrize(
    ("how", "after"),
    [("recall", "closed"), ("close", "closed"), ("settle", "in_contact"), ("paid", "in_contact")],
)
async def test_only_what_was_paid_is_worked_again_when_money_goes_back(
    desk: Desk, how: str, after: str
) -> None:
    account = await desk.place(status="negotiating")
    journal = await desk.post(account, "1000.00" if how == "paid" else "10.00")
    if how == "recall":
        await desk.tell(Recall, account, reason="creditor asked")
    elif how == "close":
        await desk.tell(Close, account, reason="uncollectible")
    elif how == "settle":
        await desk.tell(Transition, account, new_status=S.SETTLED)
    else:
        await desk.steps.payment_posted(desk.ref(account))
    await desk.reverse(account, journal)
    await desk.steps.payment_reversed(desk.ref(account))
    assert (await desk.account(account))["status"] == after


async def test_an_account_that_the_books_have_opened_while_its_lifecycle_was_ending_takes_its_place_again(
    desk: Desk,
) -> None:
    """The lifecycle has given its place back, then hears of the reversal and goes on."""
    account = await desk.place(status="in_contact")
    await desk.query("UPDATE account SET admitted_at = now(), released_at = now() WHERE id = %s", account)
    await desk.steps.payment_reversed(desk.ref(account))
    assert (await desk.account(account))["released_at"] is None


async def test_a_dispute_that_a_payment_has_ended_goes_on_when_the_money_goes_back(desk: Desk) -> None:
    account = await desk.place(status="in_contact")
    await desk.tell(RecordDispute, account, reason="not mine", received_on=today(), in_writing=True)
    journal = await desk.post(account, "1000.00")
    await desk.steps.payment_posted(desk.ref(account))
    assert await statuses(desk, "dispute", account) == ["cancelled"]
    await desk.reverse(account, journal)
    await desk.steps.payment_reversed(desk.ref(account))
    assert (await desk.account(account))["status"] == "disputed"
    assert await statuses(desk, "dispute", account) == ["open"]
    assert len(await desk.deadlines(account, K.DISPUTE_ANSWER)) == 1
