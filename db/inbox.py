"""The inbox: what a provider has told us, stored before anything comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from sqlalchemy import Select, select, text, update

from db.keyset import Position, newest_first
from db.models import InboxEvent
from db.store import Store
from domain.errors import NotFound

if TYPE_CHECKING:
    from db.readings import Readings

PROVIDER = "stripe"


@dataclass(frozen=True, slots=True)
class Incoming:
    """An event whose signature is right.

    ``matters``: whether it may change anything here. ``taken``: it says that the intent took money, so that
    it is no news where that is on the ledger. ``problem``: why nothing can be made of it as it came.
    """

    event_ref: str
    type: str
    object_ref: str | None
    intent_ref: str | None
    body: bytes
    occurred_at: datetime
    matters: bool
    taken: bool
    problem: str | None = None


class Stored(NamedTuple):
    """An event that was stored just now: its row, and its status: ``received``, ``handled``, ``ignored``
    or ``failed``."""

    id: UUID
    status: str


class Told(NamedTuple):
    """An event that is waiting, and where our books would have to stand for it to be no news.

    ``subject``: ``intent``, ``refund`` or ``dispute``, with its id at Stripe; ``states``: statuses of our
    payment, refund or chargeback; none, where only a look at Stripe can tell.
    """

    event_id: UUID
    subject: str
    ref: str
    states: frozenset[str]


class InboxIntake:
    """What every webhook goes through: one statement, one round trip."""

    def __init__(self, readings: "Readings") -> None:
        self._readings = readings

    async def store(self, event: Incoming) -> Stored | None:
        """Store an event, and whether anything is left to do; None for one that is there already."""
        values = {
            "agency": self._readings.tenant.agency_id,
            "provider": PROVIDER,
            "event": event.event_ref,
            "type": event.type,
            "object": event.object_ref,
            "intent": event.intent_ref,
            "body": event.body,
            "at": event.occurred_at,
            "matters": event.matters,
            "taken": event.taken,
            "problem": event.problem,
        }
        rows = await self._readings.rows(_STORE, values)
        return Stored(*rows[0]) if rows else None


class InboxStore(Store):
    """The inbox of one agency."""

    async def get(self, event_id: UUID, *, lock: bool = False) -> InboxEvent:
        """One event. ``NotFound``."""
        query = self._mine().where(InboxEvent.id == event_id)
        if lock:
            query = query.with_for_update()
        event = await self._session.scalar(query.execution_options(populate_existing=True))
        if event is None:
            raise NotFound("there is no such event")
        return event

    async def page(
        self, position: Position | None, limit: int, *, statuses: Sequence[str] = ()
    ) -> Sequence[InboxEvent]:
        """Events, newest first, keyed by ``(id,)``."""
        query = self._mine()
        if statuses:
            query = query.where(InboxEvent.status.in_(statuses))
        return (await self._session.scalars(newest_first(query, (InboxEvent.id,), position, limit))).all()

    async def settle_known(self, events: Sequence[Told]) -> set[UUID]:
        """Mark as handled what our books say already, by what other way it came; which those are."""
        values = {
            "agency": self._agency_id,
            "ids": [event.event_id for event in events],
            "subjects": [event.subject for event in events],
            "refs": [event.ref for event in events],
            "states": [" ".join(sorted(event.states)) for event in events],
        }
        return set(await self._session.scalars(_SETTLE_KNOWN, values))

    async def handled(self, event_id: UUID) -> None:
        """Nothing is left to do of an event."""
        await self._session.execute(
            update(InboxEvent)
            .where(InboxEvent.agency_id == self._agency_id, InboxEvent.id == event_id)
            .values(
                status="handled",
                attempts=InboxEvent.attempts + 1,
                reason=None,
                handled_at=await self._now(),
            )
        )

    async def ignored(self, event_id: UUID, reason: str) -> None:
        """Nothing is to be done of an event that nobody here knows anything about."""
        await self._session.execute(
            update(InboxEvent)
            .where(InboxEvent.agency_id == self._agency_id, InboxEvent.id == event_id)
            .values(
                status="ignored",
                attempts=InboxEvent.attempts + 1,
                reason=reason,
                handled_at=await self._now(),
            )
        )

    async def leave(self, event_id: UUID, status: str, reason: str) -> None:
        """An event could not be handled (``failed``, ``unmatched``); it is tried again later."""
        await self._session.execute(
            update(InboxEvent)
            .where(
                InboxEvent.agency_id == self._agency_id,
                InboxEvent.id == event_id,
                InboxEvent.status.not_in(("handled", "ignored")),
            )
            .values(status=status, attempts=InboxEvent.attempts + 1, reason=reason)
        )

    async def due(self, limit: int, *, after: UUID | None, every: bool) -> Sequence[UUID]:
        """Events that wait to be handled, by id: what nobody has handled within a minute, and what failed.

        What failed or was unmatched is tried again after five minutes, and twice as long each time;
        ``every``: now.
        """
        values = {"agency": self._agency_id, "after": after, "every": every, "limit": limit}
        return list(await self._session.scalars(_DUE, values))

    async def forget_bodies(self, days: int, limit: int, *, after: UUID | None) -> Sequence[UUID]:
        """Blank the bodies of the oldest events behind ``after``, an id, that came more than so many days
        ago; which those are. Everything else of an event stays."""
        values = {"agency": self._agency_id, "days": days, "limit": limit, "after": after}
        return list(await self._session.scalars(_FORGET_BODIES, values))

    async def waiting_of(self, intent_ref: str) -> Sequence[UUID]:
        """Events of one intent that wait to be handled."""
        found = await self._session.scalars(
            select(InboxEvent.id).where(
                InboxEvent.agency_id == self._agency_id,
                InboxEvent.intent_ref == intent_ref,
                InboxEvent.status.in_(("received", "unmatched", "failed")),
            )
        )
        return found.all()

    def _mine(self) -> "Select[InboxEvent]":
        return select(InboxEvent).where(InboxEvent.agency_id == self._agency_id)


_STORE = b"""
    INSERT INTO inbox_event (agency_id, provider, event_ref, type, object_ref, intent_ref, body, occurred_at,
                             status, handled_at, reason)
    SELECT %(agency)s, %(provider)s, %(event)s, %(type)s, %(object)s, %(intent)s, %(body)s, %(at)s, s.status,
           CASE WHEN s.status = 'handled' THEN now() END,
           CASE WHEN s.status = 'failed' THEN %(problem)s::text END
      FROM (SELECT CASE
                   WHEN NOT %(matters)s THEN 'ignored'
                   WHEN %(taken)s AND EXISTS (
                        SELECT FROM payment p
                         WHERE p.agency_id = %(agency)s AND p.processor_ref = %(intent)s
                           AND p.journal_id IS NOT NULL) THEN 'handled'
                   WHEN %(problem)s::text IS NOT NULL THEN 'failed'
                   ELSE 'received' END) AS s (status)
    ON CONFLICT (agency_id, provider, event_ref) DO NOTHING
    RETURNING id, status
