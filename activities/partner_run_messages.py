"""Messages of a reconciliation with a partner."""

from typing import Literal
from uuid import UUID

from activities.messages import Message

ACTOR = "partner-reconciliation"

Scope = Literal["full", "messages"]


class PartnerReconciliationRequest(Message):
    """A comparison of a partner's records with ours that is to be made.

    ``scope`` ``full``: the files in the partner's folder and every message acknowledged until now, and
    accounts that the partner does not name are missed; ``messages``: the messages alone. A ``dry_run``
    changes nothing but its own figures. ``run_id`` is that of a run that is announced already; the workflow
    gives one to any other.
    """

    agency_id: UUID
    partner_id: UUID
    origin: Literal["manual", "schedule"] = "schedule"
    run_id: UUID | None = None
    requested_by: str = ACTOR
    scope: Scope = "full"
    dry_run: bool = False


class PartnerRunRef(Message):
    """One run, as every step of it is told of it; ``over`` when it had ended before it was asked for."""

    agency_id: UUID
    partner_id: UUID
    run_id: UUID
    scope: Scope = "full"
    dry_run: bool = False
    over: bool = False


class CollectedStatements(Message):
    """A run whose files have been seen to; ``whole``: every file that lay there could be taken."""

    run: PartnerRunRef
    whole: bool


class ClosedStatements(Message):
    """What a run was given: statements, all their lines, and those of them that could not be read."""

    statements: int
    lines: int
    problems: int


class PartnerRunConclusion(Message):
    """A run that has been matched; ``problems`` are sentences about files that were not taken."""

    run: PartnerRunRef
    problems: list[str]


class FailedPartnerRun(Message):
    """A run that cannot go on, and why."""

    request: PartnerReconciliationRequest
    reason: str


class PartnerReconciliationSummary(Message):
    """What a run came to; ``MatchFigures`` says what the figures count."""

    run_id: UUID
    status: str
    lines: int
    problems: int
    matched: int
    breaks: int
    resolved: int
    cured: int
