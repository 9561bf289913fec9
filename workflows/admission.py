"""Admission: the best accounts get their workflow, as many as there is room for."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from activities.admission import AdmissionActivities, AdmissionRequest
from activities.messages import AgencyRef
from workflows import attributes, policies, queues

BATCHES_PER_RUN = 500
NOT_RUNNING = "ExternalWorkflowExecutionNotFound"
"""The server's name for a signal to a workflow that has ended."""


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
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
            await start(agency)
            return 0
        await self._admit_all()
        while self._again:
            self._again = False
            await self._admit_all()
        return self._started

    @workflow.signal
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


async def start(agency: AgencyRef) -> None:
    """From another workflow: start the agency's admission, or have the one at work look again.

    The one at work may end just before the signal arrives; then it is started after all.
    """
    while not (await _started(agency) or await _told(agency)):
        workflow.logger.info("admission ended meanwhile; it is started again")


async def _started(agency: AgencyRef) -> bool:
    try:
        await workflow.start_child_workflow(
            Admission.run,
            agency,
            id=queues.admission_workflow_id(agency.agency_id),
            task_queue=queues.LIFECYCLE,
            parent_close_policy=ParentClosePolicy.ABANDON,
            search_attributes=attributes.of_agency(agency.agency_id),
            static_summary="admission",
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def _told(agency: AgencyRef) -> bool:
    admission = workflow.get_external_workflow_handle_for(
        Admission.run, queues.admission_workflow_id(agency.agency_id)
    )
    try:
        await admission.signal(Admission.look_again)
    except ApplicationError as error:
        if error.type != NOT_RUNNING:
            raise
        return False
    return True
