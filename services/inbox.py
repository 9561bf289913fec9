"""The inbox of provider events as people see it: what came, what became of it, and what nobody knows of."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from activities.payment_facts import PAYMENT_ID, our_id
from db.inbox import PROVIDER
from domain.errors import Conflict, Invalid, NotFound, Unavailable
from domain.payments import PaymentMethod
from gateways.stripe import IntentState, IntentStatus, StripeAccount, StripeObjectMissing
from services.access import Principal, Right, require
from services.commands import CommandKey, answered, carry_out
from services.fields import Form, View

if TYPE_CHECKING:
    from activities.stripe_accounts import StripeAccounts
    from db.commands import Answer
    from db.keyset import Position
    from db.models import InboxEvent
    from db.session import Database, Transaction

_log = structlog.stdlib.get_logger("inbox")


class MatchForm(Form):
    """The account whose debtor paid."""

    account_id: UUID


class InboxEventView(View):
    """An event, without its body. ``attempts``: how often it was tried; ``reason``: why it is not handled."""

    id: UUID
    provider: str = PROVIDER
    event_ref: str
    type: str
    object_ref: str | None
    intent_ref: str | None
    status: str
    attempts: int
    reason: str | None
    occurred_at: datetime
    received_at: datetime
    handled_at: datetime | None


class MatchedView(View):
    """An event that was matched, and the payment that was made of it; its money is posted soon after."""

    event_id: UUID
    payment_id: UUID
    account_id: UUID


class InboxService:
    """The inbox of the principal's agency; ``start`` has an event handled (``Unavailable``)."""

    def __init__(
        self,
        database: "Database",
        accounts: "StripeAccounts",
        start: Callable[[UUID, UUID], Awaitable[None]],
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._start = start

    async def page(
        self, who: Principal, statuses: Sequence[str], position: "Position | None", limit: int
    ) -> "Sequence[InboxEvent]":
        """Events, newest first, keyed by ``(id,)``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            return await tx.inbox.page(position, limit, statuses=statuses)

    async def match(self, who: Principal, command: CommandKey, event_id: UUID, form: MatchForm) -> "Answer":
        """Say whose money an unmatched event tells of (202): a payment is made of it, and posted.

        ``NotFound``; ``Conflict`` for an event that is not unmatched, or whose intent took no money;
        ``Invalid`` (field ``account_id``) for an account that is not there or of another currency;
        ``StripeOutage``.
        """
        require(who, Right.RUN_RECONCILIATIONS)
        answer = await answered(self._database, who.tenant, command)
        if answer is None:
            answer = await self._match(who, command, event_id, form)
        await self._handle(who, event_id)
        return answer

    async def _match(self, who: Principal, command: CommandKey, event_id: UUID, form: MatchForm) -> "Answer":
        """Look the intent up while no transaction is open, then make its payment if that may still be."""
        async with self._database.transaction(who.tenant) as tx:
            intent_ref = _unmatched(await tx.inbox.get(event_id))
        account = await self._accounts.of(who.tenant.agency_id)
        intent = await _intent(account, intent_ref)
        method = await _method(account, intent)

        async def effect(tx: "Transaction") -> MatchedView:
            event = await tx.inbox.get(event_id, lock=True)
            _unmatched(event)
            return await _make_payment(tx, event, intent, form.account_id, method)

        return await carry_out(self._database, who.tenant, command, effect, status=202)

    async def _handle(self, who: Principal, event_id: UUID) -> None:
        """Have every event of the intent handled; what Temporal does not take now, a sweep starts."""
        async with self._database.transaction(who.tenant) as tx:
            event = await tx.inbox.get(event_id)
            waiting = await tx.inbox.waiting_of(event.intent_ref or "")
        try:
            for waiting_id in waiting:
                await self._start(who.tenant.agency_id, waiting_id)
        except Unavailable as error:
            _log.warning("matched events wait for a sweep", error_type=error.type)


def _unmatched(event: "InboxEvent") -> str:
    """The intent that an unmatched event tells of. ``Conflict`` for any other event."""
    if event.status != "unmatched" or event.intent_ref is None:
        raise Conflict(
            f"only an unmatched event of a payment can be matched; this one is {event.status}",
            status_now=event.status,
        )
    return event.intent_ref


async def _intent(account: StripeAccount, intent_ref: str) -> IntentState:
    try:
        intent = await account.retrieve(intent_ref)
    except StripeObjectMissing:
        raise Conflict("Stripe has no such payment any more; nothing can be matched") from None
    if intent.status is not IntentStatus.SUCCEEDED:
        raise Conflict(f"this payment has taken no money: it is {intent.status.value} at Stripe")
    return intent


async def _method(account: StripeAccount, intent: IntentState) -> PaymentMethod:
    if intent.payment_method_id is None:
        return PaymentMethod.CARD
    try:
        kind = (await account.payment_method(intent.payment_method_id)).kind
    except StripeObjectMissing:
        return PaymentMethod.CARD
    return PaymentMethod.BANK_TRANSFER if kind == "us_bank_account" else PaymentMethod.CARD


async def _check_is_nobody_else_s(tx: "Transaction", intent: IntentState) -> None:
    """``Conflict`` for money of a payment that is on record, but not here: whose it is, is known there."""
    if (named := our_id(intent.metadata, PAYMENT_ID)) is None:
        return
    try:
        await tx.payments.get(named)
    except NotFound:
        raise Conflict(
            f"Stripe's record names the payment {named} as what this money is for ({PAYMENT_ID}), which is"
            " none of this agency's; it cannot be matched to an account here"
        ) from None


async def _make_payment(
    tx: "Transaction", event: "InboxEvent", intent: IntentState, account_id: UUID, method: PaymentMethod
) -> MatchedView:
    currency = intent.currency.upper()
    try:
        account = await tx.account_changes.lock(account_id)
    except NotFound:
        raise Invalid("there is no such account", field="account_id") from None
    if account.currency != currency:
        raise Invalid(
            f"the account is in {account.currency}, the money came in {currency}", field="account_id"
        )
    if (known := await tx.payments.by_processor_ref(intent.id)) is not None:
        raise Conflict("a payment is there for it by now", payment_id=str(known.id))
    await _check_is_nobody_else_s(tx, intent)
    payment = await tx.payments.add(
        account_id,
        origin="provider",
        key=intent.id,
        amount=intent.amount_received,
        currency=currency,
        method=method.value,
        processor_ref=intent.id,
    )
    await tx.audit.record(
        "payment.matched",
        "payment",
        payment.id,
        new={
            "account_id": str(account_id),
            "amount": format(payment.amount, "f"),
            "event_id": str(event.id),
            "processor_ref": intent.id,
        },
    )
    return MatchedView(event_id=event.id, payment_id=payment.id, account_id=account_id)
