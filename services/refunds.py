"""Giving payments back: a part or all, several times, never more than was paid."""

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from db.commands import Answer
from domain.errors import Conflict
from domain.payments import TAKEN, PaymentStatus
from services.access import Principal, Right, require
from services.commands import CommandKey, Made, carry_out
from services.payment_forms import RefundForm
from services.payment_starts import PaymentStarter
from services.payments import ACCEPTED, CREATED, payment_detail, visible_payment

if TYPE_CHECKING:
    from db.models import Payment, Refund
    from db.session import Database, Transaction


class RefundFailed(Conflict):
    """The provider did not pay a refund out; ``failure_code`` says why."""

    type = "refund-failed"
    title = "Refund failed"


class RefundService:
    """Refunds of payments of the principal's agency; ``patience`` as of payments."""

    def __init__(self, database: "Database", starter: PaymentStarter, patience: timedelta) -> None:
        self._database = database
        self._starter = starter
        self._patience = patience

    async def refund(self, who: Principal, command: CommandKey, payment_id: UUID, form: RefundForm) -> Answer:
        """Give a part or all of a payment back: 201 with the payment once it was paid out, else 202.

        The same key with the same body has no second effect. ``Conflict`` for a payment that took nothing or
        is disputed at the bank, and for more than is ``left``, refunds under way included; ``RefundFailed``
        when the provider does not pay it out.
        """
        require(who, Right.REFUND_PAYMENTS)
        sent = CommandKey(command.operation, command.key, {"payment_id": str(payment_id), **form.sent()})
        made_now: list[tuple[Payment, Refund]] = []

        async def visible(tx: "Transaction") -> None:
            await visible_payment(tx, who, payment_id)

        async def effect(tx: "Transaction") -> Made:
            made_now.append(await promise_refund(tx, payment_id, form))
            return Made(id=made_now[0][1].id)

        kept = await carry_out(self._database, who.tenant, sent, effect, first=visible)
        if made_now:
            await self._starter.begin_refund(*made_now[0], self._patience)
        async with self._database.transaction(who.tenant) as tx:
            refund = await tx.refunds.get(UUID(kept.body["id"]))
            shown = await payment_detail(tx, await tx.payments.get(payment_id))
        if refund.status in {"failed", "canceled"}:
            raise RefundFailed(
                f"the refund was not paid out ({refund.failure_code or refund.status}); nothing went back",
                refund_id=str(refund.id),
                failure_code=refund.failure_code,
            )
        status = CREATED if refund.status == "succeeded" else ACCEPTED
        return Answer(status, shown.model_dump(mode="json"))


async def promise_refund(tx: "Transaction", payment_id: UUID, form: RefundForm) -> "tuple[Payment, Refund]":
    """Record a refund, pending, under the locks of the account and then of its payment. ``Conflict`` as
    ``RefundService.refund``.
    """
    await tx.account_changes.lock((await tx.payments.get(payment_id)).account_id)
    payment = await tx.payments.lock(payment_id)
    status = PaymentStatus(payment.status)
    if status not in TAKEN:
        raise Conflict(
            f"the payment is {status.value.replace('_', ' ')}; only money that came in can go back",
            status_now=status.value,
        )
    if status is PaymentStatus.DISPUTED:
        raise Conflict(
            "the payer disputes the payment at the bank; it cannot be refunded as well until that is decided",
            status_now=status.value,
        )
    await _check_is_at_this_account(tx, payment)
    left = payment.amount - await tx.refunds.promised(payment_id)
    amount = left if form.amount is None else form.amount
    if amount > left or left <= 0:
        raise Conflict(
            f"only {left} {payment.currency} of the payment is left, refunds under way taken off",
            left=format(left, "f"),
        )
    refund = await tx.refunds.add(payment, amount, origin="request", reason=form.reason)
    await tx.audit.record(
        "refund.requested",
        "refund",
        refund.id,
        new={"account_id": payment.account_id, "payment_id": payment_id, "amount": amount},
    )
    return payment, refund


async def _check_is_at_this_account(tx: "Transaction", payment: "Payment") -> None:
    """``Conflict`` for what was taken at a Stripe account that the agency has left."""
    credentials = await tx.stripe_credentials.find() if payment.processor_account else None
    if credentials is not None and credentials.account_ref != payment.processor_account:
        raise Conflict(
            f"the payment was taken at the Stripe account {payment.processor_account}, and the agency's is"
            f" {credentials.account_ref} now; refund it from there, at Stripe, or put its credentials back",
            account_ref=payment.processor_account,
        )
