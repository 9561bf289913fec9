"""Eighteen months of an account, from its placement to its closing, on a clock that skips."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.account_messages import (
    AccountCommand,
    AnswerDispute,
    Assign,
    MakePromise,
    OfferSettlement,
    PlaceHold,
    RecordDispute,
    Transition,
)
from domain.accounts import AccountStatus, IllegalMove
from domain.compliance import validation
from domain.deadlines import DeadlineKind, end_of_day, start_of_day
from domain.holds import HoldKind
from services.lifecycle_commands import LifecycleCommander
from tests.unit.workflows.account_books import ACCOUNT, ZONE, AccountBooks, order
from workflows import queues
from workflows.account_messages import LifecycleDescription
from workflows.accounts import AccountLifecycle

S = AccountStatus
K = DeadlineKind
DAY = timedelta(days=1)
FOLLOW_UPS = 15
STATUSES = ("assigned", "in_contact", "disputed", "in_contact", "negotiating", "closed")
"""Those that the lifecycle sees; it is settled and closed in one step."""

UPDATES: dict[type[AccountCommand], str] = {
    Assign: "assign",
    Transition: "transition",
    MakePromise: "promise",
    PlaceHold: "hold",
    RecordDispute: "dispute",
    AnswerDispute: "answer_dispute",
    OfferSettlement: "offer_settlement",
}


@dataclass
class Story:
    """The account, told day by day: day 0 is the one it is placed on, and people work at noon UTC."""

    env: WorkflowEnvironment
    books: AccountBooks
    began: date

    @property
    def lifecycle(self) -> WorkflowHandle[Any, Any]:
        """Whichever run is at it."""
        return self.env.client.get_workflow_handle(queues.account_workflow_id(ACCOUNT))

    def day(self, number: int) -> date:
        return self.began + number * DAY

    async def on(self, number: int) -> None:
        """Let time pass until noon of a day."""
        noon = datetime.combine(self.day(number), time(12), UTC)
        await self.env.sleep(noon - await self.env.get_current_time())

    async def tell(self, command: type[AccountCommand], /, **values: Any) -> None:
        """A command, through the door that the API uses; no other deadline moves by it."""
        before = self.waits()
        commander = LifecycleCommander(self.env.client, timedelta(seconds=60))
        await commander.carry_out(
            UPDATES[command], order(command, **values), priority=1, status="new", version=1
        )
        after = self.waits()
        assert {name: after[name] for name in before if name in after} == {
            name: at for name, at in before.items() if name in after
        }
        assert len(after) - len(before) <= 1

    def waits(self) -> dict[str, datetime]:
        """What the account waits for but the follow-up, which each event puts off."""
        return {d.name: d.at for d in self.books.deadlines() if d.kind is not K.FOLLOW_UP}

    async def described(self) -> LifecycleDescription:
        """The workflow's own words, which must be those of the books."""
        told: LifecycleDescription = await self.lifecycle.query(AccountLifecycle.describe)
        assert told.state == self.books.status
        assert [(e.what, e.at) for e in told.next] == [(d.kind.words, d.at) for d in self.books.deadlines()]
        assert told.holds == tuple(sorted(self.books.holds))
        return told

    def after(self, number: int) -> datetime:
        """The first instant after a day, where the agency is."""
        return end_of_day(self.day(number), ZONE)

    def times_of(self, kind: str, new: str) -> list[datetime]:
        """When it happened, to the minute: the server takes its time after an alarm."""
        found = [event.at for event in self.books.events if (event.kind, event.new) == (kind, new)]
        return [at.replace(second=0, microsecond=0) for at in found]


@pytest.fixture
async def story(time_skipping: WorkflowEnvironment, serving: Any) -> AsyncIterator[Story]:
    books = AccountBooks(time_skipping, await time_skipping.get_current_time())
    made = Story(time_skipping, books, await books.today() + DAY)
    async with serving(books):
        await made.on(0)
        yield made


