"""What a lifecycle knows of its account, derived from what the database says."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from activities.account_messages import AccountSnapshot
from domain.accounts import FOLLOW_UP_DAYS, OPEN_STATUSES, AccountStatus
from domain.compliance import limitation, validation
from domain.deadlines import (
    Deadline,
    DeadlineKind,
    dispute_deadline,
    end_of_day,
    hold_deadline,
    promise_deadline,
    start_of_day,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from db.lifecycle_views import LifecycleView
    from db.session import Transaction
    from domain.compliance import RuleSet

K = DeadlineKind
DEFAULT_RULES = "federal"


async def snapshot(
    tx: "Transaction", account_id: UUID, rule_sets: "Mapping[str, RuleSet]"
) -> AccountSnapshot:
    """The account as this transaction sees it. ``NotFound``."""
    return snapshot_of(await tx.lifecycles.view(account_id), rule_sets)


def snapshot_of(view: "LifecycleView", rule_sets: "Mapping[str, RuleSet]") -> AccountSnapshot:
    """What a lifecycle knows of an account that was read so."""
    status = AccountStatus(view.status)
    follow_up_at = view.last_event_at + timedelta(days=FOLLOW_UP_DAYS)
    is_open = status in OPEN_STATUSES
    return AccountSnapshot(
        status=status,
        version=view.version,
        is_open=is_open,
        follow_up_at=follow_up_at,
        holds=tuple(view.holds),
        deadlines=tuple(deadlines(view, follow_up_at, rule_sets)) if is_open else (),
    )


def deadlines(
    view: "LifecycleView", follow_up_at: datetime, rule_sets: "Mapping[str, RuleSet]"
) -> "list[Deadline]":
    """What an open account waits for, the nearest first; what was reached and noted is over."""
    waiting = [
        deadline
        for deadline in _all_deadlines(view, follow_up_at, rule_sets)
        if (deadline.name, deadline.at) not in view.noted
    ]
    return sorted(waiting, key=lambda deadline: (deadline.at, deadline.kind))


def _all_deadlines(
    view: "LifecycleView", follow_up_at: datetime, rule_sets: "Mapping[str, RuleSet]"
) -> "Iterator[Deadline]":
    def at(kind: DeadlineKind, moment: datetime, subject_id: UUID | None = None) -> Deadline:
        return Deadline(kind=kind, at=moment.astimezone(UTC), subject_id=subject_id)

    yield at(K.FOLLOW_UP, follow_up_at)
    if view.validation_sent_on is not None:
        last_day = validation.period_end(view.validation_sent_on)
        yield at(K.VALIDATION_END, end_of_day(last_day, view.zone))
    if view.promise is not None:
        promise_id, due_date = view.promise
        yield at(K.PROMISE_DUE, promise_deadline(due_date, view.zone), promise_id)
    if view.offer is not None:
        offer_id, expires_on = view.offer
        yield at(K.OFFER_EXPIRY, end_of_day(expires_on, view.zone), offer_id)
    if view.settlement is not None:
        offer_id, pay_by = view.settlement
        yield at(K.SETTLEMENT_DUE, end_of_day(pay_by, view.zone), offer_id)
    if view.dispute is not None:
        dispute_id, received_on = view.dispute
        yield at(K.DISPUTE_ANSWER, dispute_deadline(received_on, view.zone), dispute_id)
    for hold_id, until in view.hold_ends:
        yield at(K.HOLD_END, hold_deadline(until), hold_id)
    rules = rule_sets.get(view.rule_set) or rule_sets[DEFAULT_RULES]
    barred_on = limitation.limitation_on(rules, view.state, view.account_type, view.limitation_since)
    if barred_on is not None:
        yield at(K.LIMITATION, start_of_day(barred_on, view.zone))
