"""Disputes of debts; at most one is open on an account."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import Select, select

from db.account_changes import LockedAccount
from db.keyset import Position, newest_first
from db.models import Dispute
from db.store import Store
from domain.errors import Conflict, NotFound


class DisputeStore(Store):
    """Disputes of one agency's accounts."""

    async def record(
        self,
        account: LockedAccount,
        reason: str,
        received_on: date,
        *,
        in_writing: bool,
        in_period: bool,
        duplicate_of: UUID | None,
    ) -> Dispute:
        """Record a dispute, also one that repeats the answered one ``duplicate_of``."""
        dispute = Dispute(
            agency_id=self._agency_id,
            account_id=account.id,
            reason=reason,
            received_on=received_on,
            in_writing=in_writing,
            in_period=in_period,
            duplicate_of=duplicate_of,
            recorded_by=self._tenant.actor.name,
        )
        self._session.add(dispute)
        await self._session.flush()
        await self._session.refresh(dispute)
        return dispute

    async def open_on(self, account_id: UUID) -> Dispute | None:
        """The dispute that is open on an account."""
        return await self._load(
            Dispute, b"AND account_id = %(account)s AND status = 'open'", {"account": account_id}
        )

    async def to_answer(self, account_id: UUID, dispute_id: UUID) -> Dispute:
        """An open dispute of an account. ``NotFound``, or ``Conflict`` when it is open no more."""
        dispute = await self._session.scalar(self._of(account_id).where(Dispute.id == dispute_id))
        if dispute is None:
            raise NotFound("the account has no such dispute")
        if dispute.status != "open":
            raise Conflict(f"the dispute is {dispute.status} already", dispute_status=dispute.status)
        return dispute

    async def answered(self, account_id: UUID) -> Sequence[Dispute]:
        """Disputes of an account that were answered with a verification, the latest first."""
        query = self._of(account_id).where(
            Dispute.status == "answered", Dispute.outcome.in_(["verified", "corrected"])
        )
        return (await self._session.scalars(query.order_by(Dispute.id.desc()))).all()

    async def answer(self, dispute: Dispute, outcome: str, verification_sent_on: date | None) -> None:
        """Write the answer to an open dispute. ``Conflict`` when what repeats none is to be duplicative."""
        if outcome == "duplicative" and dispute.duplicate_of is None:
            raise Conflict(
                "the dispute repeats none that was answered in writing; answer it by what it says",
                dispute_id=str(dispute.id),
            )
        dispute.status, dispute.outcome = "answered", outcome
        dispute.verification_sent_on = verification_sent_on
        dispute.answered_at, dispute.answered_by = await self._now(), self._tenant.actor.name
        await self._session.flush()

    async def cancel(self, dispute: Dispute) -> None:
        """The account is closed: there is nothing left to answer for."""
        dispute.status, dispute.answered_at = "cancelled", await self._now()
        await self._session.flush()

    async def reopen(self, account_id: UUID) -> Dispute | None:
        """Open the latest dispute again that ended unanswered, in time and in writing, with its account.

        None when there is none: then nothing keeps collection from going on (12 CFR 1006.38(d)(2)).
        """
        dispute = await self._session.scalar(self._of(account_id).order_by(Dispute.id.desc()).limit(1))
        if dispute is None or dispute.status != "cancelled" or not dispute.in_period:
            return None
        dispute.status, dispute.answered_at = "open", None
        await self._session.flush()
        return dispute

    async def page(self, account_id: UUID, position: Position | None, limit: int) -> Sequence[Dispute]:
        """Disputes of one account, newest first, keyed by ``(id,)``."""
        query = newest_first(self._of(account_id), (Dispute.id,), position, limit)
        return (await self._session.scalars(query)).all()

    def _of(self, account_id: UUID) -> Select[Dispute]:
        return select(Dispute).where(Dispute.agency_id == self._agency_id, Dispute.account_id == account_id)
