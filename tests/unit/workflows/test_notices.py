"""Delivery of notices: batch after batch, each notice once."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from activities.messages import AgencyRef
from activities.notices import Delivered, DeliveryRequest, NoticePlace
from workflows import queues
from workflows.notices import NoticeDelivery

AGENCY = AgencyRef(agency_id=UUID(int=1))
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Outbox:
    """Notices by number, of which a batch delivers two; the third of all cannot be delivered."""

    def __init__(self, count: int) -> None:
        self.left = list(range(count))
        self.asked: list[int] = []

    @activity.defn(name="notices.deliver")
    async def deliver(self, request: DeliveryRequest) -> Delivered:
        first = request.after.account_id.int + 1 if request.after else 0
        batch = [number for number in self.left if number >= first][:2]
        self.asked += batch
        told = [number for number in batch if number != 2]
        self.left = [number for number in self.left if number not in told]
        last = NoticePlace(noted_at=BEGIN + timedelta(seconds=batch[-1]), account_id=UUID(int=batch[-1]))
        return Delivered(told=len(told), after=last if len(batch) == 2 else None)


async def test_all_notices_are_tried_once_and_one_that_fails_holds_up_no_other(
    time_skipping: WorkflowEnvironment, serving: Any
) -> None:
    outbox = Outbox(7)
    async with serving(outbox):
        told = await time_skipping.client.execute_workflow(
            NoticeDelivery.run,
            AGENCY,
            id=queues.notice_workflow_id(AGENCY.agency_id),
            task_queue=queues.LIFECYCLE,
        )
    assert told == 6
    assert outbox.asked == list(range(7))
    assert outbox.left == [2]
