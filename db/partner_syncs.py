"""What partners are sent: sendings, their batches, and the accounts in them as they were."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from db.keyset import Position, newest_first
from db.models import PartnerBatch, PartnerSyncItem, PartnerSyncRun
from db.partner_assignment import ASSIGN
from db.store import Store
from domain.errors import NotFound

MAX_TEXT = 500
"""Characters kept of a partner's answer, or of what went wrong."""


class SentAccount(NamedTuple):
    """An account as it was when it was put into a batch; ``account_ref`` is our external reference."""

    debtor_id: UUID
    account_ref: str
    risk_score: Decimal
    internal_balance: Decimal
    internal_status: str
    processed_at: datetime


class BatchCounts(NamedTuple):
    """How many batches of a sending are in each state."""

    pending: int
    delivered: int
    failed: int


class PartnerSyncStore(Store):
    """The sendings to the partners of one agency."""

    async def open(
        self,
        sync_id: UUID,
        partner_id: UUID,
        *,
        origin: str,
        requested_by: str,
        scoring_run_id: UUID | None = None,
    ) -> PartnerSyncRun:
        """Make a sending, or find it: by its id, or the one that its scoring run has led to."""
        await self._session.execute(
            insert(PartnerSyncRun)
            .values(
                id=sync_id,
                agency_id=self._agency_id,
                partner_id=partner_id,
                origin=origin,
                requested_by=requested_by,
                scoring_run_id=scoring_run_id,
            )
            .on_conflict_do_nothing()
        )
        found = PartnerSyncRun.id == sync_id
        if scoring_run_id is not None:
            found |= PartnerSyncRun.scoring_run_id == scoring_run_id
        query = select(PartnerSyncRun).where(
            PartnerSyncRun.agency_id == self._agency_id, PartnerSyncRun.partner_id == partner_id, found
        )
        return (await self._session.scalars(query)).one()

    async def get(self, sync_id: UUID, *, lock: bool = False) -> PartnerSyncRun:
        """One sending. ``NotFound``."""
        query = select(PartnerSyncRun).where(
            PartnerSyncRun.agency_id == self._agency_id, PartnerSyncRun.id == sync_id
        )
        if lock:
            query = query.with_for_update()
        found = await self._session.scalar(query.execution_options(populate_existing=True))
        if found is None:
            raise NotFound("there is no such sending to a partner")
        return found

    async def page(self, partner_id: UUID, position: Position | None, limit: int) -> Sequence[PartnerSyncRun]:
        """Sendings to a partner, newest first, keyed by ``(created_at, id)``."""
        query = select(PartnerSyncRun).where(
            PartnerSyncRun.agency_id == self._agency_id, PartnerSyncRun.partner_id == partner_id
        )
        columns = (PartnerSyncRun.created_at, PartnerSyncRun.id)
        return (await self._session.scalars(newest_first(query, columns, position, limit))).all()

    async def is_newest(self, sync: PartnerSyncRun) -> bool:
        """Whether the partner was sent nothing after this."""
        later = select(PartnerSyncRun.id).where(
            PartnerSyncRun.agency_id == self._agency_id,
            PartnerSyncRun.partner_id == sync.partner_id,
            tuple_(PartnerSyncRun.created_at, PartnerSyncRun.id) > (sync.created_at, sync.id),
        )
        return not await self._session.scalar(select(later.exists()))

    async def given_to_others(self, sync_id: UUID) -> int:
        """How many accounts of the batches that were not delivered another partner works by now."""
        return int(await self._session.scalar(_GIVEN_TO_OTHERS, {"agency": self._agency_id, "sync": sync_id}))

    async def take_up(self, sync_id: UUID) -> PartnerSyncRun:
        """Set a sending to work again, with the batches that were not delivered.

        It is ``pending`` again where it was never decided what is in it.
        """
        values = {"agency": self._agency_id, "sync": sync_id}
        await self._session.execute(_BATCHES_AGAIN, values)
        await self._session.execute(_AGAIN, values)
        return await self.get(sync_id)

    async def fill(self, sync: PartnerSyncRun, *, delivery: str, size: int, everything: bool) -> int:
        """Put the partner's accounts of high priority into a sending, as they are now; the number of batches.

        Those that are on the worklist and that it works, or is given by this, the best first, ``size`` in a
        batch: all of them, or only those of which something has changed since the partner was sent them.
        """
        values = {
            "agency": self._agency_id,
            "partner": sync.partner_id,
            "sync": sync.id,
            "size": size,
            "all": everything,
        }
        await self._session.execute(ASSIGN, {"agency": self._agency_id, "partner": sync.partner_id})
        await self._session.execute(_FILL, values)
        await self._session.execute(_FILLED, {**values, "delivery": delivery})
        batches: int = await self._session.scalar(_BATCHES, values)
        return batches

    async def items(self, sync_id: UUID, batch: int) -> list[SentAccount]:
        """The accounts of a batch, the best first, as they were when they were put into it."""
        query = (
            select(*(getattr(PartnerSyncItem, name) for name in SentAccount._fields))
            .where(
                PartnerSyncItem.agency_id == self._agency_id,
                PartnerSyncItem.sync_id == sync_id,
                PartnerSyncItem.batch == batch,
            )
            .order_by(PartnerSyncItem.position)
        )
        return [SentAccount(*row) for row in await self._session.execute(query)]

    async def add_batch(self, sync_id: UUID, number: int, *, items: int, sha256: str) -> None:
        """Add the delivery record of a batch; ``sha256`` (hex) of the bytes that every attempt sends."""
        await self._session.execute(
            insert(PartnerBatch).values(
                agency_id=self._agency_id, sync_id=sync_id, number=number, items=items, sha256=sha256
            )
        )

    async def batches(self, sync_id: UUID) -> Sequence[PartnerBatch]:
        """The delivery records of a sending, in order."""
        query = (
            select(PartnerBatch)
            .where(PartnerBatch.agency_id == self._agency_id, PartnerBatch.sync_id == sync_id)
            .order_by(PartnerBatch.number)
        )
        return (await self._session.scalars(query)).all()

    async def batch(self, sync_id: UUID, number: int) -> PartnerBatch:
        """One delivery record. ``NotFound``."""
        found = await self._session.scalar(
            select(PartnerBatch).where(
                PartnerBatch.agency_id == self._agency_id,
                PartnerBatch.sync_id == sync_id,
                PartnerBatch.number == number,
            )
        )
        if found is None:
            raise NotFound("the sending has no such batch")
        return found

    async def counts(self, sync_id: UUID) -> BatchCounts:
        """How many batches of a sending are in each state."""
        query = (
            select(PartnerBatch.status, func.count())
            .where(PartnerBatch.agency_id == self._agency_id, PartnerBatch.sync_id == sync_id)
            .group_by(PartnerBatch.status)
        )
        found = dict((await self._session.execute(query)).all())
        return BatchCounts(*(found.get(status, 0) for status in BatchCounts._fields))

    async def attempt(self, sync_id: UUID, number: int, target: str) -> None:
        """A batch is about to be sent to ``target``."""
        await self._session.execute(
            update(PartnerBatch)
            .where(
                PartnerBatch.agency_id == self._agency_id,
                PartnerBatch.sync_id == sync_id,
                PartnerBatch.number == number,
            )
            .values(attempts=PartnerBatch.attempts + 1, target=target)
        )

    async def deliver(self, sync_id: UUID, number: int, answer: str) -> None:
        """The partner has confirmed a batch: it counts, once, and its accounts are known to the partner."""
        values = {
            "agency": self._agency_id,
            "sync": sync_id,
            "number": number,
            "answer": answer[:MAX_TEXT],
        }
        if await self._session.scalar(_DELIVER, values) is not None:
            await self._session.execute(_COUNT, values)
            await self._session.execute(_KNOWN, values)
            await self._session.execute(_TOLD, values)

    async def trouble(self, sync_id: UUID, number: int, problem: str, *, over: bool) -> None:
        """What went wrong with an attempt at a batch; ``over``: there will be no other."""
        await self._session.execute(
            _TROUBLE,
            {
                "agency": self._agency_id,
                "sync": sync_id,
                "number": number,
                "problem": problem[:MAX_TEXT],
                "status": "failed" if over else "pending",
            },
        )

    async def finish(self, sync_id: UUID, reason: str | None) -> PartnerSyncRun:
        """End a sending; safe to repeat. It has failed when a batch was not delivered, or for ``reason``."""
        values = {
            "agency": self._agency_id,
            "sync": sync_id,
            "reason": None if reason is None else reason[:MAX_TEXT],
        }
        await self._session.execute(_GIVE_UP, values)
        await self._session.execute(_FINISH, values)
        sync = await self.get(sync_id)
        if sync.status == "completed":
            await self._session.execute(_FORGET, values)
        return sync


