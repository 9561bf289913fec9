"""What somebody may do to an account as it stands: judged by the same rules as the commands themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain.accounts import (
    AccountStatus,
    check_move,
    check_not_closed,
    check_open,
    check_workable,
)
from domain.errors import Conflict, Invalid
from domain.payments import check_currency, check_takes_payments
from domain.stays import check_not_stayed
from services.access import Principal, Right
from services.account_overview import AccountOverview

_ANYTHING = ""


@dataclass(frozen=True, slots=True)
class Possible:
    """Each command of an account that would be taken now; ``moves`` are those by hand.

    ``pay``: ask for money; ``record``: enter money that is here already, whatever the account's state.
    ``credit``: do something with what is owed back.
    """

    note: bool
    contact: bool
    moves: tuple[AccountStatus, ...]
    promise: bool
    offer: bool
    accept: bool
    hold: bool
    release: bool
    dispute: bool
    answer: bool
    assign: bool
    close: bool
    recall: bool
    pay: bool
    record: bool
    plan: bool
    credit: bool


def possible(who: Principal, overview: AccountOverview) -> Possible:
    """What ``who`` may do to this account; nothing to rely on, for a command is judged when it comes."""
    account, status = overview.account, overview.account.status
    works, manages, takes = (
        who.may(right) for right in (Right.WORK_ACCOUNTS, Right.MANAGE_ACCOUNTS, Right.TAKE_PAYMENTS)
    )
    held = {hold.kind for hold in overview.holds if hold.released_at is None}
    unanswered = overview.unanswered
    owes = account.current_balance > 0
    workable = _would(check_workable, status, _ANYTHING)
    not_closed = _would(check_not_closed, status, _ANYTHING)
    is_open = _would(check_open, status, _ANYTHING)
    closable = _would(check_move, status, AccountStatus.CLOSED)
    stayed = not _would(check_not_stayed, held, unanswered, _ANYTHING)
    payable = owes and unanswered is None and _would(check_takes_payments, status, held)
    plannable = status is AccountStatus.PAYMENT_PLAN or _would(check_move, status, AccountStatus.PAYMENT_PLAN)
    return Possible(
        note=works,
        contact=who.may(Right.CONTACT_DEBTORS),
        moves=tuple(account.legal_moves) if works else (),
        promise=works and workable and owes and not stayed,
        offer=works and workable and owes and not stayed,
        accept=works and workable,
        hold=works and not_closed,
        release=manages,
        dispute=works and is_open and overview.open_dispute is None,
        answer=manages and not_closed,
        assign=manages and is_open,
        close=manages and closable,
        recall=manages and not_closed,
        pay=takes and payable and _would(check_currency, account.currency),
        record=takes,
        plan=takes
        and payable
        and plannable
        and overview.open_plan is None
        and _would(check_currency, account.currency),
        credit=who.may(Right.REFUND_PAYMENTS) and account.credit_balance + account.unapplied > 0,
    )


def _would(check: Callable[..., None], *facts: Any) -> bool:
    """Whether a rule would let a command of these facts pass."""
    try:
        check(*facts)
    except (Conflict, Invalid):
        return False
    return True
