"""The double-entry ledger: how money is written, and what proves that it adds up."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, insert, select, text

from db.models import Account, Journal, Posting
from db.store import Store
from domain.ledger import LedgerAccount


@dataclass(frozen=True, slots=True)
class Breach:
    """An account whose balance is not what its postings say."""

    account_id: UUID
    balance: Decimal
    posted: Decimal


class LedgerStore(Store):
    """Journals and postings of one agency. Nothing here is ever updated or deleted."""

    async def place(
        self, account_id: UUID, amount: Decimal, currency: str, *, key: str, occurred_at: datetime
    ) -> UUID:
        """Post the placement of one account and return the journal's id.

        The caller has inserted the account with this balance in the same transaction. A ``key`` that
        was used before violates the journal's unique constraint.
        """
        journal_id: UUID | None = await self._session.scalar(
            insert(Journal)
            .values(
                agency_id=self._agency_id,
                kind="placement",
                key=key,
                description="Placement",
                occurred_at=occurred_at,
            )
            .returning(Journal.id)
        )
        if journal_id is None:
            raise RuntimeError("an inserted journal has an id")
        await self._session.execute(
            insert(Posting).values(
                agency_id=self._agency_id,
                journal_id=journal_id,
                account_id=account_id,
                debit=LedgerAccount.RECEIVABLE,
                credit=LedgerAccount.PLACEMENTS,
                amount=amount,
                currency=currency,
            )
        )
        return journal_id

    async def accounts(self) -> int:
        """How many accounts there are to prove."""
        counted = await self._session.scalar(
            select(func.count()).select_from(Account).where(Account.agency_id == self._agency_id)
        )
        return counted or 0

    async def breaches(self, limit: int | None = None) -> AsyncIterator[Breach]:
        """Accounts whose balance differs from their postings; none on a sound ledger."""
        rows = await self._session.stream(_BREACHES, {"agency": self._agency_id, "limit": limit})
        async for account_id, balance, posted in rows:
            yield Breach(account_id, balance, posted)


_BREACHES = text("""
    SELECT a.id, a.balance, COALESCE(p.posted, 0)
      FROM account a
      LEFT JOIN (
        SELECT account_id, sum(CASE WHEN debit = 'receivable' THEN amount ELSE 0 END)
                         - sum(CASE WHEN credit = 'receivable' THEN amount ELSE 0 END) AS posted
          FROM posting WHERE account_id IS NOT NULL GROUP BY account_id
      ) p ON p.account_id = a.id
     WHERE a.agency_id = :agency AND a.balance <> COALESCE(p.posted, 0)
     ORDER BY a.id LIMIT CAST(:limit AS bigint)
""")
