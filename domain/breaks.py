"""Breaks of a reconciliation: how old they are, what each way of resolving one does, who has to agree."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from domain.errors import Conflict, Forbidden

NOTHING = Decimal(0)

APPROVAL_LIMIT = Decimal("100.00")
MATERIAL_AMOUNT = Decimal("1000.00")
ANSWER_WITHIN = timedelta(hours=72)
"""What counts for breaks that are no partner's: those with the payment provider."""

MOST_CASES = 200
"""How many material breaks become cases by themselves at once, the most valuable first."""


class Resolution(StrEnum):
    """How people resolve a break."""

    ACCEPT_THEIRS = "accept_theirs"
    KEEP_OURS = "keep_ours"
    WRITE_OFF = "write_off"
    EXPLAIN = "explain"


class AgeBucket(StrEnum):
    """How long a break has been there, in whole days."""

    NEW = "0-1"
    DAYS = "2-5"
    WEEKS = "6-30"
    OLD = "30+"


AGES: Mapping[AgeBucket, tuple[int, int | None]] = MappingProxyType(
    {
        AgeBucket.NEW: (0, 1),
        AgeBucket.DAYS: (2, 5),
        AgeBucket.WEEKS: (6, 30),
        AgeBucket.OLD: (31, None),
    }
)
"""First and last day of each bucket, both included."""


class NotPossible(Conflict):
    """This break cannot be resolved so; says how it can."""

    type = "resolution-not-possible"
    title = "Resolution not possible"


class BreakIsResolved(Conflict):
    """Nothing is left to decide."""

    type = "break-is-resolved"
    title = "Break is resolved"


class BreakChanged(Conflict):
    """The break, or the account that it is about, is not as whoever decides has seen it."""

    type = "break-changed"
    title = "Break has changed"


class ApprovalNeeded(Conflict):
    """Above the limit one person proposes and another approves."""

    type = "approval-needed"
    title = "Approval needed"


class OwnProposal(Forbidden):
    """Nobody approves what they have proposed themselves."""

    type = "own-proposal"
    title = "Own proposal"


@dataclass(frozen=True, slots=True)
class Difference:
    """What the resolution of a break rests on.

    ``ours`` and ``theirs`` are amounts of money, None where one side has nothing: balances of an account, or,
    where it is ``about_payment``, amounts of a payment. ``paid_there``: their status says that nothing is
    owed. ``incoming``: the money was to come in, not to go out. ``can_be_told``: there is a way to send the
    other side word.
    """

    source: str
    kind: str
    ours: Decimal | None
    theirs: Decimal | None
    about_account: bool
    about_payment: bool
    paid_there: bool
    incoming: bool
    can_be_told: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """What a resolution does: at most one amount is not zero.

    ``added``: to the account's balance, by an adjusting journal. ``forgiven``: of the balance. ``cash``:
    added to the house's cash, by an adjusting journal. ``lost``: of the house's cash. ``told``: word is sent.
    ``settles``: an account on which nothing is owed is settled at last.
    """

    added: Decimal = NOTHING
    forgiven: Decimal = NOTHING
    cash: Decimal = NOTHING
    lost: Decimal = NOTHING
    told: bool = False
    settles: bool = False

    @property
    def moved(self) -> Decimal:
        """How much money it moves, whichever way."""
        return abs(self.added) + self.forgiven + abs(self.cash) + self.lost

    @property
    def on_account(self) -> bool:
        """Whether it changes the account."""
        return bool(self.added or self.forgiven or self.settles)

    @property
    def on_cash(self) -> bool:
        """Whether it changes the house's cash."""
        return bool(self.cash or self.lost)


_OF_A_BALANCE = frozenset({"balance", "status", "fee"})
"""Kinds of which both sides say what is owed. Of the kind ``timing`` one side has yet to hear of what the
other knows: to take its word would undo what is true."""

_MONEY_OUT = ("re_", "dp_", "du_")
"""What ids of refunds and disputes begin with at Stripe: money that goes back."""


def is_incoming(subject: str) -> bool:
    """Whether a processor's thing with this id is money that comes in."""
    return not subject.startswith(_MONEY_OUT)


