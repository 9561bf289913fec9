"""Delivery of notices: lifecycles whose accounts were changed beside them are told, at the latest now."""

from temporalio import workflow
from temporalio.common import VersioningBehavior

from activities.messages import AgencyRef
from activities.notices import DeliveryRequest, NoticeActivities
from workflows import policies, queues

BATCHES_PER_RUN = 500


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class NoticeDelivery:
    """Delivers what is left untold in an agency, the oldest first, each notice tried once.

    Whoever changes an account tells its lifecycle at once; here is repeated what a crash, or a server
    that was away, has left.
    """

    @workflow.run
    async def run(self, agency: AgencyRef) -> int:
        """Returns how many lifecycles need not be told any more."""
        told, after = 0, None
        for _ in range(BATCHES_PER_RUN):
            batch = await workflow.execute_activity_method(
                NoticeActivities.deliver,
                DeliveryRequest(agency_id=agency.agency_id, after=after),
                task_queue=queues.LIFECYCLE,
                **policies.ADMISSION,
            )
            told, after = told + batch.told, batch.after
            workflow.set_current_details(f"{told:,} lifecycles told")
            if after is None:
                break
        return told