"""

_SETTLE_KNOWN = text("""
    UPDATE inbox_event e SET status = 'handled', handled_at = now()
      FROM unnest(CAST(:ids AS uuid[]), CAST(:subjects AS text[]), CAST(:refs AS text[]),
                  CAST(:states AS text[])) AS t (id, subject, ref, states)
     WHERE e.agency_id = :agency AND e.id = t.id AND e.status = 'received' AND t.states <> ''
       AND CASE t.subject
           WHEN 'intent' THEN EXISTS (
                SELECT FROM payment p
                 WHERE p.agency_id = :agency AND p.processor_ref = t.ref
                   AND p.status = ANY (string_to_array(t.states, ' ')))
           WHEN 'refund' THEN EXISTS (
                SELECT FROM refund r
                 WHERE r.agency_id = :agency AND r.processor_ref = t.ref
                   AND r.status = ANY (string_to_array(t.states, ' ')))
           ELSE EXISTS (
                SELECT FROM chargeback c
                 WHERE c.agency_id = :agency AND c.processor_ref = t.ref
                   AND c.status = ANY (string_to_array(t.states, ' '))) END
    RETURNING e.id
""")

# Ids are in the order in which events came, so that the index on them finds what is old enough.
_FORGET_BODIES = text("""
    WITH old AS (
        SELECT id FROM inbox_event
         WHERE agency_id = :agency AND octet_length(body) > 0
           AND id > COALESCE(CAST(:after AS uuid), '00000000-0000-0000-0000-000000000000')
           AND id < (SELECT uuidv7(make_interval(days => -:days)))
         ORDER BY id LIMIT :limit)
    UPDATE inbox_event e SET body = '' FROM old WHERE e.agency_id = :agency AND e.id = old.id RETURNING e.id
""")

_DUE = text("""
    SELECT id FROM inbox_event
     WHERE agency_id = :agency AND status IN ('received', 'unmatched', 'failed')
       AND (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid))
       AND (:every OR received_at < now() - CASE status
            WHEN 'received' THEN interval '1 minute'
            ELSE interval '5 minutes' * power(2, LEAST(attempts, 16)) END)
     ORDER BY id LIMIT :limit
""")
