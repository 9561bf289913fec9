"""The life of an account over months, in an instant."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.account_messages import AccountSnapshot, DeadlineReached
from activities.admission import AdmissionRequest, Admitted
from activities.messages import AccountRef
from domain.accounts import OPEN_STATUSES, AccountStatus
from domain.deadlines import Deadline, DeadlineKind
from workflows import queues
from workflows.account_messages import LifecycleDescription, LifecycleInput
from workflows.accounts import AccountLifecycle

AGENCY = UUID(int=1)
ACCOUNT = UUID(int=2)
MONTH = timedelta(days=30)
HOUR = timedelta(hours=1)


class Books:
    """One account, and what was done about it."""

    def __init__(self, clock: WorkflowEnvironment, now: datetime) -> None:
        self._clock = clock
        self.status = AccountStatus.NEW
        self.last_event_at = now
        self.followed_up: list[datetime] = []
        self.released = 0
        self.admissions = 0

    @activity.defn(name="accounts.load")
    async def load(self, ref: AccountRef) -> AccountSnapshot:
        follow_up_at, is_open = self.last_event_at + MONTH, self.status in OPEN_STATUSES
        deadlines = (Deadline(kind=DeadlineKind.FOLLOW_UP, at=follow_up_at),) if is_open else ()
        return AccountSnapshot(
            status=self.status, version=1, is_open=is_open, follow_up_at=follow_up_at, deadlines=deadlines
        )

    @activity.defn(name="accounts.deadline_reached")
    async def deadline_reached(self, reached: DeadlineReached) -> AccountSnapshot:
        if reached.deadline.at >= self.last_event_at + MONTH:
            self.followed_up.append(reached.deadline.at)
            self.last_event_at = await self._clock.get_current_time()
        return await self.load(reached.account)

    @activity.defn(name="admission.release")
    async def release(self, ref: AccountRef) -> None:
        self.released += 1

    @activity.defn(name="admission.admit")
    async def admit(self, request: AdmissionRequest) -> Admitted:
        self.admissions += 1
        return Admitted(started=0, after=None, more=False, pause_s=0)


@pytest.fixture
async def books(time_skipping: WorkflowEnvironment, serving: Any) -> AsyncIterator[Books]:
    made = Books(time_skipping, await time_skipping.get_current_time())
    async with serving(made):
        yield made


@pytest.fixture
async def lifecycle(time_skipping: WorkflowEnvironment, books: Books) -> WorkflowHandle[Any, Any]:
    return await time_skipping.client.start_workflow(
        AccountLifecycle.run,
        LifecycleInput(agency_id=AGENCY, account_id=ACCOUNT),
        id=queues.account_workflow_id(ACCOUNT),
        task_queue=queues.LIFECYCLE,
    )


async def described(lifecycle: WorkflowHandle[Any, Any]) -> LifecycleDescription:
    description: LifecycleDescription = await lifecycle.query(AccountLifecycle.describe)
    return description


async def test_each_idle_month_is_followed_up_once(
    time_skipping: WorkflowEnvironment, books: Books, lifecycle: WorkflowHandle[Any, Any]
) -> None:
    began = books.last_event_at
    await time_skipping.sleep(MONTH - HOUR)
    assert books.followed_up == []
    await time_skipping.sleep(2 * HOUR)
    assert books.followed_up == [began + MONTH]
    for months in range(2, 13):
        await time_skipping.sleep(MONTH + HOUR)
        assert len(books.followed_up) == months


async def test_an_event_puts_the_follow_up_off(
    time_skipping: WorkflowEnvironment, books: Books, lifecycle: WorkflowHandle[Any, Any]
) -> None:
    await time_skipping.sleep(timedelta(days=20))
    books.last_event_at = await time_skipping.get_current_time()
    await lifecycle.signal(AccountLifecycle.account_changed)
    await time_skipping.sleep(timedelta(days=29))
    assert books.followed_up == []
    await time_skipping.sleep(timedelta(days=2))
    assert len(books.followed_up) == 1


async def test_an_event_that_nobody_told_of_is_seen_when_the_follow_up_is_due(
    time_skipping: WorkflowEnvironment, books: Books, lifecycle: WorkflowHandle[Any, Any]
) -> None:
    """As by a re-import, which changes accounts by the thousand."""
    await time_skipping.sleep(timedelta(days=20))
    books.last_event_at = await time_skipping.get_current_time()
    await time_skipping.sleep(timedelta(days=29))
    assert books.followed_up == []
    await time_skipping.sleep(timedelta(days=2))
    assert len(books.followed_up) == 1


@pytest.mark.parametrize("status", [AccountStatus.CLOSED, AccountStatus.SETTLED])
async def test_an_account_that_is_over_frees_its_place(
    time_skipping: WorkflowEnvironment,
    books: Books,
    lifecycle: WorkflowHandle[Any, Any],
    status: AccountStatus,
) -> None:
    await time_skipping.sleep(HOUR)
    books.status = AccountStatus.DISPUTED
    await lifecycle.signal(AccountLifecycle.account_changed)
    await time_skipping.sleep(HOUR)
    assert (await described(lifecycle)).state == "disputed"
    assert books.released == 0

    books.status = status
    await lifecycle.signal(AccountLifecycle.account_changed)
    await lifecycle.result()
    assert books.released == 1
    admission = time_skipping.client.get_workflow_handle(queues.admission_workflow_id(AGENCY))
    assert await admission.result() == 0
    assert books.admissions == 1
    assert (await described(lifecycle)).next == []


async def test_it_describes_itself(
    time_skipping: WorkflowEnvironment, books: Books, lifecycle: WorkflowHandle[Any, Any]
) -> None:
    await time_skipping.sleep(HOUR)
    description = await described(lifecycle)
    assert description.state == "new"
    [expected] = description.next
    assert (expected.what.split(":")[0], expected.at) == ("follow-up", books.last_event_at + MONTH)
