"""Reconciliations with the payment provider: their runs, what is to be looked up, and what does not agree."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from db.keyset import Position, newest_first
from db.models import Payment, PaymentReconciliationRun, ReconciliationBreak, Refund
from db.store import Store
from domain.errors import Conflict, NotFound
from domain.payments import DISPUTE_LOST, DISPUTE_WON, UNFINISHED

Run = PaymentReconciliationRun
Break = ReconciliationBreak

ABANDONED_AFTER = timedelta(hours=6)
"""A run that is older than this and has not ended never will."""

LEFT_ALONE = timedelta(minutes=1)
"""How long whoever has made a row has to start what follows it."""

PLANS_HAVE = timedelta(days=1)
"""How long a plan has to start the payment of an instalment: it does so itself, when it comes to it."""


class ReconciliationGoing(Conflict):
    """Another reconciliation of the agency's payments is at work."""

    type = "reconciliation-going"
    title = "A reconciliation is going"


class Unfinished(NamedTuple):
    """A payment that is not final, and what Stripe knows it by: an intent or a payment page."""

    payment_id: UUID
    intent_ref: str | None
    checkout_ref: str | None


class ReconciliationStore(Store):
    """Reconciliations of one agency's payments."""

    async def open(
        self, run_id: UUID, *, origin: str, requested_by: str, since: datetime, until: datetime
    ) -> Run:
        """Make a run, or find the one that has this id."""
        await self._session.execute(
            insert(Run)
            .values(
                id=run_id,
                agency_id=self._agency_id,
                origin=origin,
                requested_by=requested_by,
                since=since,
                until=until,
            )
            .on_conflict_do_nothing()
        )
        return await self.get(run_id)

    async def refuse_second(self, run_id: UUID) -> None:
        """``ReconciliationGoing`` while another run than this one is at work."""
        going = await self._session.scalar(
            select(Run.id).where(
                Run.agency_id == self._agency_id,
                Run.status == "running",
                Run.id != run_id,
                Run.created_at > func.now() - ABANDONED_AFTER,
            )
        )
        if going is not None:
            raise ReconciliationGoing(
                f"the reconciliation {going} is going; ask again when it has ended", run_id=str(going)
            )

    async def get(self, run_id: UUID) -> Run:
        """One run. ``NotFound``."""
        run = await self._session.scalar(
            self._runs().where(Run.id == run_id).execution_options(populate_existing=True)
        )
        if run is None:
            raise NotFound("there is no such reconciliation")
        return run

    async def page(self, position: Position | None, limit: int) -> Sequence[Run]:
        """Runs, newest first, keyed by ``(created_at, id)``."""
        query = newest_first(self._runs(), (Run.created_at, Run.id), position, limit)
        return (await self._session.scalars(query)).all()

    async def end(
        self, run_id: UUID, *, looked_up: int = 0, mended: int = 0, breaks: int = 0, reason: str | None = None
    ) -> Run:
        """End a run, once: completed, or failed for ``reason``."""
        await self._session.execute(
            update(Run)
            .where(Run.agency_id == self._agency_id, Run.id == run_id, Run.status == "running")
            .values(
                status="failed" if reason else "completed",
                looked_up=looked_up,
                mended=mended,
                breaks=breaks,
                reason=reason,
                completed_at=func.now(),
            )
        )
        return await self.get(run_id)

    async def forget(self, run_id: UUID) -> None:
        """Remove a run, with what was staged for it."""
        await self._session.execute(delete(Run).where(Run.agency_id == self._agency_id, Run.id == run_id))

    async def waiting_payments(self, after: UUID | None, limit: int) -> Sequence[Payment]:
        """Payments behind ``after``, by id, that are pending though whoever made them has had the time to
        start their process; it may be at work all the same."""
        query = (
            select(Payment)
            .where(
                Payment.agency_id == self._agency_id,
                Payment.status == "pending",
                Payment.created_at < func.now() - LEFT_ALONE,
                (Payment.origin != "plan") | (Payment.created_at < func.now() - PLANS_HAVE),
            )
            .order_by(Payment.id)
            .limit(limit)
        )
        if after is not None:
            query = query.where(Payment.id > after)
        return (await self._session.scalars(query)).all()

    async def waiting_refunds(self, after: UUID | None, limit: int) -> Sequence[tuple[Payment, Refund]]:
        """Refunds that were asked for here and that nobody has brought to Stripe; as ``waiting_payments``."""
        query = (
            select(Payment, Refund)
            .join(Payment, (Payment.agency_id == self._agency_id) & (Payment.id == Refund.payment_id))
            .where(
                Refund.agency_id == self._agency_id,
                Refund.status == "pending",
                Refund.origin == "request",
                Refund.processor_ref.is_(None),
                Refund.created_at < func.now() - LEFT_ALONE,
            )
            .order_by(Refund.id)
            .limit(limit)
        )
        if after is not None:
            query = query.where(Refund.id > after)
        return [(payment, refund) for payment, refund in await self._session.execute(query)]

    async def unfinished(self, after: UUID | None, limit: int) -> Sequence[Unfinished]:
        """Payments behind ``after``, by id, that are not final at Stripe, or of which a refund or a
        dispute is not."""
        values = {
            "agency": self._agency_id,
            "after": after,
            "unfinished": sorted(UNFINISHED),
            "over": [*sorted(DISPUTE_WON), DISPUTE_LOST],
            "limit": limit,
        }
        return [Unfinished(*row) for row in await self._session.execute(_UNFINISHED, values)]

    def _runs(self) -> "Select[Run]":
        return select(Run).where(Run.agency_id == self._agency_id)


