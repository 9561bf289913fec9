"""Holds on accounts, and on the people who owe."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select

from db.account_changes import LockedAccount
from db.changes import unique
from db.keyset import Position, newest_first
from db.models import Hold
from db.store import Store
from domain.errors import NotFound
from domain.holds import OF_THE_PERSON, HoldKind

_TAKEN = {"uq_hold_in_force": ("kind", "this hold is in force on the account already")}


class HoldStore(Store):
    """Holds of one agency's accounts; those that were released stay on record."""

    async def place(self, account: LockedAccount, kind: HoldKind, reason: str, until: date | None) -> Hold:
        """Put a hold in force. ``Conflict`` when the account has one of this kind."""
        hold = Hold(
            agency_id=self._agency_id,
            account_id=account.id,
            debtor_id=account.debtor_id,
            kind=kind.value,
            reason=reason,
            until=until,
            placed_by=self._tenant.actor.name,
        )
        self._session.add(hold)
        with unique(_TAKEN):
            await self._session.flush()
        await self._session.refresh(hold)
        return hold

    async def release(self, hold: Hold) -> Hold:
        """End a hold."""
        hold.released_at = await self._now()
        hold.released_by = self._tenant.actor.name
        await self._session.flush()
        return hold

    async def in_force(self, account: LockedAccount) -> Sequence[Hold]:
        """What holds an account now: its own holds, and the person's that were placed on any account."""
        return await self._found(
            or_(
                Hold.account_id == account.id,
                (Hold.debtor_id == account.debtor_id) & Hold.kind.in_(sorted(OF_THE_PERSON)),
            )
        )

    async def to_release(self, account: LockedAccount, kind: HoldKind) -> Hold:
        """The hold of a kind on this account, or the person's, which may have been placed on another.

        ``NotFound`` when none is in force.
        """
        found = [hold for hold in await self.in_force(account) if hold.kind == kind.value]
        if not found:
            raise NotFound(f"no hold “{kind}” is in force on this account")
        return min(found, key=lambda hold: hold.account_id != account.id)

    async def page(self, account_id: UUID, position: Position | None, limit: int) -> Sequence[Hold]:
        """Holds of one account, also those that are over, newest first, keyed by ``(id,)``."""
        holds = select(Hold).where(Hold.agency_id == self._agency_id, Hold.account_id == account_id)
        return (await self._session.scalars(newest_first(holds, (Hold.id,), position, limit))).all()

    async def _found(self, condition: ColumnElement[bool]) -> Sequence[Hold]:
        holds = select(Hold).where(Hold.agency_id == self._agency_id, Hold.released_at.is_(None), condition)
        return (await self._session.scalars(holds.order_by(Hold.id))).all()
