"""A lifecycle whose steps fail, or that is told too much: it goes on, and keeps nobody waiting."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, is_cancelled_exception
from temporalio.testing import WorkflowEnvironment

from activities.account_messages import (
    AccountSnapshot,
    CommandIdentity,
    DeadlineReached,
    MakePromise,
    RefusedTransition,
    Transition,
)
from activities.messages import AccountRef
from domain.accounts import AccountStatus
from domain.deadlines import Deadline, DeadlineKind
from sandbox.processes import until
from workflows import policies, queues
from workflows.account_messages import LifecycleDescription, LifecycleInput
from workflows.accounts import MOST_ASKED, PAUSE, AccountLifecycle

REF = AccountRef(agency_id=UUID(int=1), account_id=UUID(int=2))
DAY = timedelta(days=1)


def order(kind: Any, **values: Any) -> Any:
    identity = CommandIdentity(operation="op", key=uuid4().hex, body_hash="00")
    return kind(account=REF, identity=identity, actor_kind="user", actor="admin", **values)


class Ledger:
    """An account whose steps fail as they are told to: ``broken`` names the activities that raise."""

    def __init__(self, clock: WorkflowEnvironment, now: datetime) -> None:
        self._clock = clock
        self.broken: set[str] = set()
        self.gone = False
        self.admitted = False
        self.reading = asyncio.Event()
        self.held: asyncio.Event | None = None
        self.loads = 0
        self.reached: list[DeadlineKind] = []
        self.moved = 0
        self.refused: list[RefusedTransition] = []
        self.deadlines = [Deadline(kind=DeadlineKind.OFFER_EXPIRY, at=now + DAY, subject_id=UUID(int=3))]
        self.on_promise: Any = None

    def _snapshot(self) -> AccountSnapshot:
        return AccountSnapshot(
            status=AccountStatus.ASSIGNED,
            version=1,
            is_open=True,
            follow_up_at=self.deadlines[0].at + 30 * DAY,
            deadlines=tuple(self.deadlines),
        )

    def _may_fail(self, name: str) -> None:
        if name in self.broken:
            raise OverflowError(name)

    @activity.defn(name="accounts.admit")
    async def admit(self, ref: AccountRef) -> AccountSnapshot:
        self._may_fail("admit")
        self.admitted = True
        return self._snapshot()

    @activity.defn(name="accounts.load")
    async def load(self, ref: AccountRef) -> AccountSnapshot:
        self.loads += 1
        if self.held is not None:
            self.reading.set()
            await self.held.wait()
        self._may_fail("load")
        if self.gone:
            raise ApplicationError("there is no such account", type="not-found", non_retryable=True)
        return self._snapshot()

    @activity.defn(name="accounts.deadline_reached")
    async def deadline_reached(self, reached: DeadlineReached) -> AccountSnapshot:
        self._may_fail("deadline_reached")
        self.reached.append(reached.deadline.kind)
        self.deadlines = [d for d in self.deadlines if d != reached.deadline]
        follow_up = Deadline(kind=DeadlineKind.FOLLOW_UP, at=reached.deadline.at + 300 * DAY)
        self.deadlines = self.deadlines or [follow_up]
        return self._snapshot()

    @activity.defn(name="accounts.transition")
    async def transition(self, command: Transition) -> AccountSnapshot:
        self._may_fail("transition")
        if command.new_status is AccountStatus.CLOSED:
            raise ApplicationError("not now", type="illegal-move", non_retryable=True)
        self.moved += 1
        return self._snapshot()

    @activity.defn(name="accounts.promise")
    async def promise(self, command: MakePromise) -> AccountSnapshot:
        await self.on_promise()
        raise ApplicationError("the balance is less", type="invalid", non_retryable=True)

    @activity.defn(name="accounts.note_refusal")
    async def note_refusal(self, refused: RefusedTransition) -> None:
        self.refused.append(refused)


@pytest.fixture
async def ledger(time_skipping: WorkflowEnvironment, serving: Any) -> AsyncIterator[Ledger]:
    made = Ledger(time_skipping, await time_skipping.get_current_time())
    async with serving(made):
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock does not skip while an update waits for an activity that is tried again and again."""
    monkeypatch.setitem(policies.ACCOUNT_STEP, "schedule_to_close_timeout", timedelta(seconds=2))


@pytest.fixture
async def lifecycle(time_skipping: WorkflowEnvironment, ledger: Ledger) -> WorkflowHandle[Any, Any]:
    return await begin(time_skipping)


async def begin(clock: WorkflowEnvironment, *, by_command: bool = False) -> WorkflowHandle[Any, Any]:
    return await clock.client.start_workflow(
        AccountLifecycle.run,
        LifecycleInput(agency_id=REF.agency_id, account_id=REF.account_id, by_command=by_command),
        id=queues.account_workflow_id(REF.account_id),
        task_queue=queues.LIFECYCLE,
    )


async def test_a_deadline_that_fails_keeps_no_command_waiting_and_comes_at_last(
    time_skipping: WorkflowEnvironment, ledger: Ledger, lifecycle: WorkflowHandle[Any, Any]
) -> None:
    ledger.broken.add("deadline_reached")
    await time_skipping.sleep(DAY + PAUSE)
    assert ledger.reached == []
    await lifecycle.execute_update(
        AccountLifecycle.transition, order(Transition, new_status=AccountStatus.IN_CONTACT)
    )
    assert ledger.moved == 1

    ledger.broken.clear()
    await time_skipping.sleep(2 * PAUSE)
    assert ledger.reached == [DeadlineKind.OFFER_EXPIRY], "once"


