"""The double-entry ledger: how money is written, and what proves that it adds up."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import func, insert, select, text

from db.models import Account, Journal, Posting
from db.store import Store
from domain.errors import Conflict, NotFound
from domain.ledger import LedgerAccount, Parts, parts_given_back

PAYMENT = "payment"
"""The kind of a journal that has taken money in: the only one that goes back."""

APPLICATION = "application"
"""The kind of a journal that puts money of a payment, which is owed back, on a debt."""

GivenBack = Literal["reversal", "refund", "chargeback"]

_WORDS: Mapping[GivenBack, str] = {
    "reversal": "Reversal",
    "refund": "Refund",
    "chargeback": "Chargeback",
}

_OWED = LedgerAccount.RECEIVABLE


@dataclass(frozen=True, slots=True)
class Breach:
    """An account whose balance is not what its postings say."""

    account_id: UUID
    balance: Decimal
    posted: Decimal


class OwedBack(NamedTuple):
    """What was paid on an account and is not on its debt: beyond it, and after it was closed."""

    credit_balance: Decimal
    unapplied: Decimal


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
        self, account_id: UUID, parts: Parts, currency: str, *, key: str, occurred_at: datetime
    ) -> UUID:
        """Post a payment of an account's debtor and return the journal's id; ``key`` as ``place``.

        The caller lowers the account's balance by ``parts.debt`` in the same transaction
        (``AccountChange.receive``).
        """
        posted = parts.by_account()
        values = {
            "agency": self._agency_id,
            "kind": PAYMENT,
            "key": key,
            "description": "Payment",
            "at": occurred_at,
            "account": account_id,
            "debit": LedgerAccount.CASH.value,
            "credits": [account.value for account, _ in posted],
            "amounts": [amount for _, amount in posted],
            "currency": currency,
        }
        journal_id: UUID = await self._fetch_value(_RECEIVE, values)
        return journal_id

    async def give_back(
        self,
        payment_id: UUID,
        account_id: UUID,
        amount: Decimal | None,
        *,
        kind: GivenBack,
        key: str,
        occurred_at: datetime,
        gone: bool = False,
    ) -> tuple[UUID, Decimal]:
        """Take ``amount`` of a payment (its journal is ``payment_id``) off the ledger, None for all of it.

        The new journal's id, and what that adds to the account's balance: the caller, who has locked the
        account, raises it by that. ``NotFound`` for a journal that is not there, ``Conflict`` for one that is
        no payment of this account, and above what is left of it; unless that money is ``gone`` whatever is
        said of it here: then what is above is a loss.
        """
        left, currency = await self._left(payment_id, account_id)
        wanted = left.held if amount is None else amount
        if not gone:
            _check_left(left, wanted, payment_id)
        parts = parts_given_back(left, wanted)
        journal_id = await self._journal(kind, key, _WORDS[kind], occurred_at, reverses_id=payment_id)
        await self._post_parts(journal_id, account_id, parts, currency, back=True)
        return journal_id, parts.debt

    async def post_again(
        self,
        payment_id: UUID,
        account_id: UUID,
        parts: Parts,
        currency: str,
        *,
        key: str,
        occurred_at: datetime,
    ) -> UUID:
        """Post money that had been given back of a payment and is here after all: the refund failed, the
        chargeback was won. The new journal's id; otherwise as ``receive``.
        """
        journal_id = await self._journal(
            "reinstatement", key, "Reinstatement", occurred_at, reverses_id=payment_id
        )
        await self._post_parts(journal_id, account_id, parts, currency)
        return journal_id

    async def losses(self, payment_id: UUID, account_id: UUID) -> Decimal:
        """What went back of a payment beyond what was left of it, and was not made good. As ``give_back``."""
        return (await self._left(payment_id, account_id))[0].losses

    async def owed_back(self, account_id: UUID) -> OwedBack:
        """What of the money that is here for an account is to be given back."""
        values = {"agency": self._agency_id, "account": account_id}
        return OwedBack(*(await self._session.execute(_OWED_BACK, values)).one())

    async def left(self, payment_id: UUID, account_id: UUID) -> Parts:
        """What is left of a payment (its journal) on its own account. As ``give_back``."""
        return (await self._left(payment_id, account_id))[0]

    async def apply(
        self,
        payment_id: UUID,
        parts: Parts,
        between: tuple[UUID, UUID],
        currency: str,
        *,
        key: str,
        occurred_at: datetime,
    ) -> UUID:
        """Put money of a payment (its journal) that is owed back on a debt: from the first account's credit
        and unapplied money to what is owed on the second. The journal's id; ``key`` as ``place``.

        The caller lowers the second account's balance by it.
        """
        owner, debt = between
        journal_id = await self._journal(
            APPLICATION, key, "Applied to a debt", occurred_at, reverses_id=payment_id
        )
        await self._post_parts(journal_id, owner, parts, currency, back=True)
        await self._post(journal_id, debt, LedgerAccount.CASH, _OWED, parts.held, currency)
        return journal_id

    async def take_back_applied(
        self,
        application_id: UUID,
        parts: Parts,
        between: tuple[UUID, UUID],
        currency: str,
        *,
        key: str,
        occurred_at: datetime,
    ) -> UUID:
        """Undo a part or all of ``apply``: the caller raises the second account's balance by it."""
        owner, debt = between
        journal_id = await self._journal(
            "application_reversal", key, "Applied no more", occurred_at, reverses_id=application_id
        )
        await self._post(journal_id, debt, _OWED, LedgerAccount.CASH, parts.held, currency)
        await self._post_parts(journal_id, owner, parts, currency)
        return journal_id

    async def forgive(
        self, account_id: UUID, amount: Decimal, currency: str, *, key: str, occurred_at: datetime
    ) -> UUID:
        """Write off what is left of a settled debt; the journal's id. The caller makes the balance zero."""
        journal_id = await self._journal("write_off", key, "Forgiven by a settlement", occurred_at)
        await self._post(journal_id, account_id, LedgerAccount.WRITE_OFF, _OWED, amount, currency)
        return journal_id

    async def owe_again(self, write_off_id: UUID, *, key: str, occurred_at: datetime) -> Decimal:
        """Take back what ``forgive`` wrote off, once; how much the caller adds to the balance."""
        forgiven = await self._session.scalar(
            select(Posting).where(Posting.agency_id == self._agency_id, Posting.journal_id == write_off_id)
        )
        if forgiven is None:
            raise NotFound("there is no such journal")
        journal_id = await self._journal(
            "write_off_reversal", key, "The settlement did not last", occurred_at, reverses_id=write_off_id
        )
        await self._post(
            journal_id,
            forgiven.account_id,
            _OWED,
            LedgerAccount.WRITE_OFF,
            forgiven.amount,
            forgiven.currency,
        )
        return forgiven.amount

    async def _left(self, payment_id: UUID, account_id: UUID) -> tuple[Parts, str]:
        """What is left of a payment on the ledger, and its currency."""
        kind = await self._session.scalar(
            select(Journal.kind).where(Journal.agency_id == self._agency_id, Journal.id == payment_id)
        )
        if kind is None:
            raise NotFound("there is no such journal")
        rows = (await self._session.execute(_LEFT, {"agency": self._agency_id, "payment": payment_id})).all()
        if kind != PAYMENT or {row.account_id for row in rows} != {account_id}:
            raise Conflict("this is no payment of this account", journal_id=str(payment_id))
        by_account = {row.ledger_account: row.amount for row in rows}
        parts = Parts(
            by_account.get(LedgerAccount.RECEIVABLE, Decimal(0)),
            by_account.get(LedgerAccount.CREDIT_BALANCES, Decimal(0)),
            by_account.get(LedgerAccount.UNAPPLIED, Decimal(0)),
            -by_account.get(LedgerAccount.PROCESSOR_LOSSES, Decimal(0)),
        )
        return parts, rows[0].currency

    async def _post_parts(
        self, journal_id: UUID, account_id: UUID, parts: Parts, currency: str, *, back: bool = False
    ) -> None:
        for account, amount in parts.by_account():
            debit, credit = (account, LedgerAccount.CASH) if back else (LedgerAccount.CASH, account)
            await self._post(journal_id, account_id, debit, credit, amount, currency)

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


