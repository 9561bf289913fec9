"""Payments of one agency: asked for once, kept for good."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select, text

from db.keyset import Position, newest_first
from db.models import Payment, PlanInstalment
from db.on_accounts import on_accounts
from db.received import received
from db.rows import columns_of, commit, in_session, rows_of
from db.store import Store
from domain.accounts import OPEN_STATUSES, AccountStatus
from domain.errors import NotFound
from domain.holds import OF_THE_PERSON
from domain.payments import FORBIDS_PAYMENTS, UNFINISHED

if TYPE_CHECKING:
    from db.readings import Readings


class PaymentReadings:
    """Payments of one agency, each read, or noted, by itself."""

    def __init__(self, readings: "Readings") -> None:
        self._readings = readings

    async def get(self, payment_id: UUID) -> Payment:
        """One payment; no session knows it. ``NotFound``."""
        values = {"agency": self._readings.tenant.agency_id, "payment": payment_id}
        rows = await self._readings.rows(rows_of(Payment) + b"AND id = %(payment)s", values)
        return _there(Payment(**dict(zip(columns_of(Payment), rows[0], strict=True))) if rows else None)

    async def look_at(self, payment_id: UUID) -> tuple[Payment, bool]:
        """As ``get``, and whether there is more to tell of it: a plan, a refund, a chargeback."""
        values = {"agency": self._readings.tenant.agency_id, "payment": payment_id}
        rows = await self._readings.rows(_LOOK_AT, values)
        if not rows:
            raise NotFound("there is no such payment")
        *row, went_back = rows[0]
        payment = Payment(**dict(zip(columns_of(Payment), row, strict=True)))
        return payment, went_back or payment.instalment_id is not None

    async def note_intent(self, payment_id: UUID, intent_ref: str) -> str:
        """Store the intent that was made for a payment; the one that counts: the first."""
        values = {"agency": self._readings.tenant.agency_id, "payment": payment_id, "intent": intent_ref}
        if await self._readings.rows(_NOTE_INTENT, values):
            return intent_ref
        return (await self.get(payment_id)).processor_ref or intent_ref


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
            more["processor_account"] = await self._fetch_value(_ACCOUNT_REF, {"agency": self._agency_id})
        values = {
            "agency_id": self._agency_id,
            "account_id": account_id,
            "origin": origin,
            "idempotency_key": key,
            "amount": amount,
            "currency": currency,
            "method": method,
            "requested_by": self._tenant.actor.name,
            **more,
        }
        await self._flush()
        [row] = await self._fetch(_add(tuple(values)), values)
        return in_session(self._session, Payment, row)

    async def get(self, payment_id: UUID) -> Payment:
        """One payment. ``NotFound``."""
        return _there(await self._load(Payment, b"AND id = %(payment)s", {"payment": payment_id}))

    async def account_of(self, payment_id: UUID) -> UUID:
        """The account that a payment is on. ``NotFound``."""
        values = {"agency": self._agency_id, "payment": payment_id}
        account_id: UUID | None = await self._fetch_value(_ACCOUNT_OF, values)
        if account_id is None:
            raise NotFound("there is no such payment")
        return account_id

    async def lock(self, payment_id: UUID) -> Payment:
        """One payment that this transaction alone may change. ``NotFound``.

        Whoever locks the account, too, has done so before.
        """
        lock = b"AND id = %(payment)s FOR NO KEY UPDATE"
        return _there(await self._load(Payment, lock, {"payment": payment_id}, anew=True))

    async def by_processor_ref(self, intent_ref: str) -> Payment | None:
        """The payment that a Stripe intent is for."""
        return await self._session.scalar(self._one(Payment.processor_ref == intent_ref))

    async def change(self, payment: Payment, **values: Any) -> None:
        """Write what has become known of a payment that the caller has locked."""
        await self._flush()
        known = {"processor_ref": payment.processor_ref, "checkout_ref": payment.checkout_ref, **values}
        if payment.processor_account is None and (known["processor_ref"] or known["checkout_ref"]):
            values["processor_account"] = await self._fetch_value(_ACCOUNT_REF, {"agency": self._agency_id})
        named = {"agency": self._agency_id, "payment": payment.id, "now": await self._now()}
        await self._send(_change(tuple(values)), {**values, **named})
        commit(payment, {**values, "updated_at": named["now"]})

    async def reserved(self, account_id: UUID) -> Decimal:
        """What payments that nobody knows the end of yet may take of an account's balance.

        A link is left out: nobody may ever pay on it.
        """
        values = {"agency": self._agency_id, "account": account_id, "unfinished": _UNFINISHED}
        total: Decimal | None = await self._fetch_value(_RESERVED, values)
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


_COLUMNS = ", ".join(columns_of(Payment))
_UNFINISHED = sorted(status.value for status in UNFINISHED)

_LOOK_AT = f"""
    SELECT {_COLUMNS}, EXISTS (
               SELECT FROM refund r WHERE r.agency_id = %(agency)s AND r.payment_id = %(payment)s)
        OR EXISTS (SELECT FROM chargeback c WHERE c.agency_id = %(agency)s AND c.payment_id = %(payment)s)
      FROM payment WHERE agency_id = %(agency)s AND id = %(payment)s
""".encode()

_ACCOUNT_OF = b"SELECT account_id FROM payment WHERE agency_id = %(agency)s AND id = %(payment)s"

_ACCOUNT_REF = b"SELECT account_ref FROM stripe_credentials WHERE agency_id = %(agency)s"
"""The Stripe account that is the agency's now."""

_NOTE_INTENT = b"""
    UPDATE payment SET processor_ref = %(intent)s, updated_at = now(), processor_account = (
           SELECT account_ref FROM stripe_credentials WHERE agency_id = %(agency)s)
     WHERE agency_id = %(agency)s AND id = %(payment)s AND processor_ref IS NULL
    RETURNING processor_ref
"""

_RESERVED = b"""
    SELECT sum(amount) FROM payment
     WHERE agency_id = %(agency)s AND account_id = %(account)s AND status = ANY (%(unfinished)s)
       AND origin <> 'link'
"""


@lru_cache(maxsize=64)
def _add(columns: tuple[str, ...]) -> bytes:
    """The statement that inserts these columns; the names are the caller's, never a user's."""
    values = ", ".join(f"%({column})s" for column in _known(columns))
    return f"INSERT INTO payment ({', '.join(columns)}) VALUES ({values}) RETURNING {_COLUMNS}".encode()


@lru_cache(maxsize=64)
def _change(columns: tuple[str, ...]) -> bytes:
    """The statement that writes these columns, as ``_add``."""
    written = "".join(f"{column} = %({column})s, " for column in _known(columns))
    return f"""
        UPDATE payment SET {written}updated_at = %(now)s
         WHERE agency_id = %(agency)s AND id = %(payment)s""".encode()


def _known(columns: tuple[str, ...]) -> tuple[str, ...]:
    if not set(columns) <= set(columns_of(Payment)):
        raise LookupError(f"a payment has no such columns: {', '.join(columns)}")
    return columns
