"""A bank that gets things wrong on purpose: statements of our own payments, with the truth beside them.

Lines have the reference of their payment. Variants have none: half of them name the account, the others only
the payer, and their day is another one nearby. Splits are payments in two lines of one reference.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import polars as pl
from sqlalchemy import text

from db.store import Store
from domain.errors import Conflict
from domain.money import CENT
from domain.statement_profiles import StatementProfile
from sandbox.partner_shares import Shares
from sandbox.planted import Truth
from sandbox.statement_writer import encode

if TYPE_CHECKING:
    from db.models import Partner

WINDOW = timedelta(days=3)
"""How far the day of a variant may be from that of its payment, and how old a missed one is at least."""

_LOOK_BACK = timedelta(days=120)
_HITS = ("missing", "duplicates", "currency", "splits", "variants", "balance")


class OurPayment(NamedTuple):
    """A payment on the ledger as a bank would have it; ``ref`` is what both know it by.

    Refunds and chargebacks are below zero.
    """

    id: UUID
    ref: str
    account_id: UUID
    account_ref: str
    payer: str
    amount: Decimal
    currency: str
    day: date


class PaymentPopulation(Store):
    """Reads the payments of one agency."""

    async def payments(self, since: datetime, until: datetime) -> list[OurPayment]:
        """What is on the ledger and was made in ``[since, until)``, by day."""
        values = {"agency": self._agency_id, "since": since, "until": until}
        return [OurPayment(*row) for row in await self._session.execute(_PAYMENTS, values)]


@dataclass(slots=True)
class _Line:
    """A line about ``payment`` (none: nobody's), and what is wrong with it."""

    payment: OurPayment | None
    amount: Decimal
    paid_on: date
    currency: str
    payment_ref: str | None = None
    account_ref: str | None = None
    payer: str | None = None
    planted: str | None = None
    how: str | None = None


class PaymentSimulation:
    """The making of one statement; the same payments, seed and time make the same bytes."""

    def __init__(
        self, partner: "Partner", profile: StatementProfile, shares: Shares, seed: int, at: datetime
    ) -> None:
        self._partner = partner
        self._profile = profile
        self._shares = shares
        self._seed = seed
        self._at = at
        self._dice = Random(seed)  # noqa: S311 - a reproducible simulation, no secret

    @property
    def span(self) -> tuple[datetime, datetime]:
        """Of which time payments are stated."""
        return self._at - _LOOK_BACK, self._at

    def run(self, payments: list[OurPayment], packed: bool) -> tuple[str, bytes, Truth]:
        """Name, bytes and truth of a statement. ``Conflict`` without payments."""
        if not payments:
            raise Conflict(f"there are no payments that {self._partner.name} could state; take some first")
        hits, notes = self._deal(payments)
        missed = [payment for payment in payments if hits.get(payment.id) == "missing"]
        lines = [line for payment in payments for line in self._lines(payment, hits.get(payment.id))]
        lines += self._unknown(len(payments))
        self._dice.shuffle(lines)
        content = encode(_frame(lines), self._profile, packed=packed)
        name = f"{self._partner.name}-{self._seed}.csv" + (".gz" if packed else "")
        truth = Truth(
            partner=self._partner.name,
            kind=self._profile.kind,
            seed=self._seed,
            statement=name,
            sha256=hashlib.sha256(content).hexdigest(),
            lines=len(lines),
            population=len(payments),
            generated_at=self._at.astimezone(UTC).isoformat(),
            shares=self._shares.as_json(),
            notes=notes,
        )
        truth.planted = [*_planted(lines), *(_entry("missing_there", None, one) for one in missed)]
        truth.links = [
            {"line": number, "subject": str(line.payment.id), "how": line.how}
            for number, line in enumerate(lines, 2)
            if line.how is not None and line.payment is not None
        ]
        return name, content, truth

    def _deal(self, payments: list[OurPayment]) -> tuple[dict[UUID, str], list[str]]:
        """Which payment is hit by what, each by one thing at most."""
        free = [payment for payment in payments if payment.amount > 0]
        self._dice.shuffle(free)
        days = [payment.day for payment in payments]
        # Nothing is missed of the days that the statement may not reach.
        first, last = min(days) + WINDOW, max(days) - WINDOW
        hits: dict[UUID, str] = {}
        notes = []
        for name in _HITS:
            wanted = self._shares.count(name, len(payments))
            able = [p for p in free if p.id not in hits and (name != "missing" or first <= p.day <= last)]
            if name == "splits":
                able = [p for p in able if p.amount > CENT]
            hits |= {payment.id: name for payment in able[:wanted]}
            if len(able) < wanted:
                notes.append(f"{name}: {len(able):,} instead of {wanted:,}: the others are wrong otherwise")
        idle = [name for name in ("status", "stale", "timing", "noise") if getattr(self._shares, name)]
        if idle:
            notes.append(f"{', '.join(idle)}: only statements of accounts have these")
        return hits, notes

    def _lines(self, payment: OurPayment, hit: str | None) -> Iterator[_Line]:
        line = _Line(payment, payment.amount, payment.day, payment.currency, payment.ref, payer=payment.payer)
        if hit == "missing":
            return
        if hit == "splits":
            part = (payment.amount / 3).quantize(CENT) or CENT
            line.amount, line.how = payment.amount - part, "split"
            yield _Line(
                payment, part, payment.day, payment.currency, payment.ref, payer=payment.payer, how="split"
            )
        elif hit == "variants":
            self._without_reference(line, payment)
        elif hit == "balance":
            line.amount, line.planted = payment.amount + self._off(payment.amount), "balance"
        elif hit == "currency":
            line.currency, line.planted = ("USD" if payment.currency == "EUR" else "EUR"), "currency"
        elif hit == "duplicates":
            yield _Line(
                payment,
                payment.amount,
                payment.day,
                payment.currency,
                payment.ref,
                payer=payment.payer,
                planted="duplicate",
            )
            line.planted = "duplicate"
        yield line

    def _without_reference(self, line: _Line, payment: OurPayment) -> None:
        line.payment_ref = None
        line.paid_on = min(payment.day + timedelta(days=self._dice.randint(-2, 2)), self._at.date())
        if self._dice.random() < 0.5:  # noqa: PLR2004 - one half
            line.account_ref, line.payer, line.how = payment.account_ref, None, "account"
        else:
            line.payer, line.how = " ".join(reversed(payment.payer.upper().split())), "payer"

    def _off(self, amount: Decimal) -> Decimal:
        """By how much an amount is wrong: always more than what is tolerated."""
        tolerated = min(self._partner.tolerance_absolute, self._partner.tolerance_percent * amount / 100)
        return (tolerated + CENT + amount * self._dice.randint(1, 40) / 100).quantize(CENT) + CENT

    def _unknown(self, population: int) -> list[_Line]:
        day = self._at.date() - WINDOW
        return [
            _Line(
                None,
                Decimal(number + 1),
                day,
                "USD",
                f"nobody-{self._seed}-{number}",
                payer=f"Nobody {number}",
                planted="missing_here",
            )
            for number in range(self._shares.count("unknown", population))
        ]


def _planted(lines: list[_Line]) -> Iterator[dict[str, Any]]:
    """Breaks of lines; of two lines that are the same, the later one is too many."""
    first: set[UUID] = set()
    for number, line in enumerate(lines, 2):
        if line.planted == "duplicate" and line.payment is not None:
            if line.payment.id not in first:
                first.add(line.payment.id)
                continue
            yield _entry(line.planted, number, line.payment, subject=f"line/{number}", theirs=line.amount)
        elif line.planted == "missing_here":
            yield {
                "kind": line.planted,
                "subject": f"line/{number}",
                "account_ref": line.payment_ref,
                "line": number,
                "ours": None,
                "theirs": str(line.amount),
            }
        elif line.planted is not None and line.payment is not None:
            yield _entry(line.planted, number, line.payment, theirs=line.amount)


def _entry(
    kind: str,
    number: int | None,
    payment: OurPayment,
    *,
    subject: str | None = None,
    theirs: Decimal | None = None,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "subject": subject or str(payment.id),
        "account_ref": payment.account_ref,
        "line": number,
        "ours": str(payment.amount),
        "theirs": None if theirs is None else str(theirs),
    }


def _frame(lines: list[_Line]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "payment_ref": [line.payment_ref for line in lines],
            "account_ref": [line.account_ref for line in lines],
            "amount": [line.amount for line in lines],
            "paid_on": [line.paid_on for line in lines],
            "payer": [line.payer for line in lines],
            "currency": [line.currency for line in lines],
        },
        schema_overrides={
            "payment_ref": pl.String(),
            "account_ref": pl.String(),
            "payer": pl.String(),
            "amount": pl.Decimal(14, 2),
        },
    )


