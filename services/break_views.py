"""Breaks as callers see them, and what they send about one."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from pydantic import Field

from activities.break_resolution import difference_of, limit_of
from domain.breaks import AgeBucket, Resolution, age_in_days, bucket_of, possible
from domain.money import Money
from domain.reconciliation import explain
from services.account_command_forms import Words
from services.fields import Form, Username, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from db.breaks import BreakRow
    from db.models import BreakProposal, PartnerMessage
    from services.web_ui import WebUi

Version = Annotated[int, Field(strict=True, ge=1)]


class ResolutionForm(Form):
    """How a break is to be resolved, and why. ``version``: of the break as it was looked at."""

    resolution: Resolution
    note: Words
    version: Version | None = None


class DecisionForm(Form):
    """What is said to a proposal; ``version`` as in ``ResolutionForm``."""

    note: Words | None = None
    version: Version | None = None


class OwnerForm(Form):
    """Who takes the break: a user of the agency who may resolve breaks, by name; null gives it back."""

    owner: Username | None
    version: Version | None = None


class BreakView(View):
    """A difference between our books and somebody else's.

    ``ours`` and ``theirs`` are null where there is nothing; ``difference`` is theirs less ours, ``value`` the
    money at risk. ``explanation`` puts the probable cause into words. ``told_at``: since when the partner
    has, or is to be sent, word, and its answer is waited for. ``age_days`` are whole days, until it was
    resolved; ``age`` the bucket of them.
    """

    id: UUID
    source: str
    kind: str
    state: str
    partner_id: UUID | None
    partner: str | None
    run_id: UUID | None
    account_id: UUID | None
    account_ref: str | None
    payment_id: UUID | None
    subject: str
    ours: Money | None
    theirs: Money | None
    ours_status: str | None
    theirs_status: str | None
    theirs_at: datetime | None
    difference: Money | None
    value: Money
    currency: str
    rule: str
    probable_cause: str
    explanation: str
    owner: str | None
    age_days: int
    age: AgeBucket
    found_at: datetime
    seen_at: datetime
    told_at: datetime | None
    answer_due_at: datetime | None
    escalated_at: datetime | None
    resolution: str | None
    resolution_note: str | None
    resolved_by: str | None
    resolved_at: datetime | None
    journal_id: UUID | None
    version: int


class ProposalView(View):
    """What was proposed for a break, with both sides as they were then."""

    id: UUID
    resolution: str
    note: str
    ours: Money | None
    theirs: Money | None
    state: str
    proposed_by: str = Field(validation_alias="proposed_by_name")
    decided_by: str | None = Field(validation_alias="decided_by_name")
    created_at: datetime
    decided_at: datetime | None


class WordView(View):
    """Word to the partner that our record stands: ``pending``, ``delivered`` to ``target``, or ``failed``."""

    state: str
    balance: Money | None
    status: str | None
    attempts: int
    target: str | None
    last_problem: str | None
    created_at: datetime
    delivered_at: datetime | None


class BreakDetail(BreakView):
    """A break with all that is needed to decide on it.

    ``resolutions`` are those that are possible; above ``approval_limit`` one person proposes and another
    approves. ``workflow_id`` and ``web_ui_url`` are of its case, where it has one.
    """

    resolutions: tuple[Resolution, ...]
    approval_limit: Money
    needs_approval: bool
    proposals: tuple[ProposalView, ...]
    message: WordView | None
    workflow_id: str | None
    web_ui_url: str | None


def break_view(row: "BreakRow", now: datetime) -> BreakView:
    """A break in a list."""
    return BreakView(**_shown(row, now))


def break_detail(
    row: "BreakRow",
    proposals: "Sequence[BreakProposal]",
    message: "PartnerMessage | None",
    now: datetime,
    web_ui: "WebUi",
    workflow_id: str,
) -> BreakDetail:
    """A break by itself."""
    limit, has_case = limit_of(row), row.broken.case_started_at is not None
    return BreakDetail(
        **_shown(row, now),
        resolutions=() if row.broken.state == "resolved" else possible(difference_of(row)),
        approval_limit=limit,
        needs_approval=row.broken.value > limit,
        proposals=tuple(ProposalView.model_validate(one) for one in proposals),
        message=None if message is None else WordView.model_validate(message),
        workflow_id=workflow_id if has_case else None,
        web_ui_url=web_ui.workflow(workflow_id) if has_case else None,
    )


def _shown(row: "BreakRow", now: datetime) -> dict[str, object]:
    broken = row.broken
    days = age_in_days(broken.found_at, broken.resolved_at or now)
    reckoned = {
        "partner": row.terms.name,
        "owner": row.owner,
        "explanation": explain(broken.probable_cause),
        "age_days": days,
        "age": bucket_of(days),
    }
    columns = {name: getattr(broken, name) for name in BreakView.model_fields if name not in reckoned}
    if columns["difference"] is None and broken.ours is not None and broken.theirs is not None:
        columns["difference"] = Decimal(broken.theirs - broken.ours)
    return columns | reckoned
