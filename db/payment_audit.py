"""Whether payments, refunds and chargebacks agree with their journals: one statement for each promise."""

from collections.abc import AsyncIterator
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from db.store import Store


class PaymentBreach(NamedTuple):
    """A row that does not agree with the ledger: which, and what is wrong."""

    entity: str
    id: UUID
    what: str


class PaymentAuditStore(Store):
    """The proof over one agency's payments."""

    async def count(self) -> int:
        """How many payments there are."""
        return int(await self._session.scalar(_COUNT, {"agency": self._agency_id}) or 0)

    async def breaches(self) -> AsyncIterator[PaymentBreach]:
        """What does not agree; nothing on sound books."""
        for statement in _PROMISES:
            async for row in await self._session.stream(statement, {"agency": self._agency_id}):
                yield PaymentBreach(*row)


_COUNT = text("SELECT count(*) FROM payment WHERE agency_id = :agency")

_POSTED = """
    posted AS (
        SELECT j.id, j.kind, j.reverses_id, sum(p.amount) AS amount, count(DISTINCT p.account_id) AS accounts,
               (array_agg(p.account_id))[1] AS account_id, count(DISTINCT p.currency) AS currencies,
               min(p.currency) AS currency
          FROM journal j JOIN posting p ON p.agency_id = :agency AND p.journal_id = j.id
         WHERE j.agency_id = :agency AND j.kind IN ('payment', 'refund', 'chargeback', 'reinstatement')
         GROUP BY j.id)"""

_TAKEN = "('succeeded', 'partially_refunded', 'refunded', 'disputed')"

# Each statement answers entity, id and what is wrong.
_PAYMENTS = text(f"""
    WITH {_POSTED}
    SELECT 'payment', m.id,
           CASE WHEN m.status IN {_TAKEN} AND m.journal_id IS NULL THEN 'took money but has no journal'
                WHEN m.status NOT IN {_TAKEN} AND m.journal_id IS NOT NULL
                THEN 'is ' || m.status || ' but has a journal'
                WHEN j.id IS NULL OR j.kind <> 'payment' THEN 'its journal is no payment'
                WHEN j.amount <> m.amount THEN 'is of ' || m.amount || ', its journal of ' || j.amount
                WHEN j.currencies > 1 OR j.currency <> m.currency THEN 'its journal is in another currency'
                ELSE 'its journal is on another account' END
      FROM payment m LEFT JOIN posted j ON j.id = m.journal_id
     WHERE m.agency_id = :agency
       AND ((m.status IN {_TAKEN}) <> (m.journal_id IS NOT NULL)
            OR m.journal_id IS NOT NULL
               AND (j.id IS NULL OR j.kind <> 'payment' OR j.amount <> m.amount OR j.currencies > 1
                    OR j.currency <> m.currency OR j.accounts > 1 OR j.account_id <> m.account_id))
     ORDER BY m.id
""")

_REFUNDED = text(f"""
    WITH {_POSTED},
    paid_back AS (
        SELECT r.payment_id, sum(j.amount) AS amount
          FROM refund r JOIN posted j ON j.id = r.journal_id
         WHERE r.agency_id = :agency AND r.undone_by_id IS NULL
         GROUP BY r.payment_id)
    SELECT 'payment', m.id,
           'says that ' || m.refunded_amount || ' went back, its refunds'' journals ' || COALESCE(b.amount, 0)
      FROM payment m LEFT JOIN paid_back b ON b.payment_id = m.id
     WHERE m.agency_id = :agency AND m.refunded_amount <> LEAST(m.amount, COALESCE(b.amount, 0))
     ORDER BY m.id
""")


