"""What a partner says of one account or one payment."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from domain.money import CENT

PARTNER_STATUSES = ("UNPAID", "PARTIAL", "PAID")
"""What partners say of an account; how these compare with ours is in ``domain.reconciliation``."""


@dataclass(frozen=True, slots=True)
class StatedLine:
    """One message of a partner that was found acceptable.

    ``balance`` and ``amount`` are as the partner states them, below zero too. ``status`` is one of
    ``PARTNER_STATUSES``. ``processed_at`` is the time at which it was so in the partner's books.
    """

    account_ref: str | None = None
    debtor_ref: str | None = None
    balance: Decimal | None = None
    status: str | None = None
    currency: str | None = None
    processed_at: datetime | None = None
    payment_ref: str | None = None
    amount: Decimal | None = None
    paid_on: date | None = None
    payer: str | None = None

    def digest(self, partner_id: UUID, nth: int = 1) -> bytes:
        """SHA-256 that is the same for the same content of the same partner, and for nothing else.

        ``nth``: which one it is of several that are really several though their content is the same.
        """
        at = self.processed_at.astimezone(UTC).isoformat() if self.processed_at else None
        paid_on = self.paid_on.isoformat() if self.paid_on else None
        parts = [str(partner_id), self.account_ref, self.debtor_ref, _amount(self.balance), self.status]
        parts += [self.currency, at, self.payment_ref, _amount(self.amount), paid_on, self.payer]
        parts += [str(nth)] if nth > 1 else []
        return hashlib.sha256(json.dumps(parts).encode()).digest()


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """One message of a partner that could not be read, its references where these could be.

    ``content`` is the message itself, as JSON: it is not kept, but tells the same one again.
    """

    problem: str
    content: str
    account_ref: str | None = None
    debtor_ref: str | None = None
    payment_ref: str | None = None

    def digest(self, partner_id: UUID) -> bytes:
        """SHA-256 that is the same for the same content of the same partner refused for the same reason."""
        return hashlib.sha256(json.dumps([str(partner_id), self.problem, self.content]).encode()).digest()

    def columns(self) -> dict[str, str | None]:
        """What is kept of it."""
        return {
            "problem": self.problem,
            "account_ref": self.account_ref,
            "debtor_ref": self.debtor_ref,
            "payment_ref": self.payment_ref,
        }


def digests(lines: Sequence[StatedLine], partner_id: UUID) -> list[bytes]:
    """The digests of the messages of one request, in their order.

    Equal payments that have no reference are as many payments; what is equal otherwise is the same thing
    told twice.
    """
    seen: Counter[StatedLine] = Counter()
    found = []
    for line in lines:
        if line.amount is not None and line.payment_ref is None:
            seen[line] += 1
        found.append(line.digest(partner_id, max(seen[line], 1)))
    return found


def _amount(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount.quantize(CENT), "f")
