"""Commands against a real database: effect, event, audit record, rank and answer, all of it or nothing."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from activities.account_messages import (
    Assign,
    DeadlineReached,
    MakePromise,
    Recall,
    Transition,
)
from domain.accounts import AccountStatus, IllegalMove, legal_moves
from domain.deadlines import Deadline, DeadlineKind
from domain.errors import Conflict, DomainError, Invalid, KeyReused, NotFound
from tests.integration.accounts.desk import IP, Desk

S = AccountStatus
K = DeadlineKind
TODAY = datetime.now(UTC).date
DAY = timedelta(days=1)


async def nothing_changes(desk: Desk, account: UUID) -> tuple[Any, ...]:
    """All that a refusal must leave as it is."""
    return await desk.account(account), await desk.timeline(account), await desk.audit(account)


async def test_a_lifecycle_that_a_command_has_started_counts_as_worked(desk: Desk) -> None:
    account = await desk.place()
    ref = desk.ref(account)
    assert (await desk.steps.load(ref)).is_open
    assert (await desk.account(account))["admitted_at"] is None

    assert (await desk.steps.admit(ref)).is_open
    row = await desk.account(account)
    assert (row["admitted_at"] is not None, row["released_at"]) == (True, None)


async def test_assigning_a_new_account_gives_it_to_a_collector(desk: Desk) -> None:
    account, cole = await desk.place(), await desk.hire()
    order = desk.order(Assign, account, collector_id=cole)
    after = await desk.carry_out(order)

    row = await desk.account(account)
    assert (after.status, row["status"], row["assigned_to"]) == (S.ASSIGNED, "assigned", cole)
    assert (after.version, row["version"], row["account_version"]) == (3, 3, 3)
    assert (row["collector_id"], row["queued"]) == (cole, True)
    assert await desk.events(account) == [
        ("assigned", None, "Cole Lector"),
        ("status_changed", "new", "assigned"),
    ]
    [given, moved] = await desk.audit(account)
    assert (given["action"], given["old"], given["new"]) == (
        "account.assigned",
        {"assigned_to": None},
        {"assigned_to": str(cole)},
    )
    assert (moved["action"], moved["old"], moved["new"]) == (
        "account.moved",
        {"status": "new"},
        {"status": "assigned"},
    )
    for record in (given, moved):
        assert (record["actor_kind"], record["actor"], record["actor_id"]) == ("user", "admin", desk.who)
        assert (record["address"], record["agency_id"]) == (IP, desk.agency_id)
    status, body = await desk.answer(order)
    assert (status, body["status"], body["version"]) == (200, "assigned", 3)
    assert body["assigned_to"] == str(cole)
    assert body["legal_moves"] == ["in_contact", "disputed", "closed"]


async def test_an_account_is_passed_on_to_another_collector(desk: Desk) -> None:
    account, cole, dana = await desk.place(), await desk.hire(), await desk.hire("Dana Debt")
    await desk.tell(Assign, account, collector_id=cole)
    await desk.tell(Assign, account, collector_id=dana)
    again = await desk.tell(Assign, account, collector_id=dana)

    assert (await desk.account(account))["collector_id"] == dana
    assert again.version == 4, "to whom it belongs already, it is not given again"
    assert (await desk.events(account))[2:] == [("assigned", "Cole Lector", "Dana Debt")]


async def test_nobody_gets_an_account_of_another_agency_or_while_they_are_away(desk: Desk) -> None:
    account, away = await desk.place(), await desk.hire(active=False)
    elsewhere = Desk(desk.db, desk.superuser_url)
    await elsewhere.open()
    before = await nothing_changes(desk, account)
    for stranger in (await elsewhere.hire(), uuid4()):
        with pytest.raises(Invalid, match="no such collector") as refused:
            await desk.tell(Assign, account, collector_id=stranger)
        assert refused.value.field == "collector_id"
    with pytest.raises(Invalid, match="not active"):
        await desk.tell(Assign, account, collector_id=away)
    with pytest.raises(NotFound):
        await elsewhere.tell(Recall, account, reason="ours now")
    assert await nothing_changes(desk, account) == before


async def test_a_collector_tells_only_their_own_accounts(desk: Desk) -> None:
    account, cole, dana = await desk.place(), await desk.hire(), await desk.hire("Dana Debt")
    await desk.tell(Assign, account, collector_id=cole)
    with pytest.raises(NotFound, match="no such account"):
        await desk.tell(Transition, account, only_for=dana, new_status=S.IN_CONTACT)
    assert (
        await desk.tell(Transition, account, only_for=cole, new_status=S.IN_CONTACT)
    ).status == S.IN_CONTACT


@pytest.mark.parametrize("start", sorted(S))
async def test_moves_by_hand_are_those_of_the_table(desk: Desk, start: AccountStatus) -> None:
    for to in S:
        account = await desk.place(status=start.value)
        if to in legal_moves(start):
            order = desk.order(Transition, account, new_status=to, note="as agreed")
            after = await desk.carry_out(order)
            [event] = await desk.timeline(account)
            assert (after.status, event["old"], event["new"]) == (to, start.value, to.value)
            assert event["details"]["note"] == "as agreed"
            row = await desk.account(account)
            assert row["queued"] is (to not in {S.SETTLED, S.CLOSED, S.DISPUTED})
            assert row["closed_reason"] == ("closed_by_hand" if to is S.CLOSED else None)
        else:
            before = await nothing_changes(desk, account)
            with pytest.raises(IllegalMove) as refused:
                await desk.tell(Transition, account, new_status=to)
            assert refused.value.details["legal_moves"] == list(legal_moves(start))
            assert await nothing_changes(desk, account) == before


async def test_the_same_key_changes_nothing_and_another_body_is_refused(desk: Desk) -> None:
    account = await desk.place(status="assigned")
    order = desk.order(Transition, account, key="k", new_status=S.IN_CONTACT)
    first = await desk.carry_out(order)
    answer = await desk.answer(order)
    await desk.tell(Transition, account, new_status=S.NEGOTIATING)
    before = await nothing_changes(desk, account)

    again = await desk.carry_out(order)
    assert (first.status, again.status) == (S.IN_CONTACT, S.NEGOTIATING), "the snapshot is of now"
    assert await desk.answer(order) == answer, "the answer is the first"
    with pytest.raises(KeyReused):
        await desk.tell(Transition, account, key="k", new_status=S.CLOSED)
    assert await nothing_changes(desk, account) == before


async def test_a_key_of_a_refused_command_stays_unused(desk: Desk) -> None:
    account = await desk.place()
    with pytest.raises(IllegalMove):
        await desk.tell(Transition, account, key="k", new_status=S.NEGOTIATING)
    assert (await desk.tell(Transition, account, key="k", new_status=S.ASSIGNED)).status == S.ASSIGNED


async def test_of_racing_moves_one_wins(desk: Desk) -> None:
    account = await desk.place(status="negotiating")
    ways = [S.SETTLED, S.PAYMENT_PLAN] * 4
    answers = await asyncio.gather(
        *(desk.tell(Transition, account, new_status=to) for to in ways), return_exceptions=True
    )
    done = [answer for answer in answers if not isinstance(answer, BaseException)]
    refused = [answer for answer in answers if isinstance(answer, DomainError)]
    moves = {event[1:] for event in await desk.events(account)}
    if len(done) == 2:
        # From a plan it may be settled: the loser of the first round may be legal in the second.
        assert moves == {("negotiating", "payment_plan"), ("payment_plan", "settled")}
    else:
        assert moves == {("negotiating", done[0].status.value)}
    assert len(done) + len(refused) == len(ways)
    assert all(isinstance(error, IllegalMove | Conflict) for error in refused)


async def test_one_command_sent_twice_at_once_is_done_once(desk: Desk) -> None:
    account = await desk.place(status="assigned")
    order = desk.order(Transition, account, new_status=S.IN_CONTACT)
    await asyncio.gather(*(desk.carry_out(order) for _ in range(5)))
    assert await desk.events(account) == [("status_changed", "assigned", "in_contact")]


async def test_a_promise_takes_the_account_off_the_worklist_until_it_is_judged(desk: Desk) -> None:
    account = await desk.place(status="negotiating")
    due = TODAY() + 7 * DAY
    order = desk.order(MakePromise, account, amount=Decimal("400.00"), due_date=due)
    await desk.carry_out(order)

    row = await desk.account(account)
    assert (row["promised"], row["queued"]) == (True, False)
    status, made = await desk.answer(order)
    assert (status, made["amount"], made["status"], made["due_date"]) == (
        201,
        "400.00",
        "open",
        due.isoformat(),
    )
    [judged] = await desk.deadlines(account, K.PROMISE_DUE)
    assert judged.at == datetime.combine(due + 4 * DAY, datetime.min.time(), UTC), "with three days of grace"
    assert str(judged.subject_id) == made["id"]
    assert {"account.promised", "promise.made"} == {record["action"] for record in await desk.audit(account)}

    replaced = await desk.ask(MakePromise, account, amount=Decimal("1000.00"), due_date=due + DAY)
    rows = await desk.query("SELECT id, status FROM promise WHERE account_id = %s ORDER BY id", account)
    assert [(str(r["id"]), r["status"]) for r in rows] == [
        (made["id"], "cancelled"),
        (replaced["id"], "open"),
    ]
    assert "promise.cancelled" in [record["action"] for record in await desk.audit(account)]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"amount": Decimal("10.00"), "days": -1}, "due_date"),
        ({"amount": Decimal("1000.01"), "days": 1}, "amount"),
    ],
    ids=["in the past", "above the balance"],
)
async def test_promises_that_cannot_be_are_refused(desk: Desk, values: dict[str, Any], field: str) -> None:
    account = await desk.place(status="negotiating")
    before = await nothing_changes(desk, account)
    with pytest.raises(Invalid) as refused:
        await desk.tell(
            MakePromise, account, amount=values["amount"], due_date=TODAY() + values["days"] * DAY
        )
    assert refused.value.field == field
    assert await nothing_changes(desk, account) == before


async def test_payments_in_the_window_keep_a_promise_as_soon_as_they_reach_it(desk: Desk) -> None:
    account = await desk.place(status="negotiating")
    await desk.pay(account, "300.00", at=datetime.now(UTC) - DAY)
    await desk.tell(MakePromise, account, amount=Decimal("400.00"), due_date=TODAY() + 7 * DAY)
    await desk.pay(account, "399.99")
    assert await promises(desk, account) == ["open"], "what was paid before it does not count"
    await desk.pay(account, "0.01")
    assert await promises(desk, account) == ["kept"]
    row = await desk.account(account)
    assert (row["promised"], row["queued"], row["balance"]) == (False, True, Decimal("300.00"))
    assert (await desk.events(account))[-1] == ("promise", "open", "kept")
    assert await desk.deadlines(account, K.PROMISE_DUE) == []


@pytest.mark.parametrize(
    ("paid_after", "outcome"), [(9, "kept"), (11, "broken")], ids=["within grace", "after grace"]
)
async def test_a_promise_is_judged_by_what_came_in_its_window(
    desk: Desk, paid_after: int, outcome: str
) -> None:
    account = await desk.place(status="negotiating")
    await desk.tell(MakePromise, account, amount=Decimal("400.00"), due_date=TODAY() + 7 * DAY)
    await desk.backdate(account, 12 * DAY)
    await desk.post(account, "400.00", at=datetime.now(UTC) - 12 * DAY + paid_after * DAY)
    _, after = await desk.reach(account, K.PROMISE_DUE)
    assert await promises(desk, account) == [outcome]
    assert (await desk.account(account))["queued"] is True
    assert [d.kind for d in after.deadlines] == [K.FOLLOW_UP]


async def test_a_payment_that_went_back_keeps_no_promise(desk: Desk) -> None:
    account = await desk.place(status="negotiating")
    await desk.tell(MakePromise, account, amount=Decimal("400.00"), due_date=TODAY() + 7 * DAY)
    await desk.reverse(account, await desk.post(account, "400.00"))
    deadline, _ = await desk.reach(account, K.PROMISE_DUE)
    assert await promises(desk, account) == ["broken"]
    before = await nothing_changes(desk, account)
    await desk.steps.deadline_reached(reached(desk, account, deadline))
    assert await nothing_changes(desk, account) == before, "what was done is not done again"


def reached(desk: Desk, account: UUID, deadline: Deadline) -> DeadlineReached:
    return DeadlineReached(account=desk.ref(account), deadline=deadline)


async def promises(desk: Desk, account: UUID) -> list[str]:
    rows = await desk.query("SELECT status FROM promise WHERE account_id = %s ORDER BY id", account)
    return [row["status"] for row in rows]