_FILL = text("""
    INSERT INTO partner_sync_item (sync_id, position, agency_id, batch, account_id, debtor_id, account_ref,
                                   risk_score, internal_balance, internal_status, processed_at)
    SELECT :sync, place, :agency, (place - 1) / :size + 1, id, debtor_id, external_ref,
           total, balance, status, now()
      FROM (SELECT a.*, s.total, row_number() OVER (ORDER BY s.rank DESC, s.account_id) AS place
              FROM account_score s
              JOIN account a ON a.agency_id = :agency AND a.id = s.account_id
              JOIN partner_assignment w
                ON w.agency_id = :agency AND w.account_id = s.account_id AND w.partner_id = :partner
              LEFT JOIN partner_account p
                ON p.agency_id = :agency AND p.partner_id = :partner AND p.account_id = s.account_id
             WHERE s.agency_id = :agency AND s.queued AND s.high_priority
               AND (:all OR p.sent_as_of IS NULL
                    OR GREATEST(a.updated_at, s.scored_at) > p.sent_as_of - interval '5 minutes')) chosen
""")
"""Five minutes: a change that was under way when the accounts were read is of a time before that."""

_FILLED = text("""
    UPDATE partner_sync
       SET status = 'running', delivery = :delivery,
           total = (SELECT count(*) FROM partner_sync_item WHERE agency_id = :agency AND sync_id = :sync)
     WHERE agency_id = :agency AND id = :sync
""")

