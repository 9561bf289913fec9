"""Debtors as callers see them: in a list, in detail, by their risk, and why."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import Field

from db.debtor_lists import AccountTotals
from domain.accounts import AccountStatus
from domain.money import LargeMoney, Money
from domain.scoring import Explanation, FactorExplanation, RiskLevel
from services.account_views import DebtorDetail, DebtorSummary, priority_score
from services.fields import View

if TYPE_CHECKING:
    from db.debtor_lists import HighRiskDebtor, ScoredAccount
    from db.models import Account, Debtor


class AccountsTotal(View):
    """What a debtor's accounts come to. ``open`` are neither settled nor closed; ``highest_risk`` is
    that of the accounts on which something is owed."""

    count: int
    open: int
    total_balance: LargeMoney
    highest_risk: RiskLevel | None


class DebtorListed(DebtorSummary):
    """A debtor in a list."""

    employment_status: str | None
    accounts: AccountsTotal
    version: int
    created_at: datetime
    updated_at: datetime


class AccountOfDebtor(View):
    """One of a debtor's accounts; the score's fields are null until it was scored."""

    id: UUID
    external_ref: str
    status: AccountStatus
    current_balance: Money
    currency: str
    assigned_to: UUID | None
    priority: int | None
    priority_score: LargeMoney | None
    risk_score: int | None
    risk_level: RiskLevel | None


class AccountsOfDebtor(AccountsTotal):
    """A debtor's accounts, the most valuable first; when ``truncated``, ``GET /accounts?debtor=`` has all."""

    results: tuple[AccountOfDebtor, ...]
    truncated: bool


class DebtorView(DebtorDetail):
    """A debtor with everything on file. ``accounts`` are those that the caller may see."""

    agency_id: UUID
    version: int = Field(description="send it with a change to be told when somebody else was faster")
    created_at: datetime
    updated_at: datetime
    accounts: AccountsOfDebtor


class HighRiskListed(DebtorSummary):
    """A debtor at high risk, with the score of ``account``: the most valuable that makes them one."""

    risk_level: RiskLevel
    risk_score: int
    priority: int
    priority_score: LargeMoney
    account: AccountOfDebtor


class StoredScore(View):
    """The score that lists and worklist go by. ``current``: nothing has changed since it was made."""

    total: int
    level: RiskLevel
    priority: int
    priority_score: LargeMoney
    scored_at: datetime
    current: bool


class ExplainedScore(View):
    """The score of one account as its debtor's facts are now, in words; nothing of it is stored.

    Its fields are null, and ``summary`` says why, where only a run of the agency's model can tell.
    """

    account_id: UUID
    external_ref: str
    status: AccountStatus
    current_balance: Money
    currency: str
    total: int | None
    level: RiskLevel | None
    priority: int | None
    priority_score: LargeMoney | None
    high_priority: bool | None
    factors: tuple[FactorExplanation, ...]
    summary: tuple[str, ...]
    stored: StoredScore | None


class HighestScore(View):
    """The most valuable of a debtor's accounts."""

    account_id: UUID
    external_ref: str
    total: int
    level: RiskLevel
    priority: int
    priority_score: LargeMoney


class DebtorScore(View):
    """Why a debtor's accounts rank as they do, the most valuable first.

    ``count`` are all accounts that the caller may see; when ``truncated`` the less valuable are left
    out, and each account's own page explains them.
    """

    debtor_id: UUID
    full_name: str
    scorecard: str
    count: int
    truncated: bool
    highest: HighestScore | None
    accounts: tuple[ExplainedScore, ...]


def listed(debtor: "Debtor", totals: AccountTotals) -> DebtorListed:
    """A debtor as a list shows them."""
    return DebtorListed(**_fields(debtor, DebtorListed), accounts=AccountsTotal.model_validate(totals))


def detail(
    debtor: "Debtor", *, ssn: str | None, totals: AccountTotals, accounts: "Sequence[ScoredAccount]"
) -> DebtorView:
    """A debtor with everything on file; ``ssn`` as it may be shown, ``accounts`` the first of all."""
    shown = AccountsOfDebtor(
        **AccountsTotal.model_validate(totals).model_dump(),
        results=tuple(_account(row) for row in accounts),
        truncated=len(accounts) < totals.count,
    )
    return DebtorView(**_fields(debtor, DebtorView), ssn=ssn, accounts=shown)


def high_risk(row: "HighRiskDebtor") -> HighRiskListed:
    """A debtor as the list of those at high risk shows them."""
    account = _account(row)
    return HighRiskListed(
        **_fields(row.debtor, HighRiskListed),
        risk_level=RiskLevel(row.score.level),
        risk_score=row.score.total,
        priority=row.score.priority,
        priority_score=priority_score(row.score.rank),
        account=account,
    )


def explained(
    row: "ScoredAccount", words: Explanation | None, *, current: bool, why_not: str
) -> ExplainedScore:
    """An account's score in ``words``, or ``why_not`` there are none, beside the stored one."""
    score = words.score if words else None
    return ExplainedScore(
        **_account_fields(row.account),
        account_id=row.account.id,
        total=score.total if score else None,
        level=score.level if score else None,
        priority=score.priority if score else None,
        priority_score=score.priority_score if score else None,
        high_priority=score.high_priority if score else None,
        factors=words.factors if words else (),
        summary=words.summary if words else (why_not,),
        stored=_stored(row, current=current),
    )


def highest(accounts: Sequence[ExplainedScore]) -> HighestScore | None:
    """The first of the explained accounts, which are in order of value."""
    if not accounts or accounts[0].total is None:
        return None
    return HighestScore.model_validate(accounts[0])


def _stored(row: "ScoredAccount", *, current: bool) -> StoredScore | None:
    if row.score is None:
        return None
    return StoredScore(
        total=row.score.total,
        level=RiskLevel(row.score.level),
        priority=row.score.priority,
        priority_score=priority_score(row.score.rank),
        scored_at=row.score.scored_at,
        current=current,
    )


def _account(row: "ScoredAccount | HighRiskDebtor") -> AccountOfDebtor:
    score = row.score
    return AccountOfDebtor(
        **_account_fields(row.account),
        id=row.account.id,
        assigned_to=row.account.assigned_to,
        priority=score.priority if score else None,
        priority_score=priority_score(score.rank) if score else None,
        risk_score=score.total if score else None,
        risk_level=RiskLevel(score.level) if score else None,
    )


def _account_fields(account: "Account") -> dict[str, object]:
    return {
        "external_ref": account.external_ref,
        "status": account.status,
        "current_balance": account.balance,
        "currency": account.currency,
    }


def _fields(debtor: "Debtor", view: type[DebtorSummary]) -> dict[str, object]:
    """What a view takes from the debtor's row as it is."""
    return {name: getattr(debtor, name) for name in view.model_fields if hasattr(debtor, name)}
