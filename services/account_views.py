"""Accounts as callers see them: in a list, in detail, their timeline."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import Field

from domain.accounts import AccountStatus, legal_moves
from domain.compliance import retention
from domain.money import LargeMoney, Money
from domain.scoring import FactorExplanation, RiskLevel
from services.fields import View

if TYPE_CHECKING:
    from db.accounts import AccountView
    from db.ledger import OwedBack
    from db.models import TimelineEvent


class CreditorRef(View):
    """Whose debt it is."""

    id: UUID
    name: str


class DebtorSummary(View):
    """Who owes, as lists show them."""

    id: UUID
    full_name: str
    debtor_ref: str | None
    email: str | None
    phone: str | None
    city: str | None
    state: str | None


class DebtorDetail(DebtorSummary):
    """Who owes, with everything on file. ``ssn`` is masked; None when there is none."""

    address_line1: str | None
    address_line2: str | None
    postal_code: str | None
    country: str | None
    monthly_income: Money | None
    late_payments_count: int | None
    employment_status: str | None
    contract_type: str | None
    industry_sector: str | None
    family_situation: str | None
    ssn: str | None = Field(None, examples=["***-**-1234"])


class AccountSummary(View):
    """An account in a list; the score's fields are null until it was scored."""

    id: UUID
    external_ref: str
    agency_id: UUID
    creditor: CreditorRef
    debtor: DebtorSummary
    status: AccountStatus
    original_amount: Money
    current_balance: Money
    currency: str
    account_type: str | None
    assigned_to: UUID | None = Field(description="the collector's id")
    assigned_to_name: str | None
    due_date: date | None
    priority: int | None = Field(description="0 to 3, 3 the most urgent")
    priority_score: LargeMoney | None = Field(description="risk score × balance")
    risk_score: int | None
    risk_level: RiskLevel | None
    created_at: datetime
    updated_at: datetime


class ChangedAccount(AccountSummary):
    """An account with what commands change; their answers are such (``db.account_changes`` gives the JSON).

    ``held``: it must not be worked now; ``promised``: it waits for a promise to pay.
    """

    version: int
    held: bool
    promised: bool
    closed_reason: str | None
    legal_moves: tuple[AccountStatus, ...] = Field(description="where a person can move it from here")


class ScoreDetail(View):
    """Why an account ranks as it does. ``factors`` and ``summary`` are the score in words.

    ``current`` is false when balance or facts have changed since and the words no longer fit.
    """

    total: int
    level: RiskLevel
    priority: int
    priority_score: LargeMoney
    high_priority: bool
    points: tuple[int, ...]
    scored_at: datetime
    scorecard: str
    current: bool
    factors: tuple[FactorExplanation, ...]
    summary: tuple[str, ...]


class AccountDetail(ChangedAccount):
    """One account with its debtor, its dates, its score and the moves that are legal now."""

    debtor: DebtorDetail
    charge_off_date: date | None
    last_payment_date: date | None
    itemization_date: date | None
    admitted_at: datetime | None
    credit_balance: LargeMoney = Field(description="what was paid beyond the debt, to be given back")
    unapplied: LargeMoney = Field(description="what came after the account was closed, to be given back")
    keep_until: date = Field(
        description="three years after the latest event: records must be there so long (12 CFR 1006.100)"
    )
    score: ScoreDetail | None


class TimelineEntry(View):
    """Something that happened to an account; ``old`` and ``new`` are statuses for ``status_changed``."""

    id: UUID
    kind: str
    description: str
    actor: str
    old: str | None
    new: str | None
    at: datetime
    metadata: dict[str, Any]


def priority_score(rank: int) -> Decimal:
    """The priority score that a rank (cents) stands for."""
    return Decimal(rank).scaleb(-2)


def summary(view: "AccountView") -> AccountSummary:
    """An account as a list shows it."""
    return AccountSummary(debtor=DebtorSummary.model_validate(view.debtor), **_shared(view))


def detail(
    view: "AccountView",
    *,
    ssn: str | None,
    score: ScoreDetail | None,
    owed_back: "OwedBack",
    latest: datetime,
) -> AccountDetail:
    """An account with everything on file; ``ssn`` as it may be shown, ``latest`` when something happened."""
    account = view.account
    status = AccountStatus(account.status)
    debtor = DebtorDetail.model_validate(view.debtor).model_copy(update={"ssn": ssn})
    return AccountDetail(
        **_shared(view),
        debtor=debtor,
        charge_off_date=account.charge_off_date,
        last_payment_date=account.last_payment_date,
        itemization_date=account.itemization_date,
        admitted_at=account.admitted_at,
        credit_balance=owed_back.credit_balance,
        unapplied=owed_back.unapplied,
        # In UTC the day is the same as in the United States, or the next.
        keep_until=retention.keep_until(latest.astimezone(UTC).date()),
        version=account.version,
        held=account.held,
        promised=account.promised,
        closed_reason=account.closed_reason,
        legal_moves=legal_moves(status),
        score=score,
    )


def _shared(view: "AccountView") -> dict[str, Any]:
    account, score = view.account, view.score
    return {
        "id": account.id,
        "external_ref": account.external_ref,
        "agency_id": account.agency_id,
        "creditor": CreditorRef.model_validate(view.creditor),
        "status": account.status,
        "original_amount": account.original_amount,
        "current_balance": account.balance,
        "currency": account.currency,
        "account_type": account.account_type,
        "assigned_to": account.assigned_to,
        "assigned_to_name": view.collector.full_name if view.collector else None,
        "due_date": account.due_date,
        "priority": score.priority if score else None,
        "priority_score": priority_score(score.rank) if score else None,
        "risk_score": int(score.total) if score else None,
        "risk_level": score.level if score else None,
        "created_at": account.created_at,
        "updated_at": account.updated_at,
    }


def timeline_entry(event: "TimelineEvent") -> TimelineEntry:
    """An event as callers see it."""
    return TimelineEntry(
        id=event.id,
        kind=event.kind,
        description=event.description,
        actor=event.actor,
        old=event.old,
        new=event.new,
        at=event.at,
        metadata=event.details or {},
    )
