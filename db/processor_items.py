"""Stripe's books beside ours: staged in chunks, compared in one statement, what differs kept as breaks."""

from collections.abc import AsyncIterator, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from db.models import PaymentReconciliationRun
from db.store import Store


class Item(NamedTuple):
    """A charge that took money, a refund or a dispute, as Stripe has it."""

    kind: str
    ref: str
    intent_ref: str | None
    status: str
    amount: Decimal
    currency: str


class Difference(NamedTuple):
    """Where the books do not agree; amounts are None where there is nothing."""

    kind: str
    ref: str
    payment_id: UUID | None
    ours: Decimal | None
    theirs: Decimal | None
    currency: str
    cause: str


class Concluded(NamedTuple):
    """What a comparison came to: differences that stay, new ones too, and earlier ones that are gone."""

    differences: int
    resolved: int


class ProcessorItemStore(Store):
    """What a reconciliation of one agency has from Stripe."""

    async def clear(self, run_id: UUID) -> None:
        """Forget what was staged for a run."""
        await self._session.execute(_CLEAR, {"agency": self._agency_id, "run": run_id})

    async def stage(self, run_id: UUID, items: Iterable[Item]) -> None:
        """Stage items; one that is there already is taken as it is now."""
        latest = {(item.kind, item.ref): item for item in items}
        rows = list(latest.values())
        if not rows:
            return
        values = {
            "agency": self._agency_id,
            "run": run_id,
            "kinds": [row.kind for row in rows],
            "refs": [row.ref for row in rows],
            "intents": [row.intent_ref for row in rows],
            "statuses": [row.status for row in rows],
            "amounts": [row.amount for row in rows],
            "currencies": [row.currency for row in rows],
        }
        await self._session.execute(_STAGE, values)

    async def differing(self, run: PaymentReconciliationRun, after: str, limit: int) -> Sequence[str]:
        """Intents behind ``after``, in order, about which the books do not agree."""
        values = self._values(run) | {"after": after, "limit": limit}
        return list(await self._session.scalars(_DIFFERING, values))

    async def differences(self, run: PaymentReconciliationRun) -> AsyncIterator[Difference]:
        """All differences, in the order of what they are about."""
        async for row in await self._session.stream(_ALL, self._values(run)):
            yield Difference(*row)

    async def conclude(self, run: PaymentReconciliationRun) -> Concluded:
        """Keep what differs as breaks, each once while it is open; resolve the open ones that are gone."""
        values = self._values(run)
        differences = await self._session.scalar(_KEEP, values)
        resolved = await self._session.scalar(_RESOLVE, values | {"began": run.created_at})
        return Concluded(int(differences or 0), int(resolved or 0))

    def _values(self, run: PaymentReconciliationRun) -> dict[str, object]:
        return {"agency": self._agency_id, "run": run.id, "since": run.since, "until": run.until}


_CLEAR = text("DELETE FROM processor_item WHERE agency_id = :agency AND run_id = :run")

_STAGE = text("""
    INSERT INTO processor_item (agency_id, run_id, kind, ref, intent_ref, status, amount, currency)
    SELECT :agency, :run, t.kind, t.ref, t.intent_ref, t.status, t.amount, t.currency
      FROM unnest(CAST(:kinds AS text[]), CAST(:refs AS text[]), CAST(:intents AS text[]),
                  CAST(:statuses AS text[]), CAST(:amounts AS numeric[]), CAST(:currencies AS text[]))
           AS t (kind, ref, intent_ref, status, amount, currency)
    ON CONFLICT (run_id, kind, ref) DO UPDATE
       SET intent_ref = EXCLUDED.intent_ref, status = EXCLUDED.status, amount = EXCLUDED.amount,
           currency = EXCLUDED.currency
""")

_AT_THIS_ACCOUNT = """
    (p.processor_account IS NULL OR p.processor_account IN (
        SELECT c.account_ref FROM stripe_credentials c WHERE c.agency_id = :agency))"""
"""Of what was taken at an account that the agency has left, its present one has nothing."""