def _check_left(left: Parts, wanted: Decimal, payment_id: UUID) -> None:
    if left.held == 0:
        raise Conflict("this payment was reversed already", journal_id=str(payment_id))
    if wanted > left.held:
        raise Conflict(f"only {left.held} of this payment is left", left=format(left.held, "f"))


_RECEIVE = b"""
    WITH journaled AS (
        INSERT INTO journal (agency_id, kind, key, description, occurred_at)
        VALUES (%(agency)s, %(kind)s, %(key)s, %(description)s, %(at)s) RETURNING id),
    posted AS (
        INSERT INTO posting (agency_id, journal_id, account_id, debit, credit, amount, currency)
        SELECT %(agency)s, j.id, %(account)s, %(debit)s, p.credit, p.amount, %(currency)s
          FROM journaled j, unnest(%(credits)s::text[], %(amounts)s::numeric[])
               WITH ORDINALITY AS p (credit, amount, place)
         ORDER BY p.place)
    SELECT id FROM journaled
"""

_LEFT = text("""
    SELECT p.account_id, p.currency,
           CASE WHEN p.debit = 'cash' THEN p.credit ELSE p.debit END AS ledger_account,
           sum(CASE WHEN p.debit = 'cash' THEN p.amount ELSE -p.amount END) AS amount
      FROM journal j JOIN posting p ON p.agency_id = j.agency_id AND p.journal_id = j.id
     WHERE j.agency_id = :agency
       AND (j.id = :payment OR j.reverses_id = :payment OR j.reverses_id IN (
            SELECT id FROM journal a
             WHERE a.agency_id = :agency AND a.reverses_id = :payment AND a.kind = 'application'))
       AND 'cash' IN (p.debit, p.credit)
       AND NOT (j.kind IN ('application', 'application_reversal') AND 'receivable' IN (p.debit, p.credit))
     GROUP BY 1, 2, 3
""")

_OWED_BACK = text("""
    SELECT COALESCE(sum(sign * amount) FILTER (WHERE side = 'credit_balances'), 0.00),
           COALESCE(sum(sign * amount) FILTER (WHERE side = 'unapplied'), 0.00)
      FROM posting p CROSS JOIN LATERAL (VALUES (p.credit, 1), (p.debit, -1)) AS sides (side, sign)
     WHERE p.agency_id = :agency AND p.account_id = :account
""")

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
