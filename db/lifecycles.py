"""Accounts as their lifecycles see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert as upsert

from db.models import AccountMilestone
from db.store import Store
from domain.errors import NotFound
from domain.holds import OF_THE_PERSON

NoticeSignal = Literal["account_changed", "payment_posted", "payment_reversed"]
"""What a lifecycle is told: a signal of ``AccountLifecycle``."""


@dataclass(frozen=True, slots=True)
class LifecycleView:
    """What an account's lifecycle waits for is derived from this; dates are the agency's, in ``zone``.

    ``holds`` are the kinds in force on the account or the person, ``hold_ends`` those of them that end by
    themselves: the account that a person's hold was placed on may be closed by then. ``noted`` are
    deadlines that were reached and noted: name and time.
    """

    status: str
    version: int
    last_event_at: datetime
    zone: str
    rule_set: str
    state: str | None
    account_type: str | None
    limitation_since: date | None
    holds: Sequence[str]
    hold_ends: Sequence[tuple[UUID, date]]
    promise: tuple[UUID, date] | None
    offer: tuple[UUID, date] | None
    dispute: tuple[UUID, date] | None
    validation_sent_on: date | None
    noted: frozenset[tuple[str, datetime]]


class LifecycleStore(Store):
    """What an ``AccountLifecycle`` reads and notes."""

    async def view(self, account_id: UUID) -> LifecycleView:
        """The account now. Raises ``NotFound``."""
        values = {
            "agency": self._agency_id,
            "account": account_id,
            "personal": sorted(OF_THE_PERSON),
        }
        row = (await self._session.execute(_VIEW, values)).one_or_none()
        if row is None:
            raise NotFound("there is no such account")
        pending = (await self._session.execute(_PENDING, values)).all()
        found = {kind: (subject, day) for kind, subject, day in pending}
        noted = (await self._session.execute(_NOTED, values)).all()
        return LifecycleView(
            status=row.status,
            version=row.version,
            last_event_at=row.last_event_at,
            zone=row.time_zone,
            rule_set=row.rule_set,
            state=row.state,
            account_type=row.account_type,
            limitation_since=row.limitation_since,
            holds=tuple(row.holds or ()),
            hold_ends=tuple((subject, day) for kind, subject, day in pending if kind == "hold"),
            promise=found.get("promise"),
            offer=found.get("offer"),
            dispute=found.get("dispute"),
            validation_sent_on=row.validation_sent_on,
            noted=frozenset((kind, at) for kind, at in noted),
        )

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
            await self._session.execute(_NOTIFY, values)

    async def notify_all_worked(self) -> None:
        """``notify`` of every account of the agency that is worked: their deadlines have moved at once."""
        await self._session.execute(_NOTIFY_WORKED, {"agency": self._agency_id})


_VIEW = text("""
    SELECT a.status, a.version, g.time_zone, g.rule_set, d.state, a.account_type,
           COALESCE(a.last_payment_date, a.charge_off_date, a.due_date) AS limitation_since,
           COALESCE((SELECT max(e.at) FROM timeline_event e
                      WHERE e.agency_id = :agency AND e.account_id = a.id), a.created_at) AS last_event_at,
           (SELECT array_agg(DISTINCT h.kind ORDER BY h.kind) FROM hold h
             WHERE h.agency_id = :agency AND h.debtor_id = a.debtor_id AND h.released_at IS NULL
               AND (h.account_id = a.id OR h.kind = ANY(:personal))) AS holds,
           (SELECT CAST(min(c.at) AT TIME ZONE g.time_zone AS date) FROM contact c
             WHERE c.agency_id = :agency AND c.account_id = a.id AND c.purpose = 'validation_notice'
               AND c.direction = 'outbound' AND c.channel IN ('letter', 'email')) AS validation_sent_on
      FROM account a
      JOIN debtor d ON d.agency_id = :agency AND d.id = a.debtor_id
      JOIN agency g ON g.id = :agency
     WHERE a.agency_id = :agency AND a.id = :account
""")

_PENDING = text("""
    SELECT 'promise', id, due_date FROM promise
     WHERE agency_id = :agency AND account_id = :account AND status = 'open'
    UNION ALL
    SELECT 'offer', id, expires_on FROM settlement_offer
     WHERE agency_id = :agency AND account_id = :account AND status = 'open'
    UNION ALL
    SELECT 'dispute', id, received_on FROM dispute
     WHERE agency_id = :agency AND account_id = :account AND status = 'open'
    UNION ALL
    SELECT 'hold', h.id, h.until FROM hold h JOIN account a ON a.agency_id = :agency AND a.id = :account
     WHERE h.agency_id = :agency AND h.debtor_id = a.debtor_id AND h.released_at IS NULL
       AND h.until IS NOT NULL AND (h.account_id = a.id OR h.kind = ANY(:personal))
""")

_NOTED = text("""
    SELECT kind, due_at FROM account_milestone WHERE agency_id = :agency AND account_id = :account
""")

_ADMITTED = text("""
    UPDATE account SET admitted_at = now(), released_at = NULL
     WHERE agency_id = :agency AND id = :account AND status NOT IN ('settled', 'closed')
       AND (admitted_at IS NULL OR released_at IS NOT NULL)
""")

_NOTIFY = text("""
    INSERT INTO lifecycle_notice (agency_id, account_id, signal)
    SELECT :agency, account_id, :signal
      FROM unnest(CAST(:accounts AS uuid[])) AS account_id ORDER BY account_id
    ON CONFLICT (account_id) DO UPDATE SET noted_at = excluded.noted_at, signal = excluded.signal
""")

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
