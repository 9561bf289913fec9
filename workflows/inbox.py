"""What a provider has told us is brought to its payment, also when its own process ended long ago."""

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError

from activities.inbox import InboxActivities
from activities.inbox_messages import InboxFailure, InboxOutcome, InboxRef
from workflows import policies, queues
from workflows.failures import cause_of


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class InboxEvent:
    """One event, which is stored already: handled, or left for a later try with the reason."""

    @workflow.run
    async def run(self, ref: InboxRef) -> InboxOutcome:
        """Returns what became of the event; a failure is an outcome, for a sweep tries it again."""
        try:
            outcome = await workflow.execute_activity_method(
                InboxActivities.handle, ref, task_queue=queues.MONEY, **policies.INBOX_STEP
            )
        except ActivityError as error:
            failure = InboxFailure(
                agency_id=ref.agency_id, event_id=ref.event_id, reason=cause_of(error).message
            )
            outcome = await workflow.execute_activity_method(
                InboxActivities.fail, failure, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
            )
        workflow.set_current_details(outcome.reason or outcome.status)
        return outcome