# What is about a payment is named by its intent; what came to Stripe without one, by its charge. Of what is
# on our ledger only that is compared which was made in the run's window, or has been in question before.
_DIFFERENCES = f"""
    difference AS (
        SELECT CASE WHEN p.id IS NULL THEN 'missing_here'
                    WHEN p.currency <> i.currency THEN 'currency'
                    WHEN p.journal_id IS NULL THEN 'status'
                    ELSE 'balance' END AS kind,
               COALESCE(i.intent_ref, i.ref) AS ref, i.intent_ref, p.id AS payment_id,
               CASE WHEN p.journal_id IS NOT NULL THEN p.amount END AS ours, i.amount AS theirs, i.currency,
               CASE WHEN p.id IS NULL THEN 'Stripe took money for which there is no payment here'
                    WHEN p.currency <> i.currency
                    THEN 'Stripe took ' || i.currency || ', the payment here is in ' || p.currency
                    WHEN p.journal_id IS NULL
                    THEN 'Stripe took the money, the payment here is ' || replace(p.status, '_', ' ')
                    ELSE 'another amount was posted than Stripe took' END AS cause
          FROM processor_item i
          LEFT JOIN payment p ON p.agency_id = :agency AND p.processor_ref = i.intent_ref
         WHERE i.agency_id = :agency AND i.run_id = :run AND i.kind = 'charge'
           AND (p.id IS NULL OR p.journal_id IS NULL OR p.amount <> i.amount OR p.currency <> i.currency)
        UNION ALL
        SELECT CASE WHEN r.id IS NULL THEN 'missing_here'
                    WHEN r.currency <> i.currency THEN 'currency'
                    WHEN r.amount <> i.amount THEN 'balance'
                    ELSE 'status' END,
               i.ref, i.intent_ref, r.payment_id,
               CASE WHEN r.journal_id IS NOT NULL AND r.undone_by_id IS NULL THEN r.amount END, i.amount,
               i.currency,
               CASE WHEN r.id IS NULL THEN 'Stripe paid money back for which there is no refund here'
                    WHEN r.currency <> i.currency THEN 'the refund here is in ' || r.currency
                    WHEN r.amount <> i.amount THEN 'the refund here is of another amount'
                    ELSE 'the refund is ' || i.status || ' at Stripe and ' || r.status || ' here' END
          FROM processor_item i
          LEFT JOIN refund r ON r.agency_id = :agency AND r.processor_ref = i.ref
         WHERE i.agency_id = :agency AND i.run_id = :run AND i.kind = 'refund'
           AND CASE WHEN i.status = 'succeeded'
               THEN r.id IS NULL OR r.journal_id IS NULL OR r.undone_by_id IS NOT NULL
                    OR r.amount <> i.amount OR r.currency <> i.currency
               ELSE i.status IN ('failed', 'canceled') AND r.journal_id IS NOT NULL
                    AND r.undone_by_id IS NULL END
        UNION ALL
        SELECT CASE WHEN c.id IS NULL THEN 'missing_here' ELSE 'status' END, i.ref, i.intent_ref,
               c.payment_id, c.amount, i.amount, i.currency,
               CASE WHEN c.id IS NULL THEN 'a dispute of which nothing is known here'
                    ELSE 'the dispute is ' || i.status || ' at Stripe and ' || c.status || ' here' END
          FROM processor_item i
          LEFT JOIN chargeback c ON c.agency_id = :agency AND c.processor_ref = i.ref
         WHERE i.agency_id = :agency AND i.run_id = :run AND i.kind = 'dispute'
           AND (c.id IS NULL OR c.status <> i.status)
        UNION ALL
        SELECT 'missing_there', p.processor_ref, p.processor_ref, p.id, p.amount, NULL, p.currency,
               'a payment was posted that Stripe does not have, or not as one that took money'
          FROM payment p
         WHERE p.agency_id = :agency AND p.journal_id IS NOT NULL AND p.processor_ref IS NOT NULL
           AND {_AT_THIS_ACCOUNT}
           AND (p.created_at >= :since AND p.created_at < :until OR p.id IN (
                SELECT b.payment_id FROM reconciliation_break b
                 WHERE b.agency_id = :agency AND b.source = 'processor' AND b.state <> 'resolved'
                   AND b.kind = 'missing_there'))
           AND NOT EXISTS (
                SELECT FROM processor_item i
                 WHERE i.agency_id = :agency AND i.run_id = :run AND i.kind = 'charge'
                   AND i.intent_ref = p.processor_ref)
        UNION ALL
        SELECT 'missing_there', r.processor_ref, p.processor_ref, r.payment_id, r.amount, NULL, r.currency,
               'a refund was posted that Stripe does not have'
          FROM refund r JOIN payment p ON p.agency_id = :agency AND p.id = r.payment_id
         WHERE r.agency_id = :agency AND r.journal_id IS NOT NULL AND r.undone_by_id IS NULL
           AND r.processor_ref IS NOT NULL AND {_AT_THIS_ACCOUNT}
           AND (r.created_at >= :since AND r.created_at < :until OR r.processor_ref IN (
                SELECT b.subject FROM reconciliation_break b
                 WHERE b.agency_id = :agency AND b.source = 'processor' AND b.state <> 'resolved'
                   AND b.kind = 'missing_there'))
           AND NOT EXISTS (
                SELECT FROM processor_item i
                 WHERE i.agency_id = :agency AND i.run_id = :run AND i.kind = 'refund'
                   AND i.ref = r.processor_ref))"""

