"""Asking for an agency's admission, from another workflow.

Apart from the workflow itself, and by its name: every account's lifecycle imports this, and what it
imports is loaded for each of them anew unless it is shared.
"""

from temporalio import workflow
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from activities.messages import AgencyRef
from workflows import attributes, queues

ADMISSION = "Admission"
LOOK_AGAIN = "look_again"
NOT_RUNNING = "ExternalWorkflowExecutionNotFound"
"""The server's name for a signal to a workflow that has ended."""


async def start(agency: AgencyRef) -> None:
    """From another workflow: start the agency's admission, or have the one at work look again.

    The one at work may end just before the signal arrives; then it is started after all.
    """
    while not (await _started(agency) or await _told(agency)):
        workflow.logger.info("admission ended meanwhile; it is started again")


async def _started(agency: AgencyRef) -> bool:
    try:
        await workflow.start_child_workflow(
            ADMISSION,
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
    admission = workflow.get_external_workflow_handle(queues.admission_workflow_id(agency.agency_id))
    try:
        await admission.signal(LOOK_AGAIN)
    except ApplicationError as error:
        if error.type != NOT_RUNNING:
            raise
        return False
    return True
