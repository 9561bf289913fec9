"""What agrees between our books and a partner's, and what a difference is: pure, one account at a time.

The set-based form, for statements of a million lines, is in ``db.partner_matching_sql``; a test holds the two
to the same answers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from domain.accounts import OPEN_STATUSES, PAID, SETTLED_FOR_LESS, AccountStatus
from domain.money import CENT


class BreakKind(StrEnum):
    """The sorts of differences."""

    BALANCE = "balance"
    STATUS = "status"
    MISSING_HERE = "missing_here"
    """They name what nobody here knows."""
    MISSING_THERE = "missing_there"
    """We have what they do not name."""
    DUPLICATE = "duplicate"
    AMBIGUOUS = "ambiguous"
    """It may be one of several, and nothing tells which."""
    TIMING = "timing"
    """The books agree but for what one side has not heard of yet."""
    FEE = "fee"
    CURRENCY = "currency"
    STALE = "stale"
    """What they say is too old to be compared."""


class PartnerStatus(StrEnum):
    """What a partner calls an account."""

    UNPAID = "UNPAID"
    PARTIAL = "PARTIAL"
    PAID = "PAID"


class Cause(StrEnum):
    """Why a difference probably is there; ``explain`` has the words."""

    POSTED_SINCE = "posted_since"
    IN_TRANSIT = "in_transit"
    SENT_SINCE = "sent_since"
    KNOWN_FEE = "known_fee"
    OTHER_CURRENCY = "other_currency"
    TOO_OLD = "too_old"
    NEGATIVE_THERE = "negative_there"
    DECIMAL_SHIFT = "decimal_shift"
    PAID_ONLY_THERE = "paid_only_there"
    PAID_ONLY_HERE = "paid_only_here"
    NO_PAYMENT_KNOWN_THERE = "no_payment_known_there"
    LESS_THERE = "less_there"
    MORE_THERE = "more_there"
    OPEN_THERE = "open_there"
    CLOSED_HERE = "closed_here"
    UNKNOWN_STATUS = "unknown_status"
    UNKNOWN_REFERENCE = "unknown_reference"
    RESEMBLES_ANOTHER = "resembles_another"
    SEVERAL_ACCOUNTS = "several_accounts"
    SEVERAL_PAYMENTS = "several_payments"
    SEVERAL_LINES = "several_lines"
    NOT_STATED = "not_stated"
    NEVER_STATED = "never_stated"
    PERHAPS_UNREADABLE = "perhaps_unreadable"
    REPEATED = "repeated"
    CONTRADICTED = "contradicted"
    BOOKED_BEFORE = "booked_before"
    NOT_ON_LEDGER = "not_on_ledger"
    PROCESSOR_DIFFERS = "processor_differs"
    OTHER_AMOUNT = "other_amount"
    ADJUSTED_BEFORE = "adjusted_before"


_WORDS = {
    Cause.POSTED_SINCE: "we have posted payments or reversals since the partner wrote this",
    Cause.IN_TRANSIT: "a payment is on its way, and one side has not got it yet",
    Cause.SENT_SINCE: "the account was sent to the partner after this statement was written",
    Cause.KNOWN_FEE: "the difference is a fee that the partner's rules name",
    Cause.OTHER_CURRENCY: "the two sides keep it in different currencies",
    Cause.TOO_OLD: "the partner's record is too old to be compared",
    Cause.NEGATIVE_THERE: "the partner states less than nothing: too much was taken, or the sign is wrong",
    Cause.DECIMAL_SHIFT: "the decimal point has moved: one amount is a hundred times the other",
    Cause.PAID_ONLY_THERE: "the partner has it as paid: its payment has not reached us",
    Cause.PAID_ONLY_HERE: "it is paid here: the partner has not heard of it",
    Cause.NO_PAYMENT_KNOWN_THERE: "the partner has the amount as placed: it knows of no payment",
    Cause.LESS_THERE: "the partner has probably taken a payment that has not reached us",
    Cause.MORE_THERE: "the partner probably misses a payment, or has added a charge",
    Cause.OPEN_THERE: "the partner still works what is paid here",
    Cause.CLOSED_HERE: "the account was closed here without being paid; the partner has not heard of it",
    Cause.UNKNOWN_STATUS: "the partner's status is none of UNPAID, PARTIAL and PAID",
    Cause.UNKNOWN_REFERENCE: "nothing here has this reference",
    Cause.RESEMBLES_ANOTHER: "the reference resembles one that another line has already",
    Cause.SEVERAL_ACCOUNTS: "the reference is that of several accounts here",
    Cause.SEVERAL_PAYMENTS: "several payments here could be this one",
    Cause.SEVERAL_LINES: "several lines could be the same payment or account here",
    Cause.NOT_STATED: "the partner has named it before and does so no more",
    Cause.NEVER_STATED: "the partner has never named it",
    Cause.PERHAPS_UNREADABLE: "the partner has not named it, and lines that cannot be read name nothing",
    Cause.REPEATED: "the same line came twice",
    Cause.CONTRADICTED: "two lines about the same say different things; the newest counts",
    Cause.BOOKED_BEFORE: "an earlier statement has this payment already",
    Cause.NOT_ON_LEDGER: "the money has come in, but the payment is not on our ledger",
    Cause.PROCESSOR_DIFFERS: "the processor's books differ as well: see its break",
    Cause.OTHER_AMOUNT: "the bank states another amount than was paid",
    Cause.ADJUSTED_BEFORE: "it was adjusted or written off before, and the bank states another amount by now",
}


def explain(cause: str) -> str:
    """The words for a cause; what is no code (a cause in words already) is given back as it is."""
    return _WORDS[Cause(cause)] if cause in _CODES else cause


_NO_WORD = re.compile(r"[\W_]+")
_CODES = frozenset(cause.value for cause in Cause)


def name_key(name: str) -> str:
    """A person's name as payers write it: its words in order, without case and punctuation."""
    return " ".join(sorted(word for word in _NO_WORD.split(name.lower()) if word))


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two balances may be apart: the lesser of an amount and a percentage of ours."""

    absolute: Decimal = Decimal("1.00")
    percent: Decimal = Decimal("1.00")

    def agree(self, ours: Decimal, theirs: Decimal) -> bool:
        """Whether two balances count as the same. Zero is only zero, and a sign is never tolerated."""
        if ours == theirs:
            return True
        if ours == 0 or theirs == 0 or (ours < 0) != (theirs < 0):
            return False
        return abs(theirs - ours) <= min(self.absolute, self.percent * abs(ours) / 100)


@dataclass(frozen=True, slots=True)
class Fee:
    """A charge that explains a difference: a fixed amount and a percentage, rounded half up to cents."""

    name: str
    fixed: Decimal = Decimal(0)
    percent: Decimal = Decimal(0)

    def of(self, amount: Decimal) -> Decimal:
        """The fee on ``amount``, whatever its sign."""
        return (self.fixed + self.percent * abs(amount) / 100).quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class OurAccount:
    """An account as the ledger has it.

    ``posted_since``: what its balance has changed by since the partner wrote its line; ``in_transit``:
    payments that were asked for and are not on the ledger yet.
    """

    balance: Decimal
    original_amount: Decimal
    currency: str
    status: AccountStatus
    closed_reason: str | None = None
    posted_since: Decimal = Decimal(0)
    in_transit: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class TheirAccount:
    """An account as a partner states it; None is not stated."""

    balance: Decimal | None
    status: str | None
    currency: str | None
    processed_at: datetime


@dataclass(frozen=True, slots=True)
class Terms:
    """By what an account is judged: the partner's own terms, and the fees that its rules know."""

    now: datetime
    tolerance: Tolerance = Tolerance()
    stale_after_days: int = 45
    fees: Sequence[Fee] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which two records of an account differ, and why that probably is."""

    kind: BreakKind
    cause: Cause


def judge(ours: OurAccount, theirs: TheirAccount, terms: Terms) -> list[Difference]:
    """How the two records of one account differ: at most one difference of amount and one of status.

    What is too old, or in another currency, is not compared any further.
    """
    if theirs.processed_at < terms.now - timedelta(days=terms.stale_after_days):
        return [Difference(BreakKind.STALE, Cause.TOO_OLD)]
    if theirs.currency is not None and theirs.currency != ours.currency:
        return [Difference(BreakKind.CURRENCY, Cause.OTHER_CURRENCY)]
    found = []
    amount = _amount(ours, theirs.balance, terms)
    if amount is not None:
        found.append(amount)
    timing = amount is not None and amount.kind is BreakKind.TIMING
    if not timing and (cause := _status(ours, theirs.status)) is not None:
        # What explains the amounts explains the statuses, too.
        found.append(Difference(BreakKind.STATUS, cause))
    return found


def _amount(ours: OurAccount, balance: Decimal | None, terms: Terms) -> Difference | None:
    if balance is None or terms.tolerance.agree(ours.balance, balance):
        return None
    if ours.posted_since and terms.tolerance.agree(ours.balance - ours.posted_since, balance):
        return Difference(BreakKind.TIMING, Cause.POSTED_SINCE)
    if ours.in_transit and ours.balance - ours.in_transit == balance:
        return Difference(BreakKind.TIMING, Cause.IN_TRANSIT)
    if any(balance - ours.balance == fee.of(ours.balance) for fee in terms.fees):
        return Difference(BreakKind.FEE, Cause.KNOWN_FEE)
    return Difference(BreakKind.BALANCE, _why(ours, balance))


def _why(ours: OurAccount, balance: Decimal) -> Cause:
    if balance < 0:
        return Cause.NEGATIVE_THERE
    if balance == 0:
        return Cause.PAID_ONLY_THERE
    if ours.balance == 0:
        return Cause.PAID_ONLY_HERE
    if ours.balance * 100 == balance or balance * 100 == ours.balance:
        return Cause.DECIMAL_SHIFT
    if balance == ours.original_amount:
        return Cause.NO_PAYMENT_KNOWN_THERE
    return Cause.LESS_THERE if balance < ours.balance else Cause.MORE_THERE


def _status(ours: OurAccount, status: str | None) -> Cause | None:
    """Why the statuses differ, None when they agree or none is stated.

    UNPAID and PARTIAL are any open status, PAID is settled, or closed as paid.
    """
    if status is None:
        return None
    if status not in _KNOWN_STATUSES:
        return Cause.UNKNOWN_STATUS
    paid_there = status == PartnerStatus.PAID
    if ours.status in OPEN_STATUSES:
        return Cause.PAID_ONLY_THERE if paid_there else None
    if ours.status is AccountStatus.SETTLED or ours.closed_reason in PAID_REASONS:
        return None if paid_there else Cause.OPEN_THERE
    return Cause.PAID_ONLY_THERE if paid_there else Cause.CLOSED_HERE


PAID_REASONS = frozenset({PAID, SETTLED_FOR_LESS})
"""Why an account is closed that a partner may call PAID."""

_KNOWN_STATUSES = frozenset(status.value for status in PartnerStatus)
