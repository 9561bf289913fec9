"""The schedules of an agency, declared as data; ``services.schedules`` brings Temporal in line."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from activities.messages import AgencyRef
from workflows import queues
from workflows.admission import Admission
from workflows.portfolio import PortfolioPoll

CATCH_UP = timedelta(hours=1)
"""Runs missed while Temporal was away are made up for when they are younger than this; overlapping
ones are skipped, so that an outage ends in one run."""

ADMISSION_SWEEP = timedelta(minutes=5)
"""How soon a place that was freed, or an admission that a crash cut short, is noticed at the latest."""


@dataclass(frozen=True, slots=True)
class DeclaredSchedule:
    """One schedule: what starts, how often, under which ids (Temporal appends the time to the run's).

    A run that is still going when the next is due keeps its place: the next is skipped.
    """

    id: str
    workflow: str
    workflow_id: str
    argument: AgencyRef
    every: timedelta
    task_queue: str
    summary: str
    catch_up: timedelta = CATCH_UP

    @property
    def offset(self) -> timedelta:
        """Where in its interval a schedule fires: spread by agency, so that not all fire at once."""
        return timedelta(seconds=self.argument.agency_id.int % int(self.every.total_seconds()))


def poll_schedule_id(agency_id: UUID) -> str:
    """The schedule that looks into an agency's inboxes."""
    return f"portfolio-poll/{agency_id}"


def sweep_schedule_id(agency_id: UUID) -> str:
    """The schedule that admits accounts into places that became free."""
    return f"admission-sweep/{agency_id}"


def schedule_ids(agency_id: UUID) -> tuple[str, ...]:
    """The ids of all schedules of an agency."""
    return (poll_schedule_id(agency_id), sweep_schedule_id(agency_id))


def declared(agency_id: UUID, *, poll_every: timedelta) -> tuple[DeclaredSchedule, ...]:
    """Every schedule that an active agency has."""
    argument = AgencyRef(agency_id=agency_id)
    return (
        DeclaredSchedule(
            id=poll_schedule_id(agency_id),
            workflow=PortfolioPoll.__name__,
            workflow_id=queues.poll_workflow_id(agency_id),
            argument=argument,
            every=poll_every,
            task_queue=queues.LIFECYCLE,
            summary="poll of the portfolio inboxes",
        ),
        DeclaredSchedule(
            id=sweep_schedule_id(agency_id),
            workflow=Admission.__name__,
            workflow_id=queues.admission_workflow_id(agency_id),
            argument=argument,
            every=ADMISSION_SWEEP,
            task_queue=queues.LIFECYCLE,
            summary="admission",
        ),
    )
