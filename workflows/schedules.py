"""The schedules of an agency and of the installation, declared as data.

``services.schedules`` brings Temporal in line.
"""

from dataclasses import dataclass
from datetime import time, timedelta
from uuid import UUID

from activities.assignment import AssignmentRequest
from activities.figures import FiguresRequest
from activities.messages import AgencyRef
from activities.partitions import MaintenanceRequest
from activities.partner_run_messages import PartnerReconciliationRequest
from activities.reconciliation_messages import ReconciliationRequest, SweepRequest
from activities.scoring import ScoringRequest
from workflows import queues
from workflows.admission import Admission
from workflows.assignment import AutoAssignment
from workflows.figures import FiguresRefresh
from workflows.notices import NoticeDelivery
from workflows.partitions import PartitionMaintenance
from workflows.partner_reconciliation import PartnerReconciliation
from workflows.payment_reconciliation import PaymentReconciliation, PaymentSweep
from workflows.portfolio import PortfolioPoll
from workflows.scoring import PortfolioScoring

CATCH_UP = timedelta(hours=1)
"""Runs missed while Temporal was away are made up for when they are younger than this; overlapping
ones are skipped, so that an outage ends in one run."""

ADMISSION_SWEEP = timedelta(minutes=5)
"""How soon a place that was freed, or an admission that a crash cut short, is noticed at the latest."""

NOTICE_DELIVERY = timedelta(minutes=5)
"""How soon a lifecycle that could not be told of a change of its account is told at the latest."""

PAYMENT_SWEEP = timedelta(minutes=5)
"""How soon a payment, a refund or an event that Temporal did not take is started at the latest."""

FIGURES_REFRESH = timedelta(minutes=5)
"""How soon figures tell of what has changed, also where nobody looks at them, at the latest."""

RECONCILIATION = timedelta(hours=1)
"""How soon a difference from Stripe's books is found at the latest."""

RECONCILIATION_CATCH_UP = timedelta(hours=3)
"""An hour that Temporal missed is made up for, once: runs look three days back."""

SCORING_AT = time(4, 30)
"""When the nightly scoring starts, in the agency's own time zone: a time that no zone skips or repeats
when it changes to or from daylight saving time (some do so between 03:00 and 04:00)."""

SCORING_CATCH_UP = timedelta(hours=20)
"""A night that Temporal missed is made up for the same day; the next night is near enough after that."""


ASSIGNMENT_AT = time(5, 30)
"""When the accounts that nobody works are spread over the collectors: before they come, with the scores
of the night."""

ASSIGNMENT_CATCH_UP = timedelta(hours=12)
"""A morning that Temporal missed is made up for while people still work that day."""

PARTNER_CATCH_UP = timedelta(hours=12)
"""A partner's time of day that Temporal missed is made up for while its statement is still of that day."""


PARTITIONS_AT = time(0, 20)
"""When partitions are made ahead each day, in UTC: most days find nothing to make."""

PARTITIONS_CATCH_UP = timedelta(hours=20)
"""A day that Temporal missed is made up for; there are months left."""


@dataclass(frozen=True, slots=True)
class Every:
    """Again and again after ``period``."""

    period: timedelta

    def offset(self, agency_id: UUID | None) -> timedelta:
        """Where in its period a schedule fires: spread by agency, so that not all fire at once."""
        spread = 0 if agency_id is None else agency_id.int
        return timedelta(seconds=spread % int(self.period.total_seconds()))


@dataclass(frozen=True, slots=True)
class Daily:
    """Once a day ``at`` a time of day (hours and minutes) in ``time_zone``, an IANA name."""

    at: time
    time_zone: str


@dataclass(frozen=True, slots=True)
class DeclaredSchedule:
    """One schedule: what starts, when, under which ids (Temporal appends the time to the run's).

    A run that is still going when the next is due keeps its place: the next is skipped.
    """

    id: str
    workflow: str
    workflow_id: str
    argument: (
        AgencyRef
        | ScoringRequest
        | AssignmentRequest
        | FiguresRequest
        | SweepRequest
        | ReconciliationRequest
        | PartnerReconciliationRequest
        | MaintenanceRequest
    )
    timing: Every | Daily
    task_queue: str
    summary: str
    catch_up: timedelta = CATCH_UP

    @property
    def agency_id(self) -> UUID | None:
        """Whose it is; None for the installation's."""
        return None if isinstance(self.argument, MaintenanceRequest) else self.argument.agency_id


def poll_schedule_id(agency_id: UUID) -> str:
    """The schedule that looks into an agency's inboxes."""
    return f"portfolio-poll/{agency_id}"


def sweep_schedule_id(agency_id: UUID) -> str:
    """The schedule that admits accounts into places that became free."""
    return f"admission-sweep/{agency_id}"


def notice_schedule_id(agency_id: UUID) -> str:
    """The schedule that tells lifecycles what was changed beside them and could not be told at once."""
    return f"notice-delivery/{agency_id}"


def payment_sweep_schedule_id(agency_id: UUID) -> str:
    """The schedule that starts payments, refunds and events that Temporal did not take."""
    return f"payment-sweep/{agency_id}"


def figures_schedule_id(agency_id: UUID) -> str:
    """The schedule that counts an agency's figures anew."""
    return f"figures-refresh/{agency_id}"


def reconciliation_schedule_id(agency_id: UUID) -> str:
    """The schedule that compares an agency's payments with Stripe's books."""
    return f"payment-reconciliation/{agency_id}"


def scoring_schedule_id(agency_id: UUID) -> str:
    """The schedule that scores all of an agency's accounts each night."""
    return f"portfolio-scoring/{agency_id}"


