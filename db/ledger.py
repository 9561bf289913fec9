"""The double-entry ledger: how money is written, and what proves that it adds up."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, text

from db.models import Account, Journal, Posting
from db.store import Store
from domain.errors import Conflict, NotFound
from domain.ledger import LedgerAccount

PAYMENT = "payment"
"""The kind of a journal that has taken money in: the only one that goes back."""

_OWED = LedgerAccount.RECEIVABLE


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
        journal_id = await self._journal("placement", key, "Placement", occurred_at)
        await self._post(
            journal_id, account_id, LedgerAccount.RECEIVABLE, LedgerAccount.PLACEMENTS, amount, currency
        )
        return journal_id

    async def receive(
        self, account_id: UUID, amount: Decimal, currency: str, *, key: str, occurred_at: datetime
    ) -> UUID:
        """Post a payment of an account's debtor and return the journal's id; ``key`` as ``place``.

        The caller lowers the account's balance in the same transaction (``AccountChange.receive``).
        """
        journal_id = await self._journal(PAYMENT, key, "Payment", occurred_at)
        await self._post(
            journal_id, account_id, LedgerAccount.CASH, LedgerAccount.RECEIVABLE, amount, currency
        )
        return journal_id

    async def reverse(
        self, journal_id: UUID, account_id: UUID, *, key: str, occurred_at: datetime
    ) -> Decimal:
        """Post the opposite of an account's payment; what that adds to its balance. ``key`` as ``place``.

        The caller, who has locked the account, raises its balance by it in the same transaction. Raises
        ``NotFound`` for a journal that is not there, ``Conflict`` for one that is no payment, or not of
        this account alone, or that was reversed already.
        """
        kind = await self._session.scalar(
            select(Journal.kind).where(Journal.agency_id == self._agency_id, Journal.id == journal_id)
        )
        if kind is None:
            raise NotFound("there is no such journal")
        postings = (
            await self._session.scalars(
                select(Posting).where(Posting.agency_id == self._agency_id, Posting.journal_id == journal_id)
            )
        ).all()
        if kind != PAYMENT or {one.account_id for one in postings} != {account_id}:
            raise Conflict("this is no payment of this account", journal_id=str(journal_id))
        earlier = await self._session.scalar(
            select(Journal.id).where(Journal.agency_id == self._agency_id, Journal.reverses_id == journal_id)
        )
        if earlier is not None:
            raise Conflict("this payment was reversed already", journal_id=str(earlier))
        reversing = await self._journal("reversal", key, "Reversal", occurred_at, reverses_id=journal_id)
        added = Decimal(0)
        for one in postings:
            credit, debit = LedgerAccount(one.debit), LedgerAccount(one.credit)
            await self._post(reversing, one.account_id, debit, credit, one.amount, one.currency)
            added += one.amount * ((debit is _OWED) - (credit is _OWED))
        return added

    async def _journal(
        self, kind: str, key: str, description: str, occurred_at: datetime, **more: Any
    ) -> UUID:
        journal = Journal(
            agency_id=self._agency_id,
            kind=kind,
            key=key,
            description=description,
            occurred_at=occurred_at,
            **more,
        )
        self._session.add(journal)
        await self._session.flush()
        return journal.id

    async def _post(
        self,
        journal_id: UUID,
        account_id: UUID | None,
        debit: LedgerAccount,
        credit: LedgerAccount,
        amount: Decimal,
        currency: str,
    ) -> None:
        await self._session.execute(
            insert(Posting).values(
                agency_id=self._agency_id,
                journal_id=journal_id,
                account_id=account_id,
                debit=debit,
                credit=credit,
                amount=amount,
                currency=currency,
            )
        )

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
