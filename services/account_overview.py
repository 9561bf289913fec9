"""All that is known of one account, as whoever works it needs it before them: one transaction, few reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from activities.account_answers import Answered, DisputeAnswer, HoldAnswer, OfferAnswer, PromiseAnswer
from domain.compliance import Allowed, Channel, Decision
from services.access import Principal, Right, require
from services.account_views import AccountDetail
from services.accounts import account_detail, visible_account
from services.payment_views import PaymentSummary
from services.payments import payment_page
from services.plan_views import PlanDetail
from services.plans import plan_detail
from services.ssn import SEES_SSN

if TYPE_CHECKING:
    from db.models import Account, Hold
    from db.session import Database, Transaction
    from services.compliance import Judge

Shown = TypeVar("Shown", bound=Answered)

MOST_SHOWN = 10
"""Of holds, promises, disputes, offers and payments: the newest; their own lists have the others."""

MOST_PLANS = 3
CHANNELS = (Channel.CALL, Channel.SMS, Channel.EMAIL, Channel.LETTER)


@dataclass(frozen=True, slots=True)
class Outlook:
    """Whether an ordinary contact through a channel would be allowed now, else by which rule it is not.

    ``retry_at``: when it would be, with nothing else changed; None where time alone does not help.
    """

    channel: Channel
    allowed: bool
    notes: Sequence[str] = ()
    citation: str = ""
    explanation: str = ""
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccountOverview:
    """One account with what is on record of it, each newest first, at most ``MOST_SHOWN``.

    Of ``holds``, those in force come first, all of them: an old one forbids as much as a new one.
    ``outlook`` is nothing to rely on: the law is asked when a contact is logged.
    """

    account: AccountDetail
    outlook: Sequence[Outlook]
    holds: Sequence[HoldAnswer]
    promises: Sequence[PromiseAnswer]
    disputes: Sequence[DisputeAnswer]
    offers: Sequence[OfferAnswer]
    plans: Sequence[PlanDetail]
    payments: Sequence[PaymentSummary]

    @property
    def shared_notes(self) -> Sequence[str]:
        """What every channel that is allowed has to heed, where there are several."""
        allowed = [one.notes for one in self.outlook if one.allowed]
        return [note for note in allowed[0] if all(note in notes for notes in allowed)] if allowed[1:] else []

    @property
    def accepted_offer(self) -> OfferAnswer | None:
        """The offer that the debtor has accepted and that stands."""
        return next((offer for offer in self.offers if offer.status == "accepted"), None)

    @property
    def open_dispute(self) -> DisputeAnswer | None:
        """The dispute that is to be answered."""
        return next((dispute for dispute in self.disputes if dispute.status == "open"), None)

    @property
    def unanswered(self) -> UUID | None:
        """The open dispute that stays collecting until it is answered, for it came in its period."""
        return self.open_dispute.id if self.open_dispute and self.open_dispute.in_period else None

    @property
    def open_plan(self) -> PlanDetail | None:
        """The plan that goes on, or is paused."""
        return next((plan for plan in self.plans if plan.status in {"active", "paused"}), None)


class AccountOverviewService:
    """Overviews of accounts of the principal's agency; a collector's are those assigned to them."""

    def __init__(self, database: "Database", judge: "Judge") -> None:
        self._database = database
        self._judge = judge

    async def get(self, who: Principal, account_id: UUID) -> AccountOverview:
        """One account. ``NotFound`` when it is not there or not the principal's."""
        require(who, Right.READ_ACCOUNTS)
        require(who, Right.READ_PAYMENTS)
        async with self._database.transaction(who.tenant) as tx:
            view = await visible_account(tx, who, account_id)
            decisions = await self._judge.foresee(tx, view, CHANNELS)
            return AccountOverview(
                account=await account_detail(tx, view, with_ssn=who.role in SEES_SSN),
                outlook=_outlook(decisions),
                holds=_shown(HoldAnswer, await _holds(tx, view.account)),
                promises=_shown(PromiseAnswer, await tx.promises.page(account_id, None, MOST_SHOWN)),
                disputes=_shown(DisputeAnswer, await tx.disputes.page(account_id, None, MOST_SHOWN)),
                offers=_shown(OfferAnswer, await tx.offers.page(account_id, None, MOST_SHOWN)),
                plans=await _plans(tx, account_id),
                payments=await payment_page(tx, who, None, MOST_SHOWN, account_id=account_id, statuses=()),
            )


def _shown(shape: type[Shown], rows: Sequence[object]) -> list[Shown]:
    return [shape.model_validate(row) for row in rows]


async def _holds(tx: "Transaction", account: "Account") -> Sequence["Hold"]:
    """Those in force, then the newest of those that are over."""
    newest = await tx.holds.page(account.id, None, MOST_SHOWN)
    in_force = await tx.holds.in_force(account)
    return [*reversed(in_force), *(hold for hold in newest if hold.released_at is not None)]


async def _plans(tx: "Transaction", account_id: UUID) -> list[PlanDetail]:
    plans = await tx.plans.page(None, MOST_PLANS, account_id=account_id)
    return [await plan_detail(tx, plan) for plan in plans]


def _outlook(decisions: Mapping[Channel, Decision]) -> list[Outlook]:
    return [
        Outlook(channel, allowed=True, notes=decision.notes)
        if isinstance(decision, Allowed)
        else Outlook(
            channel,
            allowed=False,
            citation=decision.citation,
            explanation=decision.explanation,
            retry_at=decision.retry_at,
        )
        for channel, decision in decisions.items()
    ]