def assignment_schedule_id(agency_id: UUID) -> str:
    """The schedule that spreads an agency's unassigned accounts over its collectors each morning."""
    return f"auto-assignment/{agency_id}"


def partner_schedule_id(partner_id: UUID) -> str:
    """The schedule that compares a partner's records with ours each day."""
    return f"partner-reconciliation/{partner_id}"


def schedule_ids(agency_id: UUID) -> tuple[str, ...]:
    """The ids of all schedules that every agency has."""
    return (
        poll_schedule_id(agency_id),
        sweep_schedule_id(agency_id),
        notice_schedule_id(agency_id),
        payment_sweep_schedule_id(agency_id),
        figures_schedule_id(agency_id),
        reconciliation_schedule_id(agency_id),
        scoring_schedule_id(agency_id),
        assignment_schedule_id(agency_id),
    )


def declared(agency_id: UUID, *, time_zone: str, poll_every: timedelta) -> tuple[DeclaredSchedule, ...]:
    """Every schedule that an active agency in ``time_zone`` has."""
    agency = AgencyRef(agency_id=agency_id)
    return (
        DeclaredSchedule(
            id=poll_schedule_id(agency_id),
            workflow=PortfolioPoll.__name__,
            workflow_id=queues.poll_workflow_id(agency_id),
            argument=agency,
            timing=Every(poll_every),
            task_queue=queues.LIFECYCLE,
            summary="poll of the portfolio inboxes",
        ),
        DeclaredSchedule(
            id=sweep_schedule_id(agency_id),
            workflow=Admission.__name__,
            workflow_id=queues.admission_workflow_id(agency_id),
            argument=agency,
            timing=Every(ADMISSION_SWEEP),
            task_queue=queues.LIFECYCLE,
            summary="admission",
        ),
        DeclaredSchedule(
            id=notice_schedule_id(agency_id),
            workflow=NoticeDelivery.__name__,
            workflow_id=queues.notice_workflow_id(agency_id),
            argument=agency,
            timing=Every(NOTICE_DELIVERY),
            task_queue=queues.LIFECYCLE,
            summary="delivery of notices to lifecycles",
        ),
        DeclaredSchedule(
            id=payment_sweep_schedule_id(agency_id),
            workflow=PaymentSweep.__name__,
            workflow_id=queues.payment_sweep_workflow_id(agency_id),
            argument=SweepRequest(agency_id=agency_id),
            timing=Every(PAYMENT_SWEEP),
            task_queue=queues.LIFECYCLE,
            summary="sweep of payments and events that wait",
        ),
        DeclaredSchedule(
            id=figures_schedule_id(agency_id),
            workflow=FiguresRefresh.__name__,
            workflow_id=queues.figures_workflow_id(agency_id),
            argument=FiguresRequest(agency_id=agency_id, if_changed=True),
            timing=Every(FIGURES_REFRESH),
            task_queue=queues.LIFECYCLE,
            summary="figures of the dashboard",
        ),
        DeclaredSchedule(
            id=reconciliation_schedule_id(agency_id),
            workflow=PaymentReconciliation.__name__,
            workflow_id=queues.hourly_reconciliation_workflow_id(agency_id),
            argument=ReconciliationRequest(agency_id=agency_id),
            timing=Every(RECONCILIATION),
            task_queue=queues.LIFECYCLE,
            summary="reconciliation with the payment provider",
            catch_up=RECONCILIATION_CATCH_UP,
        ),
        DeclaredSchedule(
            id=scoring_schedule_id(agency_id),
            workflow=PortfolioScoring.__name__,
            workflow_id=queues.nightly_scoring_workflow_id(agency_id),
            argument=ScoringRequest(agency_id=agency_id, origin="schedule"),
            timing=Daily(SCORING_AT, time_zone),
            task_queue=queues.LIFECYCLE,
            summary="nightly scoring of all accounts",
            catch_up=SCORING_CATCH_UP,
        ),
        DeclaredSchedule(
            id=assignment_schedule_id(agency_id),
            workflow=AutoAssignment.__name__,
            workflow_id=queues.daily_assignment_workflow_id(agency_id),
            argument=AssignmentRequest(agency_id=agency_id),
            timing=Daily(ASSIGNMENT_AT, time_zone),
            task_queue=queues.LIFECYCLE,
            summary="assignment of accounts to collectors",
            catch_up=ASSIGNMENT_CATCH_UP,
        ),
    )


def declared_for_partner(agency_id: UUID, partner_id: UUID, at: time, time_zone: str) -> DeclaredSchedule:
    """The schedule of an active partner whose records are compared each day ``at`` a time of day."""
    return DeclaredSchedule(
        id=partner_schedule_id(partner_id),
        workflow=PartnerReconciliation.__name__,
        workflow_id=queues.daily_partner_reconciliation_workflow_id(partner_id),
        argument=PartnerReconciliationRequest(agency_id=agency_id, partner_id=partner_id),
        timing=Daily(at, time_zone),
        task_queue=queues.LIFECYCLE,
        summary="reconciliation with a partner",
        catch_up=PARTNER_CATCH_UP,
    )


INSTALLATION: tuple[DeclaredSchedule, ...] = (
    DeclaredSchedule(
        id="partition-maintenance",
        workflow=PartitionMaintenance.__name__,
        workflow_id=queues.PARTITION_WORKFLOW_ID,
        argument=MaintenanceRequest(),
        timing=Daily(PARTITIONS_AT, "UTC"),
        task_queue=queues.LIFECYCLE,
        summary="partitions for the months ahead",
        catch_up=PARTITIONS_CATCH_UP,
    ),
)
"""What belongs to no agency."""