_BATCHES = text("""
    SELECT COALESCE(max(batch), 0) FROM partner_sync_item WHERE agency_id = :agency AND sync_id = :sync
""")

_DELIVER = text("""
    UPDATE partner_batch
       SET status = 'delivered', answer = :answer, last_problem = NULL, delivered_at = clock_timestamp()
     WHERE agency_id = :agency AND sync_id = :sync AND number = :number AND status <> 'delivered'
    RETURNING id
""")

_COUNT = text("""
    UPDATE partner_sync
       SET delivered = delivered + (SELECT items FROM partner_batch
                                     WHERE agency_id = :agency AND sync_id = :sync AND number = :number)
     WHERE agency_id = :agency AND id = :sync
""")

_KNOWN = text("""
    INSERT INTO partner_account (partner_id, account_id, agency_id, reference, sent_at, sent_as_of)
    SELECT s.partner_id, i.account_id, :agency, i.account_ref, clock_timestamp(), i.processed_at
      FROM partner_sync_item i JOIN partner_sync s ON s.agency_id = :agency AND s.id = i.sync_id
     WHERE i.agency_id = :agency AND i.sync_id = :sync AND i.batch = :number
     ORDER BY i.account_id
    ON CONFLICT (partner_id, account_id) DO UPDATE
       SET sent_at = excluded.sent_at,
           sent_as_of = GREATEST(partner_account.sent_as_of, excluded.sent_as_of),
           reference = COALESCE(partner_account.reference, excluded.reference)
""")