def _given_back(table: str, kind: str) -> str:
    """Rows of a table whose journals are not what they should be: taken off the payment's, and put back."""
    return f"""
    SELECT '{table}', g.id,
           CASE WHEN j.id IS NULL AND g.journal_id IS NOT NULL OR j.kind <> '{kind}'
                THEN 'its journal is no {kind}'
                WHEN j.reverses_id IS DISTINCT FROM m.journal_id
                     OR u.id IS NOT NULL AND u.reverses_id IS DISTINCT FROM m.journal_id
                THEN 'its journal is of another payment'
                WHEN j.amount <> g.amount OR u.amount <> g.amount
                THEN 'is of ' || g.amount || ', its journals of ' || j.amount
                     || COALESCE(' and ' || u.amount, '')
                ELSE 'was undone by what is no reinstatement of it' END
      FROM {table} g
      JOIN payment m ON m.agency_id = :agency AND m.id = g.payment_id
      LEFT JOIN posted j ON j.id = g.journal_id
      LEFT JOIN posted u ON u.id = g.undone_by_id
     WHERE g.agency_id = :agency
       AND (g.journal_id IS NOT NULL
            AND (j.id IS NULL OR j.kind <> '{kind}' OR j.reverses_id IS DISTINCT FROM m.journal_id
                 OR j.amount <> g.amount)
            OR g.undone_by_id IS NOT NULL
               AND (g.journal_id IS NULL OR u.id IS NULL OR u.kind <> 'reinstatement'
                    OR u.reverses_id IS DISTINCT FROM m.journal_id OR u.amount <> g.amount))
     ORDER BY g.id
"""


_REFUNDS = text(f"WITH {_POSTED} {_given_back('refund', 'refund')}")
_CHARGEBACKS = text(f"WITH {_POSTED} {_given_back('chargeback', 'chargeback')}")

_STATUSES = text("""
    SELECT 'refund', r.id, 'is ' || r.status
           || CASE WHEN r.journal_id IS NULL THEN ' but has no journal' ELSE ' but is on the ledger' END
      FROM refund r
     WHERE r.agency_id = :agency
       AND (r.status = 'succeeded') <> (r.journal_id IS NOT NULL AND r.undone_by_id IS NULL)
     ORDER BY r.id
""")

_ORPHANS = text("""
    WITH owner AS (
        SELECT journal_id AS id FROM payment WHERE agency_id = :agency AND journal_id IS NOT NULL
        UNION ALL
        SELECT journal_id FROM refund WHERE agency_id = :agency AND journal_id IS NOT NULL
        UNION ALL
        SELECT undone_by_id FROM refund WHERE agency_id = :agency AND undone_by_id IS NOT NULL
        UNION ALL
        SELECT journal_id FROM chargeback WHERE agency_id = :agency AND journal_id IS NOT NULL
        UNION ALL
        SELECT undone_by_id FROM chargeback WHERE agency_id = :agency AND undone_by_id IS NOT NULL),
    owned AS (SELECT id, count(*) AS owners FROM owner GROUP BY id)
    SELECT 'journal', j.id,
           CASE WHEN o.id IS NULL THEN 'a ' || j.kind || ' that belongs to no payment'
                ELSE 'a ' || j.kind || ' that belongs to ' || o.owners || ' of them' END
      FROM journal j LEFT JOIN owned o ON o.id = j.id
     WHERE j.agency_id = :agency AND j.kind IN ('payment', 'refund', 'chargeback', 'reinstatement')
       AND (o.id IS NULL OR o.owners > 1)
     ORDER BY j.id
""")

_OWED_BACK = text("""
    SELECT 'account', p.account_id, s.side || ' of it are below zero: ' || sum(s.sign * p.amount)
      FROM posting p CROSS JOIN LATERAL (VALUES (p.credit, 1), (p.debit, -1)) AS s (side, sign)
     WHERE p.agency_id = :agency AND p.account_id IS NOT NULL
       AND s.side IN ('credit_balances', 'unapplied')
     GROUP BY p.account_id, s.side
    HAVING sum(s.sign * p.amount) < 0
     ORDER BY p.account_id
""")

_PROMISES = (_OWED_BACK, _PAYMENTS, _REFUNDED, _REFUNDS, _CHARGEBACKS, _STATUSES, _ORPHANS)
