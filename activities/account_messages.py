"""Messages of account commands, and what a lifecycle knows of its account."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from activities.messages import AccountRef, Message
from domain.accounts import AccountStatus, check_move, check_not_closed, check_open, check_workable
from domain.deadlines import Deadline
from domain.holds import HoldKind
from domain.money import PositiveMoney
from domain.tenancy import Actor, Tenant

MAX_TEXT = 2000
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]
"""Words of a person, in characters."""


class CommandIdentity(Message):
    """What makes two commands the same one: ``body_hash`` is SHA-256 (hex) over all that the caller sent."""

    operation: str
    key: str
    body_hash: str


class AccountCommand(Message):
    """A command to one account, by whom, and as which command it is remembered.

    ``only_for`` is the collector who asks: the account must be theirs when it is carried out.
    """

    account: AccountRef
    identity: CommandIdentity
    actor_kind: str
    actor: str
    actor_id: UUID | None = None
    ip: str | None = None
    only_for: UUID | None = None

    def check(self, status: AccountStatus) -> None:
        """``IllegalMove`` when an account of this status cannot be told so: asked of what a lifecycle knows,
        and again of the row under its lock."""

    @property
    def tenant(self) -> Tenant:
        """In whose name the change is written."""
        return Tenant(self.account.agency_id, Actor(self.actor_kind, self.actor, self.actor_id, self.ip))


class Assign(AccountCommand):
    """Give the account to a collector of its agency."""

    collector_id: UUID

    def check(self, status: AccountStatus) -> None:
        check_open(status, "to assign it")


class Transition(AccountCommand):
    """Move the account by hand."""

    new_status: AccountStatus
    note: Text | None = None

    def check(self, status: AccountStatus) -> None:
        check_move(status, self.new_status)


class MakePromise(AccountCommand):
    """The debtor promises to pay ``amount`` by ``due_date``."""

    amount: PositiveMoney
    due_date: date

    def check(self, status: AccountStatus) -> None:
        check_workable(status, "a promise to pay")


class PlaceHold(AccountCommand):
    """Leave the account, or one way of contact, alone; ``until`` is the last day of it."""

    kind: HoldKind
    reason: Text
    until: date | None = None

    def check(self, status: AccountStatus) -> None:
        check_not_closed(status, "a hold")


class ReleaseHold(AccountCommand):
    """End a hold of the debt on this account, or every hold of this kind of the person."""

    kind: HoldKind


class RecordDispute(AccountCommand):
    """The debtor disputes the debt. ``new_information``: more than an earlier one said that was answered."""

    reason: Text
    received_on: date
    in_writing: bool
    new_information: bool = False

    def check(self, status: AccountStatus) -> None:
        check_open(status, "a dispute")


DisputeOutcome = Literal["verified", "corrected", "invalid", "withdrawn", "duplicative"]


class AnswerDispute(AccountCommand):
    """A dispute is answered; the debt stands, unless it is ``invalid``.

    ``verification_sent_on``: when the verification was sent or, of a ``duplicative`` one, the notice of it.
    """

    dispute_id: UUID
    outcome: DisputeOutcome
    verification_sent_on: date | None = None

    def check(self, status: AccountStatus) -> None:
        check_not_closed(status, "to answer a dispute")


class OfferSettlement(AccountCommand):
    """Offer to settle for an amount, or for percent of the balance."""

    amount: PositiveMoney | None = None
    percent: Annotated[PositiveMoney | None, Field(le=100)] = None
    instalments: Annotated[int, Field(ge=1, le=120)] = 1
    expires_on: date

    def check(self, status: AccountStatus) -> None:
        check_workable(status, "a settlement offer")


class AcceptOffer(AccountCommand):
    """The debtor accepts an offer."""

    offer_id: UUID

    def check(self, status: AccountStatus) -> None:
        check_workable(status, "to accept an offer")


class Recall(AccountCommand):
    """The creditor takes the account back."""

    reason: Text

    def check(self, status: AccountStatus) -> None:
        check_not_closed(status, "a recall")


class Close(AccountCommand):
    """Close the account by hand, with a reason."""

    reason: Text

    def check(self, status: AccountStatus) -> None:
        check_move(status, AccountStatus.CLOSED)


class Done(Message):
    """A command was carried out, or had been before; its answer is kept with the command."""

    status: AccountStatus
    version: int


class AccountSnapshot(Message):
    """What a lifecycle needs to know of its account: a cursor, never an amount of money.

    ``follow_up_at`` is when the account has been left alone for too long; ``holds`` are the kinds in force.
    """

    status: AccountStatus
    version: int
    is_open: bool
    follow_up_at: datetime
    holds: tuple[str, ...] = ()
    deadlines: tuple[Deadline, ...] = ()


class FollowUp(Message):
    """An account that nothing has happened on until ``due_at``."""

    agency_id: UUID
    account_id: UUID
    due_at: datetime


class DeadlineReached(Message):
    """A deadline of an account whose time has come."""

    account: AccountRef
    deadline: Deadline


class RefusedTransition(Message):
    """A transition that was signalled and could not be made, in the words of the refusal."""

    account: AccountRef
    identity: CommandIdentity
    new_status: AccountStatus
    reason: str
    asked_by: str