_PAYMENTS = text("""
    WITH every AS (
        SELECT p.id, COALESCE(p.processor_ref, p.charge_ref, p.id::text) AS ref, p.account_id, p.amount,
               p.currency, p.received_on, p.created_at
          FROM payment p WHERE p.agency_id = :agency AND p.journal_id IS NOT NULL
        UNION ALL
        SELECT r.id, COALESCE(r.processor_ref, r.id::text), p.account_id, -r.amount, r.currency, NULL,
               r.created_at
          FROM refund r JOIN payment p ON p.agency_id = :agency AND p.id = r.payment_id
         WHERE r.agency_id = :agency AND r.journal_id IS NOT NULL AND r.undone_by_id IS NULL
        UNION ALL
        SELECT c.id, COALESCE(c.processor_ref, c.id::text), p.account_id, -c.amount, c.currency, NULL,
               c.created_at
          FROM chargeback c JOIN payment p ON p.agency_id = :agency AND p.id = c.payment_id
         WHERE c.agency_id = :agency AND c.journal_id IS NOT NULL AND c.undone_by_id IS NULL)
    SELECT e.id, e.ref, a.id, a.external_ref, d.full_name, e.amount, e.currency,
           COALESCE(e.received_on, (e.created_at AT TIME ZONE g.time_zone)::date)
      FROM every e
      JOIN agency g ON g.id = :agency
      JOIN account a ON a.agency_id = :agency AND a.id = e.account_id
      JOIN debtor d ON d.agency_id = :agency AND d.id = a.debtor_id
     WHERE e.created_at >= :since AND e.created_at < :until
     ORDER BY 8, 2
""")
