"""What a user may tell an account, and what is on record of promises, holds, disputes and offers."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from activities.account_messages import (
    AcceptOffer,
    AccountCommand,
    AnswerDispute,
    Assign,
    Close,
    CommandIdentity,
    MakePromise,
    OfferSettlement,
    PlaceHold,
    Recall,
    RecordDispute,
    ReleaseHold,
    Transition,
)
from activities.messages import AccountRef
from db.commands import Answer, body_hash
from domain.accounts import AccountStatus
from domain.errors import Conflict
from domain.holds import HoldKind
from domain.tenancy import Role
from services.access import Principal, Right, require
from services.account_command_forms import (
    AssignForm,
    DisputeAnswerForm,
    DisputeForm,
    HoldForm,
    OfferForm,
    PromiseForm,
    ReasonForm,
    TransitionForm,
)
from services.accounts import visible_account
from services.commands import CommandKey
from services.lifecycle_commands import LifecycleCommander

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from db.keyset import Position
    from db.models import Dispute, Hold, Payment, Promise, SettlementOffer
    from db.session import Database, Transaction

UNSCORED_PRIORITY = 0
MOST_PAGES = 100

Wake = Callable[["Payment", Sequence[UUID]], Awaitable[None]]
"""Has a payment's process look at it now; never raises."""