def effect_of(resolution: Resolution, difference: Difference) -> Effect:
    """What resolving a break so does. ``NotPossible`` where it has nothing to rest on."""
    if resolution is Resolution.EXPLAIN:
        return Effect()
    if resolution is Resolution.KEEP_OURS:
        return _keep_ours(difference)
    if resolution is Resolution.WRITE_OFF:
        return _write_off(difference)
    return _accept_theirs(difference)


def possible(difference: Difference) -> tuple[Resolution, ...]:
    """The ways in which a break can be resolved."""
    found = []
    for resolution in Resolution:
        try:
            effect_of(resolution, difference)
        except NotPossible:
            continue
        found.append(resolution)
    return tuple(found)


def check_limit(value: Decimal, effect: Effect, limit: Decimal) -> None:
    """``ApprovalNeeded`` above ``limit``: what is at risk, or what the resolution moves if that is more."""
    at_stake = max(value, effect.moved)
    if at_stake > limit:
        raise ApprovalNeeded(
            f"{at_stake:,.2f} is above the limit of {limit:,.2f}: propose the resolution, and have somebody"
            " else approve it",
            at_stake=format(at_stake, "f"),
            approval_limit=format(limit, "f"),
        )


def answer_within(hours: int | None) -> timedelta:
    """How long the other side may take to answer; ``hours`` as its partner says, None if it is none."""
    return ANSWER_WITHIN if hours is None else timedelta(hours=hours)


def age_in_days(found_at: datetime, until: datetime) -> int:
    """Whole days that a break has been there."""
    return max((until - found_at) // timedelta(days=1), 0)


def bucket_of(days: int) -> AgeBucket:
    """The bucket of an age in days."""
    return next(bucket for bucket, (_, last) in AGES.items() if last is None or days <= last)


def _accept_theirs(it: Difference) -> Effect:
    if it.source == "processor":
        raise _not("what the provider has is recorded by the reconciliation itself, or by matching its event")
    if it.about_payment:
        return _accept_payment(it)
    if not it.about_account or it.kind not in _OF_A_BALANCE or it.ours is None:
        raise _not(f"a break of the kind {it.kind} says nothing of theirs that could be taken over")
    theirs = NOTHING if it.theirs is None and it.paid_there else it.theirs
    if theirs is None:
        raise _not("their line says no balance that could be taken over")
    if theirs < 0:
        raise _not("a balance below zero cannot be taken over: what was paid too much is a payment")
    added = theirs - it.ours
    if added == 0 and not (theirs == 0 and it.paid_there):
        raise _not("their balance is ours: there is nothing to take over")
    return Effect(added=added, settles=theirs == 0)


def _accept_payment(it: Difference) -> Effect:
    if it.kind not in {"balance", "fee"} or it.ours is None or it.theirs is None or it.ours == it.theirs:
        raise _not("nothing of theirs could be taken over; record the payment, or refund it")
    return Effect(cash=it.theirs - it.ours)


def _write_off(it: Difference) -> Effect:
    there = it.theirs
    if there is None and (it.kind == "missing_there" or it.paid_there):
        there = NOTHING
    if it.ours is None or there is None or it.ours <= max(there, NOTHING):
        raise _not("nothing of ours is above theirs that could be written off")
    rest = it.ours - max(there, NOTHING)
    if it.about_payment:
        if not it.incoming or it.kind not in {"balance", "fee", "missing_there"}:
            raise _not("this is no money of ours that could be written off")
        return Effect(lost=rest)
    if not it.about_account or it.kind not in {*_OF_A_BALANCE, "missing_there"}:
        raise _not(f"a break of the kind {it.kind} leaves nothing to write off")
    return Effect(forgiven=rest)


def _keep_ours(it: Difference) -> Effect:
    if it.source == "processor":
        raise _not("there is nobody to send word to at the provider: explain it")
    if not it.can_be_told:
        raise _not("this partner is sent nothing (delivery is none), so nobody would learn of it: explain it")
    return Effect(told=True)


def _not(because: str) -> NotPossible:
    return NotPossible(because)