@pytest.mark.parametrize("signals", [0, 4_200], ids=["undisturbed", "in two runs"])
async def test_an_account_from_placement_to_closing(story: Story, signals: int) -> None:
    books, day = story.books, story.day
    books.barred_on = day(300)
    await first_weeks(story)
    await dispute_and_offer(story)
    first_run = (await story.lifecycle.describe()).run_id
    await quiet_months(story, signals)
    second_run = (await story.lifecycle.describe()).run_id
    await the_end(story)

    notice_over = end_of_day(validation.period_end(day(2)), ZONE)
    assert story.times_of("validation_end", "reached") == [notice_over]
    assert story.times_of("promise", "broken") == [story.after(23)], "due on day 20, three days of grace"
    assert [at.date() for at in story.times_of("promise", "kept")] == [day(35)]
    assert story.times_of("dispute_answer", "reached") == [story.after(75)]
    assert story.times_of("offer", "expired") == [story.after(95)]
    assert story.times_of("hold", "ended") == [story.after(160)]
    assert story.times_of("limitation", "reached") == [start_of_day(day(300), ZONE)]
    followed_up_each_idle_month(books)
    assert (books.released, books.admissions) == (1, 1)
    assert (first_run == second_run) is (signals == 0)
    if signals == 0:
        await no_step_too_many(story)


async def test_nothing_is_refused_by_what_is_just_being_read_anew(story: Story) -> None:
    """Somebody changed the account beside its workflow, which has been told and is looking at it."""
    books = story.books
    await story.tell(Assign, collector_id=UUID(int=7))
    books.status = S.NEGOTIATING
    books.reading.clear()
    books.may_read.clear()
    await story.lifecycle.signal(AccountLifecycle.account_changed)
    await books.reading.wait()
    move = asyncio.create_task(story.tell(Transition, new_status=S.PAYMENT_PLAN))
    done, _ = await asyncio.wait({move}, timeout=0.5)
    assert not done
    books.may_read.set()
    await move
    assert books.status is S.PAYMENT_PLAN


async def first_weeks(story: Story) -> None:
    """Assigned, told of the debt, contacted; one promise broken, one kept."""
    books, day = story.books, story.day
    await story.tell(Assign, collector_id=UUID(int=7))
    assert (await story.described()).state == "assigned"
    await story.on(2)
    books.notice_sent_on = day(2)
    await books.happen("contact", "validation_notice")
    await story.lifecycle.signal(AccountLifecycle.contact_logged)
    await story.tell(Transition, new_status=S.IN_CONTACT)
    with pytest.raises(IllegalMove) as refused:
        await story.tell(Transition, new_status=S.SETTLED)
    assert refused.value.details["legal_moves"] == ["negotiating", "disputed", "closed"]
    await story.on(10)
    await story.tell(MakePromise, amount=Decimal(200), due_date=day(20))
    told = await story.described()
    assert told.next[0].what == "promise due, with grace"
    await story.on(12)
    await story.tell(PlaceHold, kind=HoldKind.ATTORNEY, reason="represented", until=day(160))
    await story.on(23)
    assert story.times_of("promise", "broken") == []
    await story.on(24)
    await story.described()
    await story.on(31)
    await story.tell(MakePromise, amount=Decimal(200), due_date=day(40))
    await story.on(35)
    await books.pay(200)
    await story.lifecycle.signal(AccountLifecycle.payment_posted)
    await story.on(36)
    assert books.promise_ is None


async def dispute_and_offer(story: Story) -> None:
    """Disputed, escalated, answered; negotiated in vain."""
    books, day = story.books, story.day
    await story.on(45)
    await story.tell(RecordDispute, reason="not mine", received_on=day(45), in_writing=True)
    with pytest.raises(IllegalMove):
        await story.tell(MakePromise, amount=Decimal(1), due_date=day(50))
    await story.on(74)
    assert story.times_of("dispute_answer", "reached") == []
    await story.on(80)
    assert books.dispute_ is not None
    assert "dispute to be answered, or escalated" not in [e.what for e in (await story.described()).next]
    await story.tell(
        AnswerDispute, dispute_id=books.dispute_.id, outcome="verified", verification_sent_on=day(80)
    )
    await story.tell(Transition, new_status=S.NEGOTIATING)
    await story.on(85)
    await story.tell(OfferSettlement, percent=Decimal(50), expires_on=day(95))
    await story.on(150)
    assert (await story.described()).holds == ("attorney",)