class AccountCommandService:
    """Commands to accounts of the principal's agency; a collector's are those assigned to them.

    Each is carried out by the account's workflow, which is started where it does not run, and answered
    by what that has kept with the command. A key that was used with the same body gets the first answer,
    whether or not Temporal is there. Raises ``Forbidden``, ``NotFound`` (not there, or not theirs),
    ``KeyReused``, ``IllegalMove`` and ``Conflict`` (the account is not in a state for it), ``Invalid``,
    and ``Unavailable`` when nobody answered in time. Open payment pages on which nobody shall pay after it
    are closed by their processes, which ``wake`` has look at them.
    """

    def __init__(self, database: "Database", commander: LifecycleCommander, wake: Wake) -> None:
        self._database = database
        self._commander = commander
        self._wake = wake

    async def assign(self, who: Principal, command: CommandKey, account_id: UUID, form: AssignForm) -> Answer:
        """Give an account to a collector of the agency; a new one becomes assigned."""
        require(who, Right.MANAGE_ACCOUNTS)
        return await self._tell(who, command, account_id, "assign", Assign, form.given())

    async def transition(
        self, who: Principal, command: CommandKey, account_id: UUID, form: TransitionForm
    ) -> Answer:
        """Move an account by hand."""
        require(who, Right.WORK_ACCOUNTS)
        return await self._tell(who, command, account_id, "transition", Transition, form.given())

    async def promise(
        self, who: Principal, command: CommandKey, account_id: UUID, form: PromiseForm
    ) -> Answer:
        """Record a promise to pay (201)."""
        require(who, Right.WORK_ACCOUNTS)
        return await self._tell(who, command, account_id, "promise", MakePromise, form.given())

    async def hold(self, who: Principal, command: CommandKey, account_id: UUID, form: HoldForm) -> Answer:
        """Put a hold in force (201): collectors, too, for they are who hears of it."""
        require(who, Right.WORK_ACCOUNTS)
        return await self._tell(who, command, account_id, "hold", PlaceHold, form.given())

    async def release(self, who: Principal, command: CommandKey, account_id: UUID, kind: HoldKind) -> Answer:
        """End a hold of the debt on this account, or every hold of this kind of the person."""
        require(who, Right.MANAGE_ACCOUNTS)
        return await self._tell(who, command, account_id, "release", ReleaseHold, {"kind": kind})

    async def dispute(
        self, who: Principal, command: CommandKey, account_id: UUID, form: DisputeForm
    ) -> Answer:
        """Record a dispute (201)."""
        require(who, Right.WORK_ACCOUNTS)
        return await self._tell(who, command, account_id, "dispute", RecordDispute, form.given())

    async def answer_dispute(
        self,
        who: Principal,
        command: CommandKey,
        account_id: UUID,
        dispute_id: UUID,
        form: DisputeAnswerForm,
    ) -> Answer:
        """Answer a dispute."""
        require(who, Right.MANAGE_ACCOUNTS)
        values = {"dispute_id": dispute_id, **form.given()}
        return await self._tell(who, command, account_id, "answer_dispute", AnswerDispute, values)

    async def offer(self, who: Principal, command: CommandKey, account_id: UUID, form: OfferForm) -> Answer:
        """Offer a settlement (201)."""
        require(who, Right.WORK_ACCOUNTS)
        return await self._tell(who, command, account_id, "offer_settlement", OfferSettlement, form.given())

    async def accept_offer(
        self, who: Principal, command: CommandKey, account_id: UUID, offer_id: UUID
    ) -> Answer:
        """Note that the debtor accepts an offer."""
        require(who, Right.WORK_ACCOUNTS)
        return await self._tell(who, command, account_id, "accept_offer", AcceptOffer, {"offer_id": offer_id})

    async def recall(self, who: Principal, command: CommandKey, account_id: UUID, form: ReasonForm) -> Answer:
        """Give an account back to its creditor."""
        require(who, Right.MANAGE_ACCOUNTS)
        return await self._tell(who, command, account_id, "recall", Recall, form.given())

    async def close(self, who: Principal, command: CommandKey, account_id: UUID, form: ReasonForm) -> Answer:
        """Close an account for a reason."""
        require(who, Right.MANAGE_ACCOUNTS)
        return await self._tell(who, command, account_id, "close", Close, form.given())

    async def holds(
        self, who: Principal, account_id: UUID, position: "Position | None", limit: int
    ) -> "Sequence[Hold]":
        """Holds of an account and of its person, next to ``position`` (id), nearest first."""
        async with self._reading(who, account_id) as tx:
            return await tx.holds.page(account_id, position, limit)

    async def promises(
        self, who: Principal, account_id: UUID, position: "Position | None", limit: int
    ) -> "Sequence[Promise]":
        """Promises to pay on an account, next to ``position`` (id), nearest first."""
        async with self._reading(who, account_id) as tx:
            return await tx.promises.page(account_id, position, limit)

    async def disputes(
        self, who: Principal, account_id: UUID, position: "Position | None", limit: int
    ) -> "Sequence[Dispute]":
        """Disputes of an account, next to ``position`` (id), nearest first."""
        async with self._reading(who, account_id) as tx:
            return await tx.disputes.page(account_id, position, limit)

    async def offers(
        self, who: Principal, account_id: UUID, position: "Position | None", limit: int
    ) -> "Sequence[SettlementOffer]":
        """Settlement offers on an account, next to ``position`` (id), nearest first."""
        async with self._reading(who, account_id) as tx:
            return await tx.offers.page(account_id, position, limit)

    @asynccontextmanager
    async def _reading(self, who: Principal, account_id: UUID) -> "AsyncIterator[Transaction]":
        require(who, Right.READ_ACCOUNTS)
        async with self._database.transaction(who.tenant) as tx:
            await visible_account(tx, who, account_id)
            yield tx

    async def _tell(
        self,
        who: Principal,
        command: CommandKey,
        account_id: UUID,
        update: str,
        kind: type[AccountCommand],
        values: "Mapping[str, Any]",
    ) -> Answer:
        """Have the account's workflow carry out a command of ``kind`` by its update, unless it was before."""
        key, digest = command.key or uuid4().hex, body_hash(command.body, who.actor)
        async with self._database.transaction(who.tenant) as tx:
            # First whether it is theirs: an answer of the past is not for who lost the account since.
            view = await visible_account(tx, who, account_id)
            known = await tx.commands.known(command.operation, key, digest)
            if known is not None:
                return known
        identity = CommandIdentity(operation=command.operation, key=key, body_hash=digest.hex())
        told = kind(
            account=AccountRef(agency_id=who.tenant.agency_id, account_id=account_id),
            identity=identity,
            actor_kind=who.actor.kind,
            actor=who.actor.name,
            actor_id=who.actor.id,
            ip=who.actor.ip,
            only_for=who.collector_id if who.role is Role.COLLECTOR else None,
            **values,
        )
        status = AccountStatus(view.account.status)
        if status is AccountStatus.CLOSED:
            # What a closed account cannot be told starts no workflow; releasing a hold can be.
            told.check(status)
        priority = view.score.priority if view.score else UNSCORED_PRIORITY
        refusal: Conflict | None = None
        try:
            await self._commander.carry_out(
                update, told, priority=priority, status=status.value, version=view.account.version
            )
        except Conflict as refused:
            # It may have been carried out a moment ago, by the same key: then it cannot be a second time.
            refusal = refused
        async with self._database.transaction(who.tenant) as tx:
            answer = await tx.commands.known(command.operation, key, digest)
            unwanted = await tx.payments.unwanted(MOST_PAGES, person_of=account_id) if answer else []
        for payment in unwanted:
            await self._wake(payment, ())
        if answer is not None:
            return answer
        raise refusal or LookupError(f"the update {update} of account {account_id} has kept no answer")