class ProcessorBreakStore(Store):
    """Differences from Stripe's books that no look has mended."""

    async def page(
        self, position: Position | None, limit: int, *, states: Sequence[str] = (), kinds: Sequence[str] = ()
    ) -> Sequence[Break]:
        """Breaks, newest first, keyed by ``(id,)``."""
        query = select(Break).where(Break.agency_id == self._agency_id, Break.source == "processor")
        if states:
            query = query.where(Break.state.in_(states))
        if kinds:
            query = query.where(Break.kind.in_(kinds))
        columns = (Break.id,)
        return (await self._session.scalars(newest_first(query, columns, position, limit))).all()

    async def open_refs(self, after: str, limit: int) -> Sequence[tuple[str, str | None]]:
        """What open breaks are about, behind ``after``: id at Stripe, and the intent that it belongs to, if
        known here."""
        rows = await self._session.execute(
            _OPEN_REFS, {"agency": self._agency_id, "after": after, "limit": limit}
        )
        return [(ref, intent) for ref, intent in rows]

    async def not_looked_up(self, payment_id: UUID, ref: str, cause: str) -> None:
        """Keep as a break that a payment, known to Stripe by ``ref``, could not be brought in line; one that
        is open already stays as it is."""
        values = {"agency": self._agency_id, "payment": payment_id, "ref": ref, "cause": cause}
        await self._session.execute(_NOT_LOOKED_UP, values)

    async def not_readable(self, ref: str, cause: str) -> None:
        """Keep as a break that something at Stripe cannot be read; it is over when a run has read it."""
        values = {"agency": self._agency_id, "ref": ref, "cause": cause}
        await self._session.execute(_NOT_READABLE, values)

    async def unmatched(self, subject: str, theirs: Decimal | None, currency: str, cause: str) -> bool:
        """Keep as a break that the provider has told of something that nobody here knows; once while it is
        open, and not again while it is what somebody has explained. Whether it is open."""
        values = {"agency": self._agency_id, "subject": subject, "theirs": theirs, "currency": currency}
        return await self._session.scalar(_UNMATCHED, {**values, "cause": cause}) is not None

    async def matched(self, subject: str) -> None:
        """Resolve the break that was kept as ``unmatched``, once nothing is waiting about it any more."""
        await self._session.execute(_MATCHED, {"agency": self._agency_id, "subject": subject})

    async def seen(self, ref: str) -> None:
        """Leave breaks about ``ref`` open: nobody can tell whether they are gone."""
        broken = (*self._not_resolved(), Break.subject == ref)
        await self._session.execute(update(Break).where(*broken).values(seen_at=func.now()))

    def _not_resolved(self) -> tuple[ColumnElement[bool], ...]:
        return (Break.agency_id == self._agency_id, Break.source == "processor", Break.state != "resolved")


