"""Refunds and chargebacks: how payments go back."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select

from db.models import Chargeback, Payment, Refund
from db.store import Store
from domain.errors import NotFound

STANDS = ("pending", "succeeded")
"""Refunds that are, or may still be, paid out."""

_OF_PAYMENT = b"AND payment_id = %(payment)s ORDER BY id DESC"


class RefundStore(Store):
    """Refunds of one agency's payments. Who changes one has locked its payment."""

    async def add(
        self, payment: Payment, amount: Decimal, *, origin: str, reason: str | None = None, **more: Any
    ) -> Refund:
        """Record a refund, pending."""
        refund = Refund(
            agency_id=self._agency_id,
            payment_id=payment.id,
            origin=origin,
            amount=amount,
            currency=payment.currency,
            reason=reason,
            requested_by=self._tenant.actor.name,
            **more,
        )
        self._session.add(refund)
        await self._session.flush()
        await self._session.refresh(refund)
        return refund

    async def get(self, refund_id: UUID) -> Refund:
        """One refund, as it is now. ``NotFound``."""
        refund = await self._session.scalar(
            self._where(Refund.id == refund_id).execution_options(populate_existing=True)
        )
        if refund is None:
            raise NotFound("there is no such refund")
        return refund

    async def by_processor_ref(self, refund_ref: str) -> Refund | None:
        """The refund that Stripe has under this id."""
        return await self._session.scalar(self._where(Refund.processor_ref == refund_ref))

    async def of(self, payment_id: UUID) -> Sequence[Refund]:
        """Every refund of a payment, newest first."""
        return await self._load_all(Refund, _OF_PAYMENT, {"payment": payment_id})

    async def promised(self, payment_id: UUID) -> Decimal:
        """What of a payment was, or may still be, paid out."""
        total = await self._session.scalar(
            select(func.sum(Refund.amount)).where(
                Refund.agency_id == self._agency_id,
                Refund.payment_id == payment_id,
                Refund.status.in_(STANDS),
            )
        )
        return total or Decimal(0)

    async def change(self, refund: Refund, **values: Any) -> None:
        """Write what has become known of a refund."""
        for name, value in values.items():
            setattr(refund, name, value)
        refund.updated_at = await self._now()
        await self._session.flush()

    def _where(self, condition: ColumnElement[bool]) -> "Select[Refund]":
        return select(Refund).where(Refund.agency_id == self._agency_id, condition)


class ChargebackStore(Store):
    """Chargebacks of one agency's payments. Who changes one has locked its payment."""

    async def add(self, payment: Payment, **values: Any) -> Chargeback:
        """Record a dispute that Stripe tells of: ``processor_ref``, ``amount``, ``status``, ``reason``, …"""
        chargeback = Chargeback(
            agency_id=self._agency_id, payment_id=payment.id, currency=payment.currency, **values
        )
        self._session.add(chargeback)
        await self._session.flush()
        await self._session.refresh(chargeback)
        return chargeback

    async def by_processor_ref(self, dispute_ref: str) -> Chargeback | None:
        """The chargeback that Stripe has under this id, as it is now."""
        return await self._session.scalar(
            self._where(Chargeback.processor_ref == dispute_ref).execution_options(populate_existing=True)
        )

    async def of(self, payment_id: UUID) -> Sequence[Chargeback]:
        """Every chargeback of a payment, newest first."""
        return await self._load_all(Chargeback, _OF_PAYMENT, {"payment": payment_id})

    async def on_account(self, account_id: UUID) -> Sequence[Chargeback]:
        """Every chargeback of an account's payments, the oldest first."""
        theirs = (Payment.agency_id == Chargeback.agency_id) & (Payment.id == Chargeback.payment_id)
        query = select(Chargeback).join(Payment, theirs)
        query = query.where(Payment.agency_id == self._agency_id, Payment.account_id == account_id)
        return (await self._session.scalars(query.order_by(Chargeback.id))).all()

    async def change(self, chargeback: Chargeback, **values: Any) -> None:
        """Write what has become known of a chargeback."""
        for name, value in values.items():
            setattr(chargeback, name, value)
        chargeback.updated_at = await self._now()
        await self._session.flush()

    def _where(self, condition: ColumnElement[bool]) -> "Select[Chargeback]":
        return select(Chargeback).where(Chargeback.agency_id == self._agency_id, condition)
