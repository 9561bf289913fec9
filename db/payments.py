"""Payments of one agency: asked for once, kept for good."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, text, update

from db.keyset import Position, newest_first
from db.models import Payment, PlanInstalment, StripeCredentials
from db.on_accounts import on_accounts
from db.received import received
from db.store import Store
from domain.accounts import OPEN_STATUSES, AccountStatus
from domain.errors import NotFound
from domain.holds import OF_THE_PERSON
from domain.payments import FORBIDS_PAYMENTS, UNFINISHED


class PaymentStore(Store):
    """Payments, and what is known of them at Stripe."""

    async def add(
        self,
        account_id: UUID,
        *,
        origin: str,
        key: str,
        amount: Decimal,
        currency: str,
        method: str,
        **more: Any,
    ) -> Payment:
        """Record a payment that is asked for, pending. The caller has claimed ``key`` (unique by origin)."""
        if more.get("processor_ref") is not None:
            more["processor_account"] = await self._session.scalar(self._account_ref())
        payment = Payment(
            agency_id=self._agency_id,
            account_id=account_id,
            origin=origin,
            idempotency_key=key,
            amount=amount,
            currency=currency,
            method=method,
            requested_by=self._tenant.actor.name,
            **more,
        )
        self._session.add(payment)
        await self._session.flush()
        await self._session.refresh(payment)
        return payment

    async def get(self, payment_id: UUID) -> Payment:
        """One payment. ``NotFound``."""
        return _there(await self._session.scalar(self._one(Payment.id == payment_id)))

    async def account_of(self, payment_id: UUID) -> UUID:
        """The account that a payment is on. ``NotFound``."""
        account_id = await self._session.scalar(
            select(Payment.account_id).where(Payment.agency_id == self._agency_id, Payment.id == payment_id)
        )
        if account_id is None:
            raise NotFound("there is no such payment")
        return account_id

    async def lock(self, payment_id: UUID) -> Payment:
        """One payment that this transaction alone may change. ``NotFound``.

        Whoever locks the account, too, has done so before.
        """
        query = self._one(Payment.id == payment_id).with_for_update(key_share=True)
        return _there(await self._session.scalar(query.execution_options(populate_existing=True)))

    async def by_processor_ref(self, intent_ref: str) -> Payment | None:
        """The payment that a Stripe intent is for."""
        return await self._session.scalar(self._one(Payment.processor_ref == intent_ref))

    async def by_key(self, origin: str, key: str) -> Payment | None:
        """The payment that was asked for with a key."""
        return await self._session.scalar(
            self._one((Payment.origin == origin) & (Payment.idempotency_key == key))
        )

    async def change(self, payment: Payment, **values: Any) -> None:
        """Write what has become known of a payment that the caller has locked."""
        for name, value in values.items():
            setattr(payment, name, value)
        if payment.processor_account is None and (payment.processor_ref or payment.checkout_ref):
            payment.processor_account = await self._session.scalar(self._account_ref())
        payment.updated_at = await self._now()
        await self._session.flush()

    async def note_intent(self, payment_id: UUID, intent_ref: str) -> str:
        """Store the intent that was made for a payment; the one that counts: the first."""
        noted = await self._session.scalar(
            update(Payment)
            .where(
                Payment.agency_id == self._agency_id,
                Payment.id == payment_id,
                Payment.processor_ref.is_(None),
            )
            .values(
                processor_ref=intent_ref,
                processor_account=self._account_ref().scalar_subquery(),
                updated_at=func.now(),
            )
            .returning(Payment.processor_ref)
        )
        return noted or (await self.get(payment_id)).processor_ref or intent_ref

    async def reserved(self, account_id: UUID) -> Decimal:
        """What payments that nobody knows the end of yet may take of an account's balance.

        A link is left out: nobody may ever pay on it.
        """
        total = await self._session.scalar(
            select(func.sum(Payment.amount)).where(
                Payment.agency_id == self._agency_id,
                Payment.account_id == account_id,
                Payment.status.in_(sorted(UNFINISHED)),
                Payment.origin != "link",
            )
        )
        return total or Decimal(0)

    async def unwanted(
        self, limit: int, *, after: UUID | None = None, person_of: UUID | None = None
    ) -> Sequence[Payment]:
        """Payments behind ``after``, by id, that took nothing yet and are to take nothing any more: somebody
        took the request back, or their page is open though its account takes no payments now.

        ``person_of``: only those of the person who owes on this account.
        """
        values = {
            "agency": self._agency_id,
            "after": after,
            "account": person_of,
            "takes": sorted(OPEN_STATUSES - {AccountStatus.DISPUTED}),
            "forbidding": sorted(FORBIDS_PAYMENTS),
            "personal": sorted(OF_THE_PERSON),
            "limit": limit,
        }
        found = select(Payment).from_statement(_UNWANTED)
        return (await self._session.scalars(found, values)).all()

    async def plans(self, payments: Collection[Payment]) -> dict[UUID, UUID]:
        """The plan that each instalment of these payments is of."""
        instalments = {payment.instalment_id for payment in payments if payment.instalment_id is not None}
        if not instalments:
            return {}
        rows = await self._session.execute(
            select(PlanInstalment.id, PlanInstalment.plan_id).where(
                PlanInstalment.agency_id == self._agency_id, PlanInstalment.id.in_(instalments)
            )
        )
        return {row.id: row.plan_id for row in rows}

    async def page(
        self,
        position: Position | None,
        limit: int,
        *,
        account_id: UUID | None = None,
        statuses: Collection[str] = (),
        only_for: UUID | None = None,
    ) -> Sequence[Payment]:
        """Payments, newest first, keyed by ``(id,)``; ``only_for``: of a collector's accounts."""
        query = on_accounts(Payment, self._agency_id, account_id, statuses, only_for)
        return (await self._session.scalars(newest_first(query, (Payment.id,), position, limit))).all()

    async def received_since(self, account_id: UUID, since: datetime) -> Decimal:
        """What was paid on an account since a moment, less what of that went back: its part of the debt."""
        return await received(self._session, self._agency_id, account_id, since)

    def _account_ref(self) -> "Select[str]":
        """The Stripe account that is the agency's now."""
        return select(StripeCredentials.account_ref).where(StripeCredentials.agency_id == self._agency_id)

    def _one(self, condition: ColumnElement[bool]) -> "Select[Payment]":
        return select(Payment).where(Payment.agency_id == self._agency_id, condition)


