"""Accounts as their lifecycles see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from db.store import Store
from domain.errors import NotFound


@dataclass(frozen=True, slots=True)
class LifecycleView:
    """Status and version of an account, and when something last happened on it."""

    status: str
    version: int
    last_event_at: datetime


class LifecycleStore(Store):
    """What an ``AccountLifecycle`` reads and notes."""

    async def view(self, account_id: UUID) -> LifecycleView:
        """The account now. Raises ``NotFound``."""
        row = (
            await self._session.execute(_VIEW, {"agency": self._agency_id, "account": account_id})
        ).one_or_none()
        if row is None:
            raise NotFound("there is no such account")
        return LifecycleView(row.status, row.version, row.last_event_at)

    async def note_follow_up(self, account_id: UUID, *, due_at: datetime, idle_since: datetime) -> bool:
        """Add a follow-up event unless something has happened after ``idle_since``.

        False when there was no need: the account was touched, or the follow-up is there already.
        """
        values = {
            "agency": self._agency_id,
            "account": account_id,
            "due": due_at,
            "since": idle_since,
            "actor": self._tenant.actor.name,
        }
        # Locked by a statement of its own: the next one then sees what a concurrent call has noted.
        await self._session.execute(_LOCK, values)
        return await self._session.scalar(_FOLLOW_UP, values) is not None

    async def notify(self, account_ids: Sequence[UUID]) -> None:
        """Note that these accounts were changed beside their lifecycles, which are to be told of it.

        In the transaction of the change, so that none is forgotten.
        """
        if account_ids:
            await self._session.execute(_NOTIFY, {"agency": self._agency_id, "accounts": sorted(account_ids)})


_VIEW = text("""
    SELECT a.status, a.version,
           COALESCE((SELECT max(e.at) FROM timeline_event e
                      WHERE e.agency_id = :agency AND e.account_id = a.id), a.created_at) AS last_event_at
      FROM account a WHERE a.agency_id = :agency AND a.id = :account
""")

_NOTIFY = text("""
    INSERT INTO lifecycle_notice (agency_id, account_id)
    SELECT :agency, account_id FROM unnest(CAST(:accounts AS uuid[])) AS account_id ORDER BY account_id
    ON CONFLICT (account_id) DO UPDATE SET noted_at = excluded.noted_at
""")

_LOCK = text("SELECT FROM account WHERE agency_id = :agency AND id = :account FOR NO KEY UPDATE")

_FOLLOW_UP = text("""
    INSERT INTO timeline_event (agency_id, account_id, kind, description, actor, details)
    SELECT :agency, a.id, 'follow_up', 'Nothing has happened for a while: follow up', :actor,
           jsonb_build_object('due_at', CAST(:due AS timestamptz))
      FROM account a
     WHERE a.agency_id = :agency AND a.id = :account
       AND NOT EXISTS (SELECT FROM timeline_event e
                        WHERE e.agency_id = :agency AND e.account_id = a.id AND e.at > :since)
    RETURNING id
""")