_DIFFERING = text(f"""
    WITH {_DIFFERENCES}
    SELECT DISTINCT intent_ref FROM difference
     WHERE intent_ref IS NOT NULL AND intent_ref > :after
     ORDER BY intent_ref LIMIT :limit
""")

_ALL = text(f"""
    WITH {_DIFFERENCES}
    SELECT kind, ref, payment_id, ours, theirs, currency, cause FROM difference ORDER BY ref, kind
""")

# What people have resolved is not opened again while both sides are as they were then.
_KEEP = text(f"""
    WITH {_DIFFERENCES},
    kept AS (
        INSERT INTO reconciliation_break (agency_id, kind, payment_id, subject, ours, theirs, currency,
                                          probable_cause, difference, value)
        SELECT DISTINCT ON (kind, ref) :agency, kind, payment_id, ref, ours, theirs, currency, cause,
               theirs - ours, abs(coalesce(theirs, 0) - coalesce(ours, 0))
          FROM difference d
         WHERE NOT EXISTS (
               SELECT FROM reconciliation_break e
                WHERE e.agency_id = :agency AND e.source = 'processor' AND e.kind = d.kind
                  AND e.subject = d.ref AND e.resolution IN ('explain', 'keep_ours', 'write_off')
                  AND (e.ours, e.theirs) IS NOT DISTINCT FROM (d.ours, d.theirs))
         ORDER BY kind, ref
        ON CONFLICT (agency_id, kind, subject) WHERE source = 'processor' AND state <> 'resolved' DO UPDATE
           SET ours = EXCLUDED.ours, theirs = EXCLUDED.theirs, payment_id = EXCLUDED.payment_id,
               difference = EXCLUDED.difference, value = EXCLUDED.value,
               probable_cause = EXCLUDED.probable_cause, seen_at = now()
        RETURNING 1)
    SELECT count(*) FROM kept
""")

# What an event of the inbox tells of is gone once it is posted, or once the event is matched.
# A charge without an intent cannot be looked up by itself: while no run lists it, nothing is known of it,
# nor of what could not be read, while no run reads it.
# What was seen since the run began is not of what it has staged: another run has found it, or a look of its
# own that failed. Of the latter the comparison, where it knows the thing, has the better name.
_RESOLVE = text(f"""
    WITH {_DIFFERENCES},
    gone AS (
        UPDATE reconciliation_break b SET state = 'resolved', resolution = 'cured', resolved_at = now(),
               version = b.version + 1
         WHERE b.agency_id = :agency AND b.source = 'processor' AND b.state <> 'resolved'
           AND (b.rule <> 'inbox' OR EXISTS (
                SELECT FROM payment p
                 WHERE p.agency_id = :agency AND p.processor_ref = b.subject AND p.journal_id IS NOT NULL))
           AND NOT EXISTS (SELECT FROM difference d WHERE d.kind = b.kind AND d.ref = b.subject)
           AND (b.seen_at < :began OR EXISTS (SELECT FROM difference d WHERE d.ref = b.subject))
           AND (b.subject NOT LIKE 'ch\\_%' AND b.probable_cause NOT LIKE 'unreadable: %' OR EXISTS (
                SELECT FROM processor_item i
                 WHERE i.agency_id = :agency AND i.run_id = :run AND i.ref = b.subject))
        RETURNING 1)
    SELECT count(*) FROM gone
""")