_TOLD = text("""
    WITH told AS (
        SELECT n.id FROM high_priority_notice n
          JOIN partner_sync_item i ON i.agency_id = :agency AND i.account_id = n.account_id
         WHERE n.agency_id = :agency AND n.delivered_at IS NULL
           AND i.sync_id = :sync AND i.batch = :number AND n.created_at <= i.processed_at
         ORDER BY n.account_id FOR UPDATE OF n SKIP LOCKED)
    UPDATE high_priority_notice n SET delivered_at = clock_timestamp() FROM told WHERE n.id = told.id
""")
"""That an account has become one of high priority is told to whom it concerns once a partner has it."""

_GIVEN_TO_OTHERS = text("""
    SELECT count(*)
      FROM partner_sync s
      JOIN partner_batch b ON b.agency_id = :agency AND b.sync_id = s.id AND b.status <> 'delivered'
      JOIN partner_sync_item i ON i.agency_id = :agency AND i.sync_id = s.id AND i.batch = b.number
      JOIN partner_assignment w
        ON w.agency_id = :agency AND w.account_id = i.account_id AND w.partner_id <> s.partner_id
     WHERE s.agency_id = :agency AND s.id = :sync
""")

_BATCHES_AGAIN = text("""
    UPDATE partner_batch SET status = 'pending'
     WHERE agency_id = :agency AND sync_id = :sync AND status = 'failed'
""")

_AGAIN = text("""
    UPDATE partner_sync
       SET status = CASE WHEN delivery IS NULL THEN 'pending' ELSE 'running' END, reason = NULL,
           completed_at = NULL
     WHERE agency_id = :agency AND id = :sync
""")

_TROUBLE = text("""
    UPDATE partner_batch SET last_problem = :problem, status = :status
     WHERE agency_id = :agency AND sync_id = :sync AND number = :number AND status <> 'delivered'
""")

_GIVE_UP = text("""
    UPDATE partner_batch b
       SET status = 'failed', last_problem = COALESCE(b.last_problem, :reason, 'it was not sent')
      FROM partner_sync s
     WHERE s.agency_id = :agency AND s.id = :sync AND s.status IN ('pending', 'running')
       AND b.agency_id = :agency AND b.sync_id = s.id AND b.status = 'pending'
""")

_FINISH = text("""
    UPDATE partner_sync s
       SET status = CASE WHEN f.failed = 0 AND CAST(:reason AS text) IS NULL THEN 'completed'
                         ELSE 'failed' END,
           reason = COALESCE(:reason, CASE WHEN f.failed > 0 THEN
               f.failed || ' of ' || f.batches || ' batches were not delivered: ' || f.problem END),
           completed_at = clock_timestamp()
      FROM (SELECT count(*) FILTER (WHERE status <> 'delivered') AS failed, count(*) AS batches,
                   (array_agg(last_problem ORDER BY number) FILTER (WHERE status <> 'delivered'))[1]
                       AS problem
              FROM partner_batch WHERE agency_id = :agency AND sync_id = :sync) f
     WHERE s.agency_id = :agency AND s.id = :sync AND s.status IN ('pending', 'running')
""")

_FORGET = text("""
    DELETE FROM partner_sync_item i USING partner_sync s, partner_sync l
     WHERE l.agency_id = :agency AND l.id = :sync
       AND s.agency_id = :agency AND s.partner_id = l.partner_id AND s.created_at < l.created_at
       AND s.status IN ('completed', 'failed')
       AND i.agency_id = :agency AND i.sync_id = s.id
""")
"""What was in an earlier sending is of no use once a later one has arrived: its delivery records stay."""
