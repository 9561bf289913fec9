"""Money that is owed back to debtors: of which payments it is, and what of it was applied to debts."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from db.store import Store
from domain.ledger import Parts


class CreditSource(NamedTuple):
    """A payment of which money is owed back: beyond the debt (``credit``), or ``unapplied``.

    ``free``: what of it no refund is about to pay out.
    """

    payment_id: UUID
    journal_id: UUID
    method: str
    credit: Decimal
    unapplied: Decimal
    free: Decimal

    def part(self, amount: Decimal) -> Parts:
        """The parts of so much of it: what was never applied to anything goes first, as in refunds."""
        unapplied = min(amount, self.unapplied)
        return Parts(credit=amount - unapplied, unapplied=unapplied)


class Application(NamedTuple):
    """Money of a payment that was applied to the debt of ``account_id`` by a journal: what is left of it."""

    journal_id: UUID
    account_id: UUID
    credit: Decimal
    unapplied: Decimal

    @property
    def amount(self) -> Decimal:
        """All of it."""
        return self.credit + self.unapplied

    def part(self, amount: Decimal) -> Parts:
        """The parts of so much of it, credit first."""
        credit = min(amount, self.credit)
        return Parts(credit=credit, unapplied=amount - credit)


class CreditStore(Store):
    """What is owed back of one agency's payments. Who changes it has locked the account."""

    async def sources(self, account_id: UUID) -> Sequence[CreditSource]:
        """The payments of an account of which money is owed back, the oldest first.

        One that its payer disputes at the bank is left out: nobody knows whose that money is.
        """
        values = {"agency": self._agency_id, "account": account_id}
        return [CreditSource(*row) for row in await self._session.execute(_SOURCES, values)]

    async def applied(self, payment_journal_id: UUID) -> Sequence[Application]:
        """What of a payment (its journal) is applied to debts, the latest first."""
        values = {"agency": self._agency_id, "payment": payment_journal_id}
        return [Application(*row) for row in await self._session.execute(_APPLIED, values)]


_SOURCES = text("""
    WITH owed AS (
        SELECT m.id, sum(s.sign * p.amount) FILTER (WHERE s.side = 'credit_balances') AS credit,
               sum(s.sign * p.amount) FILTER (WHERE s.side = 'unapplied') AS unapplied
          FROM payment m
         CROSS JOIN LATERAL (
            SELECT m.journal_id AS id
            UNION ALL
            SELECT j.id FROM journal j WHERE j.agency_id = :agency AND j.reverses_id = m.journal_id
            UNION ALL
            SELECT b.id FROM journal a JOIN journal b ON b.agency_id = :agency AND b.reverses_id = a.id
             WHERE a.agency_id = :agency AND a.reverses_id = m.journal_id AND a.kind = 'application') j
          JOIN posting p
            ON p.agency_id = :agency AND p.journal_id = j.id AND p.account_id = m.account_id
         CROSS JOIN LATERAL (VALUES (p.credit, 1), (p.debit, -1)) AS s (side, sign)
         WHERE m.agency_id = :agency AND m.account_id = :account AND m.journal_id IS NOT NULL
           AND m.status <> 'disputed'
         GROUP BY m.id),
    back AS (
        SELECT r.payment_id, sum(r.amount) AS promised,
               COALESCE(sum(r.amount) FILTER (WHERE r.status = 'pending'), 0) AS pending
          FROM refund r
         WHERE r.agency_id = :agency AND r.status IN ('pending', 'succeeded')
           AND r.payment_id IN (SELECT id FROM owed)
         GROUP BY r.payment_id),
    found AS (
        SELECT m.id, m.journal_id, m.method, COALESCE(o.credit, 0) AS credit,
               COALESCE(o.unapplied, 0) AS unapplied,
               LEAST(COALESCE(o.credit, 0) + COALESCE(o.unapplied, 0) - COALESCE(b.pending, 0),
                     m.amount - COALESCE(b.promised, 0)) AS free
          FROM owed o
          JOIN payment m ON m.agency_id = :agency AND m.id = o.id
          LEFT JOIN back b ON b.payment_id = m.id)
    SELECT id, journal_id, method, credit, unapplied, free FROM found WHERE free > 0 ORDER BY id
""")

_APPLIED = text("""
    SELECT a.id, (SELECT p.account_id FROM posting p
                   WHERE p.agency_id = :agency AND p.journal_id = a.id AND p.credit = 'receivable'),
           COALESCE(sum(s.sign * p.amount) FILTER (WHERE s.side = 'credit_balances'), 0),
           COALESCE(sum(s.sign * p.amount) FILTER (WHERE s.side = 'unapplied'), 0)
      FROM journal a
     CROSS JOIN LATERAL (
        SELECT a.id
        UNION ALL
        SELECT b.id FROM journal b WHERE b.agency_id = :agency AND b.reverses_id = a.id) j
      JOIN posting p ON p.agency_id = :agency AND p.journal_id = j.id
     CROSS JOIN LATERAL (VALUES (p.debit, 1), (p.credit, -1)) AS s (side, sign)
     WHERE a.agency_id = :agency AND a.reverses_id = :payment AND a.kind = 'application'
     GROUP BY a.id
    HAVING sum(s.sign * p.amount) FILTER (WHERE s.side IN ('credit_balances', 'unapplied')) > 0
     ORDER BY a.id DESC
""")
