"""Journals that bring our books in line with somebody else's, as a break of a reconciliation was resolved."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from db.ledger import LedgerStore
from domain.ledger import LedgerAccount

ADJUSTMENT = "adjustment"
WRITE_OFF = "write_off"

_OWED = LedgerAccount.RECEIVABLE

_CASH = "sum(CASE WHEN p.debit = 'cash' THEN p.amount WHEN p.credit = 'cash' THEN -p.amount ELSE 0 END)"

ADJUSTED = f"""
    SELECT b.item_id, {_CASH} AS amount, count(DISTINCT b.journal_id) AS journals
      FROM reconciliation_break b
      JOIN posting p ON p.agency_id = b.agency_id AND p.journal_id = b.journal_id
"""
"""What resolutions of breaks have added to the house's cash for a payment, a refund or a chargeback."""

WENT_BACK = f"""
    SELECT j.reverses_id AS payment, {_CASH} AS amount
      FROM journal j
      JOIN posting p ON p.agency_id = j.agency_id AND p.journal_id = j.id
       AND j.kind IN ('reversal', 'refund', 'chargeback', 'reinstatement')
"""
"""What went back of a payment (its journal) in cash, below zero, less what came in again."""


class Standing(NamedTuple):
    """A payment, a refund or a chargeback as our books have it now; what goes out is below zero.

    ``ours``: its amount with the adjustments posted for it. ``missed``: that less what went back of it, but
    for what the partner states to have gone back. ``journals``: how many adjustments there are.
    """

    item_id: UUID
    payment_id: UUID
    status: str
    on_ledger: bool
    ours: Decimal
    missed: Decimal
    journals: int


class AdjustmentStore(LedgerStore):
    """Adjusting journals of one agency; ``key`` as ``LedgerStore.place``.

    Amounts are in the currency of what they adjust. Who adjusts an account has locked it, and changes its
    balance in the same transaction.
    """

    async def standing(self, payment_id: UUID, subject: str, partner_id: UUID | None) -> Standing | None:
        """What a break of a payment is about, by our id or the provider's; the caller has locked the payment.
        None where nothing of it has that id.
        """
        values = {
            "agency": self._agency_id,
            "payment": payment_id,
            "subject": subject,
            "partner": partner_id,
        }
        row = (await self._session.execute(_STANDING, values)).one_or_none()
        return None if row is None else Standing(*row)

    async def adjust(
        self, account_id: UUID, added: Decimal, currency: str, *, key: str, occurred_at: datetime
    ) -> UUID:
        """Add to what is owed on an account; below zero it is taken off. The journal's id."""
        sides = (_OWED, LedgerAccount.ADJUSTMENTS)
        return await self._adjust(account_id, sides, added, currency, key, occurred_at)

    async def adjust_cash(self, added: Decimal, currency: str, *, key: str, occurred_at: datetime) -> UUID:
        """Add to the house's cash, or take off it; the journal's id."""
        sides = (LedgerAccount.CASH, LedgerAccount.ADJUSTMENTS)
        return await self._adjust(None, sides, added, currency, key, occurred_at)

    async def write_off(
        self, account_id: UUID, amount: Decimal, currency: str, *, key: str, occurred_at: datetime
    ) -> UUID:
        """Forgive ``amount`` of what is owed on an account; the journal's id."""
        journal_id = await self._journal(WRITE_OFF, key, "Written off in a reconciliation", occurred_at)
        await self._post(journal_id, account_id, LedgerAccount.WRITE_OFF, _OWED, amount, currency)
        return journal_id

    async def lose(self, amount: Decimal, currency: str, *, key: str, occurred_at: datetime) -> UUID:
        """Write off money of the house that is not where it should be; the journal's id."""
        journal_id = await self._journal(WRITE_OFF, key, "Written off in a reconciliation", occurred_at)
        await self._post(
            journal_id, None, LedgerAccount.PROCESSOR_LOSSES, LedgerAccount.CASH, amount, currency
        )
        return journal_id

    async def _adjust(
        self,
        account_id: UUID | None,
        sides: tuple[LedgerAccount, LedgerAccount],
        added: Decimal,
        currency: str,
        key: str,
        occurred_at: datetime,
    ) -> UUID:
        debit, credit = sides if added > 0 else (sides[1], sides[0])
        journal_id = await self._journal(ADJUSTMENT, key, "Adjusted in a reconciliation", occurred_at)
        await self._post(journal_id, account_id, debit, credit, abs(added), currency)
        return journal_id


_STANDING = text(f"""
    WITH payment_now AS (
        SELECT * FROM payment WHERE agency_id = :agency AND id = :payment),
    back AS (
        SELECT r.id, -r.amount AS amount, r.status, r.processor_ref,
               r.journal_id IS NOT NULL AND r.undone_by_id IS NULL AS on_ledger
          FROM refund r WHERE r.agency_id = :agency AND r.payment_id = :payment
        UNION ALL
        SELECT c.id, -c.amount, c.status, c.processor_ref,
               c.journal_id IS NOT NULL AND c.undone_by_id IS NULL
          FROM chargeback c WHERE c.agency_id = :agency AND c.payment_id = :payment),
    item AS (
        SELECT id, amount, status, journal_id IS NOT NULL AS on_ledger, journal_id
          FROM payment_now WHERE :subject IN (id::text, processor_ref, charge_ref)
        UNION ALL
        SELECT id, amount, status, on_ledger, NULL FROM back WHERE :subject IN (id::text, processor_ref))
    SELECT i.id, CAST(:payment AS uuid), i.status, i.on_ledger, i.amount + COALESCE(x.amount, 0),
           i.amount + COALESCE(x.amount, 0) + COALESCE(w.amount, 0) - COALESCE(s.amount, 0),
           COALESCE(x.journals, 0)
      FROM item i
      LEFT JOIN ({ADJUSTED} WHERE b.agency_id = :agency AND b.item_id IN (SELECT id FROM item)
                  GROUP BY b.item_id) x ON x.item_id = i.id
      LEFT JOIN ({WENT_BACK} WHERE j.agency_id = :agency
                    AND j.reverses_id IN (SELECT journal_id FROM payment_now)
                  GROUP BY j.reverses_id) w ON w.payment = i.journal_id
      LEFT JOIN (SELECT sum(g.amount) AS amount FROM back g
                  WHERE g.on_ledger AND EXISTS (
                        SELECT FROM payment_match m
                         WHERE m.agency_id = :agency AND m.partner_id = CAST(:partner AS uuid)
                           AND m.item_id = g.id)) s ON i.journal_id IS NOT NULL
""")
