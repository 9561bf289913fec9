"""What must hold after any crash: Stripe, the journals and the balances agree to the cent."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
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
BY_HAND = ("cash", "check")
_AHEAD = timedelta(days=1)


@dataclass
class Books:
    """What the database and Stripe have: sums, counts, and what does not agree, in words."""

    payments: Counter[str] = field(default_factory=Counter)
    instalments: int = 0
    charged: Decimal = ZERO
    refunded: Decimal = ZERO
    disputed: Decimal = ZERO
    by_hand: Decimal = ZERO
    cash: Decimal = ZERO
    differences: list[str] = field(default_factory=list)


async def compare(
    url: str,
    agency_id: UUID,
    stripe: "StripeAccount",
    keys: Sequence[str],
    plans: Mapping[str, str],
    since: datetime,
) -> Books:
    """Compare our rows with Stripe's of one agency, whose debtors have used ``keys`` and agreed on ``plans``,
    each with what was to become of it (``customers.PLANS``).

    ``url`` is of somebody who passes row-level security.
    """
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
        ours = await _rows(connection, _PAYMENTS, agency_id)
        books = Books(payments=Counter(row["status"] for row in ours))
        _once_per_key(books, ours, keys)
        await _charges(books, ours, stripe, since)
        await _refunds(books, await _rows(connection, _REFUNDS, agency_id), stripe, since)
        await _disputes(books, await _rows(connection, _CHARGEBACKS, agency_id), stripe, since)
        _plans(books, await _rows(connection, _INSTALMENTS, agency_id), plans)
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
        if row["method"] in BY_HAND:
            books.by_hand += row["amount"] if row["journal_id"] else ZERO
            continue
        charges = taken.pop(row["processor_ref"], [])
        books.charged += sum(charges, ZERO)
        if charges != ([row["amount"]] if row["journal_id"] else []):
            books.differences.append(f"payment {row['id']} is {row['status']}, Stripe took {charges}")
    for intent, charges in taken.items():
        books.charged += sum(charges, ZERO)
        books.differences.append(f"Stripe took {charges} for {intent}, which nobody here knows")


async def _refunds(
    books: Books, ours: list[dict[str, Any]], stripe: "StripeAccount", since: datetime
) -> None:
    paid_out: dict[str, Decimal] = {}
    async for refund in stripe.refunds(since, datetime.now(UTC) + _AHEAD):
        if refund.status == "succeeded":
            paid_out[refund.id] = refund.amount
    books.refunded = sum(paid_out.values(), ZERO)
    for row in ours:
        if row["status"] == "pending" or (row["status"] == "succeeded") != (row["journal_id"] is not None):
            books.differences.append(f"refund {row['id']} is {row['status']}, on the ledger or not")
        if row["method"] in BY_HAND:
            books.by_hand -= row["amount"] if row["journal_id"] else ZERO
        elif row["status"] == "succeeded" and paid_out.pop(row["processor_ref"], None) != row["amount"]:
            books.differences.append(f"refund {row['id']} of {row['amount']} is not so at Stripe")
    books.differences += [f"Stripe has paid {one} back, nobody here knows of it" for one in paid_out]


async def _disputes(
    books: Books, ours: list[dict[str, Any]], stripe: "StripeAccount", since: datetime
) -> None:
    withdrawn: dict[str, Decimal] = {}
    async for dispute in stripe.disputes(since, datetime.now(UTC) + _AHEAD):
        if not dispute.inquiry and dispute.status != "won":
            withdrawn[dispute.id] = dispute.amount
    books.disputed = sum(withdrawn.values(), ZERO)
    known = {row["processor_ref"]: row["amount"] for row in ours if row["withdrawn"]}
    for dispute_id in withdrawn.keys() ^ known.keys():
        books.differences.append(f"the dispute {dispute_id} is on one side only")


def _plans(books: Books, instalments: list[dict[str, Any]], plans: Mapping[str, str]) -> None:
    """Each instalment is paid by one payment at most, exactly where it says so; every plan has become what it
    was to: begun, or never paid on, or cancelled with nothing left to be asked for.
    """
    for row in instalments:
        if row["paid"] > 1 or (row["status"] == "paid") != (row["paid"] == 1):
            where = f"instalment {row['number']} of plan {row['plan_id']}"
            books.differences.append(f"{where} is {row['status']} with {row['paid']} payments")
    for plan_id, kind in plans.items():
        of_plan = [row for row in instalments if str(row["plan_id"]) == plan_id]
        status = {row["plan_status"] for row in of_plan}
        paid, left = (
            sum(row["status"] in wanted for row in of_plan)
            for wanted in ({"paid"}, {"scheduled", "collecting"})
        )
        right = {
            "paid": paid > 0,
            "declined": paid == 0 and status == {"active"},
            "cancelled": left == 0 and status == {"cancelled"},
        }
        if not right[kind]:
            books.differences.append(f"plan {plan_id} is not {kind}: {status}, {paid} paid, {left} left")
    books.instalments = sum(row["paid"] for row in instalments)


async def _ledger(books: Books, connection: psycopg.AsyncConnection[dict[str, Any]], agency_id: UUID) -> None:
    [sums] = await _rows(connection, _SUMS, agency_id)
    books.cash = sums["cash"]
    expected = books.charged - books.refunded - books.disputed + books.by_hand
    if books.cash != expected:
        books.differences.append(
            f"the ledger has {books.cash} in cash; {books.charged} were charged, {books.refunded} refunded,"
            f" {books.disputed} disputed, {books.by_hand} taken by hand: that makes {expected}"
        )
    for row in await _rows(connection, _BALANCES, agency_id):
        books.differences.append(
            f"account {row['id']} owes {row['balance']}, its postings say {row['posted']}"
        )


async def _rows(
    connection: psycopg.AsyncConnection[dict[str, Any]], statement: bytes, agency_id: UUID
) -> list[dict[str, Any]]:
    return await (await connection.execute(statement, {"agency": agency_id})).fetchall()


_PAYMENTS = b"""
    SELECT id, origin, idempotency_key, amount, method, status, processor_ref, journal_id
      FROM payment WHERE agency_id = %(agency)s
