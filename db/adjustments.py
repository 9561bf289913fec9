"""Journals that bring our books in line with somebody else's, as a break of a reconciliation was resolved."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from db.ledger import LedgerStore
from domain.ledger import LedgerAccount

ADJUSTMENT = "adjustment"
WRITE_OFF = "write_off"

_OWED = LedgerAccount.RECEIVABLE


class AdjustmentStore(LedgerStore):
    """Adjusting journals of one agency; ``key`` as ``LedgerStore.place``.

    Amounts are in the currency of what they adjust. Who adjusts an account has locked it, and changes its
    balance in the same transaction.
    """

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
