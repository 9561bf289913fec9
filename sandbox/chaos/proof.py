"""What must hold after any crash: Stripe, the journals and the balances agree to the cent."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from gateways.stripe import StripeAccount

ZERO = Decimal(0)
_AHEAD = timedelta(days=1)


@dataclass
class Books:
    """What the database and Stripe have: sums, counts, and what does not agree, in words."""

    payments: Counter[str] = field(default_factory=Counter)
    charged: Decimal = ZERO
    refunded: Decimal = ZERO
    disputed: Decimal = ZERO
    by_hand: Decimal = ZERO
    cash: Decimal = ZERO
    differences: list[str] = field(default_factory=list)


async def compare(
    url: str, agency_id: UUID, stripe: "StripeAccount", keys: Sequence[str], since: datetime
) -> Books:
    """Compare our rows with Stripe's of one agency, whose debtors have used ``keys``.

    ``url`` is of somebody who passes row-level security.
    """
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
        ours = await _rows(connection, _PAYMENTS, agency_id)
        books = Books(payments=Counter(row["status"] for row in ours))
        _once_per_key(books, ours, keys)
        await _charges(books, ours, stripe, since)
        await _paid_back(books, stripe, since)
        await _ledger(books, connection, agency_id)
    return books


def _once_per_key(books: Books, ours: list[dict[str, Any]], keys: Sequence[str]) -> None:
    found = Counter(row["idempotency_key"] for row in ours if row["origin"] == "request")
    for key in keys:
        if found[key] != 1:
            books.differences.append(f"the key {key} has {found[key]} payments")
    for row in ours:
        if row["status"] in {"pending", "processing", "requires_action"}:
            books.differences.append(f"payment {row['id']} is {row['status']}: it has not ended")
        if (row["journal_id"] is not None) != (row["status"] != "failed"):
            books.differences.append(f"payment {row['id']} is {row['status']}, on the ledger or not")


async def _charges(
    books: Books, ours: list[dict[str, Any]], stripe: "StripeAccount", since: datetime
) -> None:
    taken: dict[str, list[Decimal]] = defaultdict(list)
    async for charge in stripe.charges(since, datetime.now(UTC) + _AHEAD):
        if charge.status == "succeeded":
            taken[charge.intent_id or charge.id].append(charge.amount)
    for row in ours:
        if row["method"] in {"cash", "check"}:
            books.by_hand += row["amount"]
            continue
        charges = taken.pop(row["processor_ref"], [])
        books.charged += sum(charges, ZERO)
        if charges != ([row["amount"]] if row["journal_id"] else []):
            books.differences.append(f"payment {row['id']} is {row['status']}, Stripe took {charges}")
    for intent, charges in taken.items():
        books.charged += sum(charges, ZERO)
        books.differences.append(f"Stripe took {charges} for {intent}, which nobody here knows")


async def _paid_back(books: Books, stripe: "StripeAccount", since: datetime) -> None:
    until = datetime.now(UTC) + _AHEAD
    async for refund in stripe.refunds(since, until):
        if refund.status == "succeeded":
            books.refunded += refund.amount
    async for dispute in stripe.disputes(since, until):
        if not dispute.inquiry and dispute.status != "won":
            books.disputed += dispute.amount


async def _ledger(books: Books, connection: psycopg.AsyncConnection[dict[str, Any]], agency_id: UUID) -> None:
    [sums] = await _rows(connection, _SUMS, agency_id)
    books.cash = sums["cash"]
    by_hand = books.by_hand - sums["paid_back_by_hand"]
    expected = books.charged - books.refunded - books.disputed + by_hand
    if books.cash != expected:
        books.differences.append(
            f"the ledger has {books.cash} in cash; {books.charged} were charged, {books.refunded} refunded,"
            f" {books.disputed} disputed, {by_hand} taken by hand: that makes {expected}"
        )
    for row in await _rows(connection, _BALANCES, agency_id):
        books.differences.append(
            f"account {row['id']} owes {row['balance']}, its postings say {row['posted']}"
        )
    for row in await _rows(connection, _TWICE, agency_id):
        books.differences.append(f"payment {row['key']} has {row['count']} journals of kind {row['kind']}")


async def _rows(
    connection: psycopg.AsyncConnection[dict[str, Any]], statement: bytes, agency_id: UUID
) -> list[dict[str, Any]]:
    return await (await connection.execute(statement, {"agency": agency_id})).fetchall()


_PAYMENTS = b"""
    SELECT id, origin, idempotency_key, amount, method, status, processor_ref, journal_id
      FROM payment WHERE agency_id = %(agency)s
"""

_SUMS = b"""
    SELECT COALESCE((SELECT sum(CASE WHEN debit = 'cash' THEN amount ELSE -amount END) FROM posting
                      WHERE agency_id = %(agency)s AND 'cash' IN (debit, credit)), 0) AS cash,
           COALESCE((SELECT sum(r.amount) FROM refund r JOIN payment p ON p.id = r.payment_id
                      WHERE r.agency_id = %(agency)s AND r.status = 'succeeded'
                        AND p.method IN ('cash', 'check')), 0) AS paid_back_by_hand
"""

_BALANCES = b"""
    SELECT id, balance, posted
      FROM account a CROSS JOIN LATERAL (
        SELECT COALESCE(sum(CASE WHEN p.debit = 'receivable' THEN p.amount ELSE -p.amount END), 0) AS posted
          FROM posting p
         WHERE p.agency_id = a.agency_id AND p.account_id = a.id AND 'receivable' IN (p.debit, p.credit)) p
     WHERE a.agency_id = %(agency)s AND balance <> posted
"""

_TWICE = b"""
    SELECT p.id AS key, j.kind, count(*) AS count
      FROM payment p JOIN journal j ON j.agency_id = p.agency_id AND j.kind = 'payment' AND j.key = p.id::text
     WHERE p.agency_id = %(agency)s GROUP BY 1, 2 HAVING count(*) > 1
"""