"""

_SUMS = b"""
    SELECT COALESCE(sum(CASE WHEN debit = 'cash' THEN amount ELSE -amount END), 0) AS cash
      FROM posting WHERE agency_id = %(agency)s AND 'cash' IN (debit, credit)
"""

_BALANCES = b"""
    SELECT id, balance, posted
      FROM account a CROSS JOIN LATERAL (
        SELECT COALESCE(sum(CASE WHEN p.debit = 'receivable' THEN p.amount ELSE -p.amount END), 0) AS posted
          FROM posting p
         WHERE p.agency_id = a.agency_id AND p.account_id = a.id AND 'receivable' IN (p.debit, p.credit)) p
     WHERE a.agency_id = %(agency)s AND balance <> posted
"""

_INSTALMENTS = b"""
    SELECT i.plan_id, i.number, i.status, l.status AS plan_status,
           count(p.id) FILTER (WHERE p.journal_id IS NOT NULL) AS paid
      FROM plan_instalment i
      JOIN payment_plan l ON l.agency_id = i.agency_id AND l.id = i.plan_id
      LEFT JOIN payment p ON p.agency_id = i.agency_id AND p.instalment_id = i.id
     WHERE i.agency_id = %(agency)s
     GROUP BY i.plan_id, i.number, i.status, l.status ORDER BY i.plan_id, i.number
"""

_REFUNDS = b"""
    SELECT r.id, r.processor_ref, r.amount, r.status, r.journal_id, p.method
      FROM refund r JOIN payment p ON p.agency_id = r.agency_id AND p.id = r.payment_id
     WHERE r.agency_id = %(agency)s
"""

_CHARGEBACKS = b"""
    SELECT c.processor_ref, c.amount, c.journal_id IS NOT NULL AND c.undone_by_id IS NULL AS withdrawn
      FROM chargeback c WHERE c.agency_id = %(agency)s
"""
