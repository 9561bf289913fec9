"""Holds on accounts, and on the people who owe."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import Date, cast, func, or_, select

from db.account_changes import LockedAccount
from db.keyset import Position, newest_first
from db.models import Account, Hold
from db.store import Store
from domain.deadlines import LAST_ZONE
from domain.errors import Conflict, NotFound
from domain.holds import OF_THE_PERSON, STOPS_WORK_ON_ALL, HoldKind

_PERSONAL = sorted(kind.value for kind in OF_THE_PERSON)
_IN_FORCE = b"""
    AND released_at IS NULL
    AND (account_id = %(account)s OR debtor_id = %(debtor)s AND kind = ANY (%(personal)s))
    ORDER BY id
"""


def _elsewhere(hold: Hold, account: LockedAccount) -> str:
    return "" if hold.account_id == account.id else ", placed on another account of the person"


class HoldStore(Store):
    """Holds of one agency's accounts; those that were released stay on record."""

    async def place(self, account: LockedAccount, kind: HoldKind, reason: str, until: date | None) -> Hold:
        """Put a hold in force. ``Conflict`` when one of its kind holds the account, wherever placed."""
        for standing in await self.in_force(account):
            if standing.kind == kind.value:
                raise Conflict(
                    f"a hold “{kind}” is in force already{_elsewhere(standing, account)}; end it first,"
                    " where it should be another",
                    field="kind",
                    hold_id=str(standing.id),
                    account_id=str(standing.account_id),
                )
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
        await self._session.flush()
        await self._session.refresh(hold)
        return hold

    async def release(self, hold: Hold) -> Hold:
        """End a hold."""
        hold.released_at = await self._now()
        hold.released_by = self._tenant.actor.name
        await self._session.flush()
        return hold

    async def in_force(self, account: LockedAccount | Account) -> Sequence[Hold]:
        """What holds an account now: its own holds, and the person's that were placed on any account."""
        return await self._load_all(
            Hold,
            _IN_FORCE,
            {"account": account.id, "debtor": account.debtor_id, "personal": _PERSONAL},
        )

    async def to_release(self, account: LockedAccount, kind: HoldKind) -> Sequence[Hold]:
        """What holds an account for a reason: one of its own, and those of the person on any account.

        Its own comes first. ``NotFound`` when none is in force.
        """
        found = [hold for hold in await self.in_force(account) if hold.kind == kind.value]
        if not found:
            raise NotFound(f"no hold “{kind}” is in force on this account")
        return sorted(found, key=lambda hold: hold.account_id != account.id)

    async def overdue(self, limit: int) -> Sequence[Hold]:
        """Holds in force whose last day is over (``domain.deadlines.hold_deadline``), the oldest first."""
        today = cast(func.timezone(LAST_ZONE, func.now()), Date)
        query = select(Hold).where(
            Hold.agency_id == self._agency_id, Hold.released_at.is_(None), Hold.until < today
        )
        return (await self._session.scalars(query.order_by(Hold.id).limit(limit))).all()

    async def unheeded(self, limit: int) -> Sequence[UUID]:
        """Accounts that are worked though their person is held.

        A file may place one in the same moment in which the hold is put in force: neither sees the other.
        """
        query = (
            select(Account.id)
            .where(
                Account.agency_id == self._agency_id,
                Account.debtor_id == Hold.debtor_id,
                Account.held.is_(False),
                Hold.agency_id == self._agency_id,
                Hold.released_at.is_(None),
                Hold.kind.in_(sorted(STOPS_WORK_ON_ALL)),
            )
            .order_by(Account.id)
        )
        return (await self._session.scalars(query.distinct().limit(limit))).all()

    async def page(self, account_id: UUID, position: Position | None, limit: int) -> Sequence[Hold]:
        """Holds of one account, also those that are over, newest first, keyed by ``(id,)``.

        Those of the person are among them, on whichever of the debtor's accounts they were placed.
        """
        debtor = select(Account.debtor_id).where(
            Account.agency_id == self._agency_id, Account.id == account_id
        )
        holds = select(Hold).where(
            Hold.agency_id == self._agency_id,
            Hold.debtor_id == debtor.scalar_subquery(),
            or_(Hold.account_id == account_id, Hold.kind.in_(sorted(OF_THE_PERSON))),
        )
        return (await self._session.scalars(newest_first(holds, (Hold.id,), position, limit))).all()
