"""Admission: the best accounts get their workflow, as many as there is room for."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import VersioningBehavior

from activities.admission import AdmissionActivities, AdmissionRequest
from activities.messages import AgencyRef
from workflows import admitting, policies, queues

BATCHES_PER_RUN = 500


@workflow.defn(name=admitting.ADMISSION, versioning_behavior=VersioningBehavior.PINNED)
class Admission:
    """Admits batch after batch, at a bounded rate, until there is no room or nobody left.

    There is one at work per agency; asked for again meanwhile, it looks once more from the top.
    """

    @workflow.init
    def __init__(self, agency: AgencyRef) -> None:
        self._agency = agency
        self._again = False
        self._started = 0

    @workflow.run
    async def run(self, agency: AgencyRef) -> int:
        """Returns how many accounts this run admitted.

        A schedule appends the time to the ids of its runs, so a scheduled run only has the one
        admission look: two at work would each count the same free places as theirs.
        """
        if workflow.info().workflow_id != queues.admission_workflow_id(agency.agency_id):
            await admitting.start(agency)
            return 0
        await self._admit_all()
        while self._again:
            self._again = False
            await self._admit_all()
        return self._started

    @workflow.signal(name=admitting.LOOK_AGAIN)
    def look_again(self) -> None:
        """Accounts were scored or a place was freed while this run was at work."""
        self._again = True

    async def _admit_all(self) -> None:
        after = None
        for _ in range(BATCHES_PER_RUN):
            batch = await workflow.execute_activity_method(
                AdmissionActivities.admit,
                AdmissionRequest(agency_id=self._agency.agency_id, after=after),
                task_queue=queues.LIFECYCLE,
                **policies.ADMISSION,
            )
            self._started += batch.started
            workflow.set_current_details(f"{self._started:,} accounts admitted")
            if not batch.more:
                return
            after = batch.after
            if batch.pause_s:
                await workflow.sleep(timedelta(seconds=batch.pause_s))
        self._again = False
        workflow.continue_as_new(self._agency)