async def quiet_months(story: Story, signals: int) -> None:
    """Nobody does anything; some system says again and again that something has changed."""
    await story.on(200)
    for _ in range(signals // 100):
        signal = story.lifecycle.signal
        await asyncio.gather(*(signal(AccountLifecycle.account_changed) for _ in range(100)))
    await story.on(201)
    await story.described()
    await story.on(400)
    told = await story.described()
    assert [expected.what.split(":")[0] for expected in told.next] == ["follow-up"]


async def the_end(story: Story) -> None:
    """The rest is paid."""
    await story.on(540)
    await story.lifecycle.signal(AccountLifecycle.ask_transition, order(Transition, new_status=S.IN_CONTACT))
    await story.books.pay(800)
    await story.lifecycle.signal(AccountLifecycle.payment_posted)
    await story.lifecycle.result()
    assert story.books.status is S.CLOSED
    assert (await story.described()).next == []
    # One that nobody waits for is refused as well, and people are told.
    assert [refused.new_status for refused in story.books.refused] == [S.IN_CONTACT]


def followed_up_each_idle_month(books: AccountBooks) -> None:
    """Whenever nothing has happened for 30 days, and only then."""
    idle = [later.at - earlier.at for earlier, later in itertools.pairwise(books.events)]
    followed_up = [event.kind == "follow_up" for event in books.events[1:]]
    assert [pause >= 30 * DAY for pause in idle] == followed_up
    assert max(idle) < 30 * DAY + timedelta(minutes=1)
    assert followed_up.count(True) == FOLLOW_UPS


async def no_step_too_many(story: Story) -> None:
    """One activity for each command, deadline and fact, one timer for each deadline, and nothing else."""
    history = await story.lifecycle.fetch_history()
    steps: Counter[str] = Counter()
    timers: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for event in history.events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            steps[event.activity_task_scheduled_event_attributes.activity_type.name] += 1
        elif event.HasField("timer_started_event_attributes"):
            timers[json.loads(event.user_metadata.summary.data)] += 1
        elif "TMPRL1101" in event.workflow_task_failed_event_attributes.failure.message:
            continue  # A machine so busy that the worker took its slowness for a deadlock; it is tried again.
        else:
            others[EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")] += 1
    assert steps == {
        "accounts.admit": 1,  # at first, for a command has started it
        "accounts.load": 2,  # after the contact, after the move that was refused
        "accounts.assign": 1,
        "accounts.transition": 3,
        "accounts.promise": 2,
        "accounts.hold": 1,
        "accounts.dispute": 1,
        "accounts.answer_dispute": 1,
        "accounts.offer_settlement": 1,
        "accounts.payment_posted": 2,
        "accounts.note_refusal": 1,
        "accounts.deadline_reached": FOLLOW_UPS + 6,
        "admission.release": 1,
    }
    # One that is put off is prolonged when it fires, not set anew with each event.
    assert timers.pop("follow_up") <= FOLLOW_UPS + 7
    assert timers == {
        "promise_due": 2,
        "validation_end": 1,
        "dispute_answer": 1,
        "offer_expiry": 1,
        "hold_end": 1,
        "limitation": 1,
    }
    # Nothing is written of the moves that the validator refused.
    assert others["WORKFLOW_EXECUTION_UPDATE_ACCEPTED"] == others["WORKFLOW_EXECUTION_UPDATE_COMPLETED"] == 9
    assert others["TIMER_CANCELED"] == 2, "of the promise that was kept, and at the end"
    assert others["UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"] == len(STATUSES)
    assert others["ACTIVITY_TASK_FAILED"] == 1
    assert "MARKER_RECORDED" not in others, "a run that is started now need not say what it is"
    assert not {kind for kind in others if "WORKFLOW_TASK" in kind} - {
        "WORKFLOW_TASK_SCHEDULED",
        "WORKFLOW_TASK_STARTED",
        "WORKFLOW_TASK_COMPLETED",
    }
