"""Sending to a partner: batch after batch, what is refused, a partner that is away, very many batches."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities.partner_sync_messages import (
    BatchRef,
    SyncEnd,
    SyncRef,
    SyncRequest,
    SyncSummary,
    UndeliveredBatch,
)
from activities.scoring import ScoringRef, ScoringSummary
from tests.unit.workflows.test_scoring import AGENCY, RUN, Scores, begin
from workflows import queues
from workflows.partner_sync import BATCHES_IN_A_HISTORY, PartnerSync

PARTNER, SYNC = UUID(int=11), UUID(int=12)
AWAY = ApplicationError("partner.example: not reached", type="partner-unavailable")
REFUSED = ApplicationError("partner.example: answered 400", type="partner-refused", non_retryable=True)


class Partner:
    """A partner that takes every batch but those that it is told not to."""

    def __init__(self, clock: WorkflowEnvironment) -> None:
        self._clock = clock
        self.batches = 3
        self.over = False
        self.unopened: ApplicationError | None = None
        self.failing: dict[int, list[ApplicationError]] = {}
        self.always: dict[int, ApplicationError] = {}
        self.requests: list[SyncRequest] = []
        self.tried: list[int] = []
        self.times: list[datetime] = []
        self.taken: list[int] = []
        self.given_up: dict[int, str] = {}
        self.ends: list[str | None] = []

    @activity.defn(name="partner_sync.open")
    async def open(self, request: SyncRequest) -> SyncRef:
        self.requests.append(request)
        if self.unopened:
            raise self.unopened
        return SyncRef(agency_id=AGENCY, sync_id=request.sync_id, batches=self.batches, over=self.over)

    @activity.defn(name="partner_sync.deliver")
    async def deliver(self, ref: BatchRef) -> None:
        self.tried.append(ref.number)
        self.times.append(await self._clock.get_current_time())
        if error := self.always.get(ref.number):
            raise error
        if self.failing.get(ref.number):
            raise self.failing[ref.number].pop(0)
        self.taken.append(ref.number)

    @activity.defn(name="partner_sync.give_up")
    async def give_up(self, batch: UndeliveredBatch) -> None:
        self.given_up[batch.number] = batch.reason

    @activity.defn(name="partner_sync.finish")
    async def finish(self, end: SyncEnd) -> SyncSummary:
        self.ends.append(end.reason)
        done = len(self.taken) == self.batches or self.over
        reason = None if done else end.reason or "not all were delivered"
        status = "completed" if done else "failed"
        return SyncSummary(
            sync_id=end.sync_id, status=status, total=30, delivered=len(self.taken), reason=reason
        )


async def send(clock: WorkflowEnvironment) -> WorkflowHandle[Any, SyncSummary]:
    return await clock.client.start_workflow(
        PartnerSync.run,
        SyncRequest(agency_id=AGENCY, partner_id=PARTNER, sync_id=SYNC, origin="manual"),
        id=queues.partner_sync_workflow_id(SYNC),
        task_queue=queues.LIFECYCLE,
    )


async def failed(sending: WorkflowHandle[Any, SyncSummary]) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as failure:
        await sending.result()
    assert isinstance(failure.value.cause, ApplicationError)
    return failure.value.cause


async def test_batches_are_delivered_in_order_and_again_until_they_are_taken(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    partner = Partner(time_skipping)
    partner.failing = {2: [AWAY, AWAY]}
    async with serving(partner):
        summary = await (await send(time_skipping)).result()
    assert (summary.status, partner.tried, partner.taken) == ("completed", [1, 2, 2, 2, 3], [1, 2, 3])
    assert partner.ends == [None]


async def test_a_refused_batch_is_given_up_and_the_others_are_delivered(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    partner = Partner(time_skipping)
    partner.always = {2: REFUSED}
    async with serving(partner):
        cause = await failed(await send(time_skipping))
    assert (cause.type, partner.tried, partner.taken) == ("not-delivered", [1, 2, 3], [1, 3])
    assert (partner.given_up, partner.ends) == ({2: REFUSED.message}, [None])


async def test_a_partner_that_is_away_is_tried_for_hours_then_the_rest_is_not_even_tried(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    partner = Partner(time_skipping)
    partner.always = {2: AWAY}
    async with serving(partner):
        cause = await failed(await send(time_skipping))
    assert cause.message == AWAY.message
    assert set(partner.tried) == {1, 2}
    attempts = partner.times[1:]
    assert timedelta(hours=11) < attempts[-1] - attempts[0] <= timedelta(hours=12)
    pauses = [later - earlier for earlier, later in pairwise(attempts)]
    assert max(pauses) <= timedelta(minutes=11)
    assert partner.ends == [AWAY.message]


async def test_a_partner_may_say_when_it_wants_to_be_asked_again(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    partner = Partner(time_skipping)
    later = ApplicationError("answered 429", type="partner-unavailable", next_retry_delay=timedelta(hours=1))
    partner.failing = {1: [later]}
    async with serving(partner):
        await (await send(time_skipping)).result()
    first, second, *_ = partner.times
    assert timedelta(hours=1) <= second - first < timedelta(hours=1, minutes=1)


async def test_what_cannot_even_be_made_ends_with_its_reason(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    partner = Partner(time_skipping)
    partner.unopened = ApplicationError("no delivery", type="partner-not-served", non_retryable=True)
    async with serving(partner):
        cause = await failed(await send(time_skipping))
    assert (cause.type, cause.message) == ("partner-not-served", "no delivery")
    assert (partner.tried, partner.ends) == ([], ["no delivery"])


async def test_what_has_ended_before_is_not_sent_again(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    partner = Partner(time_skipping)
    partner.over = True
    async with serving(partner):
        assert (await (await send(time_skipping)).result()).status == "completed"
    assert partner.tried == []


async def test_very_many_batches_go_on_in_a_new_history(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    partner = Partner(time_skipping)
    partner.batches = BATCHES_IN_A_HISTORY + 2
    async with serving(partner):
        started = await send(time_skipping)
        await started.result()
        first = await time_skipping.client.get_workflow_handle(
            started.id, run_id=started.first_execution_run_id
        ).describe()
    assert partner.taken == list(range(1, partner.batches + 1))
    assert first.status is WorkflowExecutionStatus.CONTINUED_AS_NEW
    assert [request.first for request in partner.requests] == [1, BATCHES_IN_A_HISTORY + 1]


class ServedScores(Scores):
    """A scoring run whose accounts two partners are sent."""

    @activity.defn(name="scoring.finish")
    async def finish(self, ref: ScoringRef) -> ScoringSummary:
        summary = await super().finish(ref)
        return summary.model_copy(update={"partners": (PARTNER, UUID(int=21))})


async def test_a_scoring_run_starts_a_sending_to_each_partner_once(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    scores, partner = ServedScores(time_skipping), Partner(time_skipping)
    partner.batches = 0
    async with serving(scores, partner):
        for _ in range(2):
            await (await begin(time_skipping)).result()
            scores.over = True
            admission = time_skipping.client.get_workflow_handle(queues.admission_workflow_id(AGENCY))
            await admission.result()
            for request in list(partner.requests):
                sync = queues.partner_sync_workflow_id(request.sync_id)
                await time_skipping.client.get_workflow_handle(sync).result()
    assert sorted(request.partner_id for request in partner.requests) == [PARTNER, UUID(int=21)]
    assert {(request.scoring_run_id, request.origin) for request in partner.requests} == {(RUN, "scoring")}
    assert {request.everything for request in partner.requests} == {False}, "of an import, what has changed"
