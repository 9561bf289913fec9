"""Accounts as their lifecycles see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert as upsert

from db.lifecycle_views import LifecycleView, view_of, view_query
from db.models import AccountMilestone
from db.store import Store

NoticeSignal = Literal["account_changed", "payment_posted", "payment_reversed"]
"""What a lifecycle is told: a signal of ``AccountLifecycle``."""


class LifecycleStore(Store):
    """What an ``AccountLifecycle`` reads and notes."""

    async def view(self, account_id: UUID) -> LifecycleView:
        """The account now. Raises ``NotFound``."""
        statement, values = view_query(self._agency_id, account_id)
        cursor = await (await self._driver()).execute(statement, values)
        return view_of(await cursor.fetchall())

    async def mark_admitted(self, account_id: UUID) -> None:
        """Mark that a workflow runs for an account which a command has reached before its turn."""
        await self._session.execute(_ADMITTED, {"agency": self._agency_id, "account": account_id})

    async def note_milestone(self, account_id: UUID, kind: str, due_at: datetime) -> bool:
        """Note that a deadline was reached; False when that was noted before."""
        noted = await self._session.scalar(
            upsert(AccountMilestone)
            .values(account_id=account_id, agency_id=self._agency_id, kind=kind, due_at=due_at)
            .on_conflict_do_nothing()
            .returning(AccountMilestone.kind)
        )
        return noted is not None

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

    async def notify(self, account_ids: Sequence[UUID], signal: NoticeSignal = "account_changed") -> None:
        """Note that these accounts were changed beside their lifecycles, which are to be told of it.

        In the transaction of the change, so that none is forgotten.
        """
        if account_ids:
            values = {"agency": self._agency_id, "accounts": sorted(account_ids), "signal": signal}
            await self._send(_NOTIFY, values)

    async def notify_all_worked(self) -> None:
        """``notify`` of every account of the agency that is worked: their deadlines have moved at once."""
        await self._session.execute(_NOTIFY_WORKED, {"agency": self._agency_id})


_ADMITTED = text("""
    UPDATE account SET admitted_at = now(), released_at = NULL
     WHERE agency_id = :agency AND id = :account AND status NOT IN ('settled', 'closed')
       AND (admitted_at IS NULL OR released_at IS NOT NULL)
""")

_NOTIFY = b"""
    INSERT INTO lifecycle_notice (agency_id, account_id, signal)
    SELECT %(agency)s, account_id, %(signal)s
      FROM unnest(%(accounts)s::uuid[]) AS account_id ORDER BY account_id
    ON CONFLICT (account_id) DO UPDATE
       SET noted_at = excluded.noted_at,
           signal = CASE WHEN excluded.signal = 'account_changed' THEN lifecycle_notice.signal
                         ELSE excluded.signal END
"""

_NOTIFY_WORKED = text("""
    INSERT INTO lifecycle_notice (agency_id, account_id)
    SELECT :agency, id FROM account
     WHERE agency_id = :agency AND admitted_at IS NOT NULL AND released_at IS NULL ORDER BY id
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
