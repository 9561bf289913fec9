"""Promises to pay and offers to settle: at most one of each is open on an account."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select, text

from db.account_changes import LockedAccount
from db.keyset import Position, newest_first
from db.models import Promise, SettlementOffer
from db.received import received
from db.store import Store
from domain.errors import Conflict, NotFound

PromiseEnd = Literal["kept", "broken", "cancelled"]
OfferEnd = Literal["accepted", "expired", "cancelled"]


class PromiseStore(Store):
    """Promises of one agency's accounts."""

    async def make(self, account: LockedAccount, amount: Decimal, due_date: date) -> Promise:
        """Record a promise. The caller has ended the one before it."""
        promise = Promise(
            agency_id=self._agency_id,
            account_id=account.id,
            amount=amount,
            currency=account.currency,
            due_date=due_date,
            made_by=self._tenant.actor.name,
        )
        self._session.add(promise)
        await self._session.flush()
        await self._session.refresh(promise)
        return promise

    async def open_on(self, account_id: UUID) -> Promise | None:
        """The promise that is open on an account."""
        return await self._load(
            Promise, b"AND account_id = %(account)s AND status = 'open'", {"account": account_id}
        )

    async def end(self, promise: Promise, status: PromiseEnd) -> None:
        """Say what became of an open promise."""
        promise.status, promise.resolved_at = status, await self._now()
        await self._session.flush()

    async def received(self, promise: Promise, until: datetime) -> Decimal:
        """What was paid on the account since the promise was made and before ``until``, less reversals."""
        return await received(
            self._session, self._agency_id, promise.account_id, promise.made_at, until=until
        )

    async def page(self, account_id: UUID, position: Position | None, limit: int) -> Sequence[Promise]:
        """Promises of one account, newest first, keyed by ``(id,)``."""
        query = select(Promise).where(Promise.agency_id == self._agency_id, Promise.account_id == account_id)
        return (await self._session.scalars(newest_first(query, (Promise.id,), position, limit))).all()


class OfferStore(Store):
    """Settlement offers of one agency's accounts."""

    async def make(self, account: LockedAccount, **values: Any) -> SettlementOffer:
        """Record an offer: ``amount``, ``percent`` (or None), ``instalments``, ``expires_on``."""
        offer = SettlementOffer(
            agency_id=self._agency_id,
            account_id=account.id,
            currency=account.currency,
            made_by=self._tenant.actor.name,
            **values,
        )
        self._session.add(offer)
        await self._session.flush()
        await self._session.refresh(offer)
        return offer

    async def open_on(self, account_id: UUID) -> SettlementOffer | None:
        """The offer that is open on an account."""
        return await self._session.scalar(
            select(SettlementOffer).where(
                SettlementOffer.agency_id == self._agency_id,
                SettlementOffer.account_id == account_id,
                SettlementOffer.status == "open",
            )
        )

    async def accepted_on(self, account_id: UUID) -> SettlementOffer | None:
        """The offer that was accepted on an account and stands."""
        return await self._load(
            SettlementOffer, b"AND account_id = %(account)s AND status = 'accepted'", {"account": account_id}
        )

    async def kept_on(self, account_id: UUID) -> SettlementOffer | None:
        """The offer that was paid as agreed, and that an account is settled by."""
        return await self._session.scalar(
            select(SettlementOffer).where(
                SettlementOffer.agency_id == self._agency_id,
                SettlementOffer.account_id == account_id,
                SettlementOffer.status == "kept",
            )
        )

    async def keep(self, offer: SettlementOffer, write_off_id: UUID | None) -> None:
        """Say that an accepted offer was paid; the journal that forgave the rest, where there was one.

        ``resolved_at`` stays what it was: when the offer was accepted, from when on payments count.
        """
        offer.status, offer.write_off_id = "kept", write_off_id
        await self._session.flush()

    async def given_back(self, offer: SettlementOffer) -> Decimal:
        """What was paid after an offer was accepted, and went back since the rest was written off for it."""
        found = await self._session.scalar(
            _GIVEN_BACK,
            {
                "agency": self._agency_id,
                "account": offer.account_id,
                "write_off": offer.write_off_id,
                "since": offer.resolved_at,
            },
        )
        return Decimal(found)

    async def to_accept(self, account_id: UUID, offer_id: UUID) -> SettlementOffer:
        """An open offer of an account. ``NotFound``, or ``Conflict`` when it is open no more."""
        offer = await self._session.scalar(
            select(SettlementOffer).where(
                SettlementOffer.agency_id == self._agency_id,
                SettlementOffer.account_id == account_id,
                SettlementOffer.id == offer_id,
            )
        )
        if offer is None:
            raise NotFound("the account has no such offer")
        if offer.status != "open":
            raise Conflict(f"the offer is {offer.status}; make a new one", offer_status=offer.status)
        return offer

    async def end(self, offer: SettlementOffer, status: OfferEnd) -> None:
        """Say what became of an open offer."""
        offer.status, offer.resolved_at = status, await self._now()
        await self._session.flush()

    async def page(
        self, account_id: UUID, position: Position | None, limit: int
    ) -> Sequence[SettlementOffer]:
        """Offers of one account, newest first, keyed by ``(id,)``."""
        query = select(SettlementOffer).where(
            SettlementOffer.agency_id == self._agency_id, SettlementOffer.account_id == account_id
        )
        return (
            await self._session.scalars(newest_first(query, (SettlementOffer.id,), position, limit))
        ).all()


_GIVEN_BACK = text("""
    SELECT COALESCE(sum(CASE WHEN p.debit = 'receivable' THEN p.amount ELSE -p.amount END), 0)
      FROM posting p
      JOIN journal j ON j.agency_id = :agency AND j.id = p.journal_id
      JOIN journal paid ON paid.agency_id = :agency AND paid.id = j.reverses_id
      JOIN journal w ON w.agency_id = :agency AND w.id = :write_off
     WHERE p.agency_id = :agency AND p.account_id = :account AND 'receivable' IN (p.credit, p.debit)
       AND j.kind <> 'application' AND paid.kind IN ('payment', 'application')
       AND paid.occurred_at >= :since AND j.id > w.id
""")
# Ids of journals are in the order in which they were made, under the account's lock; ``created_at`` is when
# their transactions began.