_UNFINISHED = text("""
    SELECT p.id, p.processor_ref, p.checkout_ref
      FROM payment p
     WHERE p.agency_id = :agency AND (CAST(:after AS uuid) IS NULL OR p.id > CAST(:after AS uuid))
       AND (p.processor_ref IS NOT NULL OR p.checkout_ref IS NOT NULL)
       AND (p.status = ANY (:unfinished) OR p.id IN (
            SELECT r.payment_id FROM refund r
             WHERE r.agency_id = :agency AND r.status = 'pending' AND r.processor_ref IS NOT NULL
            UNION ALL
            SELECT c.payment_id FROM chargeback c
             WHERE c.agency_id = :agency AND c.status <> ALL (:over)))
     ORDER BY p.id LIMIT :limit
""")

_NOT_LOOKED_UP = text("""
    WITH seen AS (
        UPDATE reconciliation_break SET seen_at = now()
         WHERE agency_id = :agency AND source = 'processor' AND state <> 'resolved' AND subject = :ref
        RETURNING 1)
    INSERT INTO reconciliation_break (agency_id, kind, payment_id, subject, ours, currency, probable_cause,
                                      value)
    SELECT :agency, 'status', p.id, :ref, CASE WHEN p.journal_id IS NOT NULL THEN p.amount END, p.currency,
           :cause, p.amount
      FROM payment p
     WHERE p.agency_id = :agency AND p.id = :payment AND NOT EXISTS (SELECT FROM seen)
    ON CONFLICT (agency_id, kind, subject) WHERE source = 'processor' AND state <> 'resolved'
    DO UPDATE SET seen_at = now()
""")

_NOT_READABLE = text("""
    INSERT INTO reconciliation_break (agency_id, kind, subject, currency, probable_cause)
    SELECT g.id, 'status', :ref, g.currency, :cause FROM agency g WHERE g.id = :agency
    ON CONFLICT (agency_id, kind, subject) WHERE source = 'processor' AND state <> 'resolved'
    DO UPDATE SET probable_cause = EXCLUDED.probable_cause, seen_at = now()
""")

_UNMATCHED = text("""
    INSERT INTO reconciliation_break (agency_id, kind, subject, theirs, currency, probable_cause, value, rule)
    SELECT :agency, 'missing_here', :subject, CAST(:theirs AS numeric), :currency, :cause,
           COALESCE(CAST(:theirs AS numeric), 0), 'inbox'
     WHERE NOT EXISTS (
           SELECT FROM reconciliation_break e
            WHERE e.agency_id = :agency AND e.source = 'processor' AND e.kind = 'missing_here'
              AND e.subject = :subject AND e.resolution IN ('explain', 'keep_ours', 'write_off')
              AND e.theirs IS NOT DISTINCT FROM CAST(:theirs AS numeric))
    ON CONFLICT (agency_id, kind, subject) WHERE source = 'processor' AND state <> 'resolved'
    DO UPDATE SET seen_at = now()
    RETURNING id
""")

_MATCHED = text("""
    UPDATE reconciliation_break SET state = 'resolved', resolution = 'cured', resolved_at = now(),
           resolution_note = 'its event was matched', version = version + 1
     WHERE agency_id = :agency AND source = 'processor' AND rule = 'inbox' AND state <> 'resolved'
       AND subject = :subject
       AND NOT EXISTS (
           SELECT FROM inbox_event i
            WHERE i.agency_id = :agency AND i.status = 'unmatched'
              AND COALESCE(i.intent_ref, i.object_ref, i.event_ref) = :subject)
""")

_OPEN_REFS = text("""
    SELECT DISTINCT ON (b.subject) b.subject,
           CASE WHEN b.subject LIKE 'pi\\_%' THEN b.subject ELSE p.processor_ref END
      FROM reconciliation_break b LEFT JOIN payment p ON p.agency_id = :agency AND p.id = b.payment_id
     WHERE b.agency_id = :agency AND b.source = 'processor' AND b.state <> 'resolved' AND b.subject > :after
     ORDER BY b.subject LIMIT :limit
""")