async def test_a_command_that_always_fails_ends_its_own_update_only(
    ledger: Ledger, lifecycle: WorkflowHandle[Any, Any]
) -> None:
    ledger.broken.add("transition")
    move = order(Transition, new_status=AccountStatus.IN_CONTACT)
    with pytest.raises(WorkflowUpdateFailedError):
        await lifecycle.execute_update(AccountLifecycle.transition, move)
    ledger.broken.clear()
    await lifecycle.execute_update(
        AccountLifecycle.transition, order(Transition, new_status=AccountStatus.IN_CONTACT)
    )
    assert ledger.moved == 1


async def test_an_account_that_cannot_be_read_refuses_commands_until_it_can(
    time_skipping: WorkflowEnvironment, ledger: Ledger, lifecycle: WorkflowHandle[Any, Any]
) -> None:
    ledger.broken.add("load")
    with pytest.raises(WorkflowUpdateFailedError):
        await lifecycle.execute_update(
            AccountLifecycle.transition, order(Transition, new_status=AccountStatus.IN_CONTACT)
        )
    ledger.broken.clear()
    await time_skipping.sleep(2 * PAUSE)
    description: LifecycleDescription = await lifecycle.query(AccountLifecycle.describe)
    assert description.state == "assigned"


async def test_an_account_that_is_not_there_ends_its_lifecycle(
    ledger: Ledger, lifecycle: WorkflowHandle[Any, Any]
) -> None:
    ledger.gone = True
    await lifecycle.signal(AccountLifecycle.account_changed)
    with pytest.raises(WorkflowFailureError):
        await lifecycle.result()


async def test_an_account_that_a_command_has_reached_is_admitted_however_long_that_fails(
    time_skipping: WorkflowEnvironment, ledger: Ledger
) -> None:
    """Who changes an account that is not marked as worked tells its lifecycle nothing."""
    ledger.broken.add("admit")
    lifecycle = await begin(time_skipping, by_command=True)
    await time_skipping.sleep(2 * PAUSE)
    assert not ledger.admitted
    ledger.broken.clear()
    await time_skipping.sleep(2 * PAUSE)
    description: LifecycleDescription = await lifecycle.query(AccountLifecycle.describe)
    assert (description.state, ledger.admitted, ledger.loads) == ("assigned", True, 0)


async def test_a_move_that_was_asked_for_and_not_refused_is_made_when_it_can_be(
    time_skipping: WorkflowEnvironment, ledger: Ledger, lifecycle: WorkflowHandle[Any, Any]
) -> None:
    """As while the database is away: whoever has sent the signal waits for no answer."""
    ledger.broken.add("transition")
    move = order(Transition, new_status=AccountStatus.IN_CONTACT)
    await lifecycle.signal(AccountLifecycle.ask_transition, move)
    await time_skipping.sleep(PAUSE)
    assert (ledger.moved, ledger.refused) == (0, [])
    ledger.broken.clear()
    await time_skipping.sleep(2 * PAUSE)
    assert (ledger.moved, ledger.refused) == (1, [])


async def test_cancelling_a_lifecycle_ends_it_within_a_step(
    time_skipping: WorkflowEnvironment, ledger: Ledger
) -> None:
    ledger.held = asyncio.Event()
    lifecycle = await begin(time_skipping)
    await asyncio.wait_for(ledger.reading.wait(), 60)
    await lifecycle.cancel()
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(lifecycle.result(), 20)
    ledger.held.set()
    assert is_cancelled_exception(failed.value.cause)


async def test_a_change_that_is_told_while_a_command_is_refused_is_read(
    ledger: Ledger, lifecycle: WorkflowHandle[Any, Any]
) -> None:
    later = Deadline(kind=DeadlineKind.LIMITATION, at=ledger.deadlines[0].at + DAY)

    async def changed_meanwhile() -> None:
        ledger.deadlines.append(later)
        await lifecycle.signal(AccountLifecycle.account_changed)

    ledger.on_promise = changed_meanwhile
    promise = order(MakePromise, amount="10.00", due_date="2030-01-01")
    with pytest.raises(WorkflowUpdateFailedError):
        await lifecycle.execute_update(AccountLifecycle.promise, promise)

    async def known() -> bool:
        description: LifecycleDescription = await lifecycle.query(AccountLifecycle.describe)
        return [expected.at for expected in description.next] == [d.at for d in ledger.deadlines]

    await until(known, within_s=60, what="the account to be read again")


async def test_moves_that_are_asked_for_without_end_are_bounded_and_histories_too(
    time_skipping: WorkflowEnvironment, ledger: Ledger, lifecycle: WorkflowHandle[Any, Any]
) -> None:
    refused = order(Transition, new_status=AccountStatus.CLOSED)
    first = (await lifecycle.describe()).run_id
    for _ in range(6):
        await asyncio.gather(
            *(lifecycle.signal(AccountLifecycle.ask_transition, refused) for _ in range(MOST_ASKED // 2))
        )
        await time_skipping.sleep(timedelta(minutes=1))
    await lifecycle.execute_update(
        AccountLifecycle.transition, order(Transition, new_status=AccountStatus.IN_CONTACT)
    )
    description = await time_skipping.client.get_workflow_handle(lifecycle.id).describe()
    assert description.run_id != first, "it continued as new in time"
    assert description.history_length < 6_000
    assert ledger.refused