_UNWANTED = text("""
    SELECT p.* FROM payment p JOIN account a ON a.agency_id = :agency AND a.id = p.account_id
     WHERE p.agency_id = :agency AND p.status IN ('pending', 'requires_action')
       AND (CAST(:after AS uuid) IS NULL OR p.id > CAST(:after AS uuid))
       AND (CAST(:account AS uuid) IS NULL OR a.debtor_id = (
            SELECT debtor_id FROM account WHERE agency_id = :agency AND id = CAST(:account AS uuid)))
       AND (p.cancel_requested_at IS NOT NULL OR p.checkout_ref IS NOT NULL AND (
            a.status <> ALL (:takes)
            OR EXISTS (
                SELECT FROM dispute d
                 WHERE d.agency_id = :agency AND d.account_id = a.id AND d.status = 'open' AND d.in_period)
            OR EXISTS (
                SELECT FROM hold h
                 WHERE h.agency_id = :agency AND h.released_at IS NULL AND h.kind = ANY (:forbidding)
                   AND (h.account_id = a.id OR h.debtor_id = a.debtor_id AND h.kind = ANY (:personal)))))
     ORDER BY p.id LIMIT :limit
""")


def _there(payment: Payment | None) -> Payment:
    if payment is None:
        raise NotFound("there is no such payment")
    return payment
