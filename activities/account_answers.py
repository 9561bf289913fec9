"""What account commands answer: kept with the command, so that its repetition is answered alike."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from domain.money import Money


class Answered(BaseModel):
    """Base of answers; made from a row of the same names."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    @classmethod
    def of(cls, row: Any) -> dict[str, Any]:
        """The answer that a row is, as JSON values."""
        return cls.model_validate(row).model_dump(mode="json")


class HoldAnswer(Answered):
    """A hold; in force while ``released_at`` is null."""

    id: UUID
    account_id: UUID
    kind: str
    reason: str
    until: date | None
    placed_at: datetime
    placed_by: str
    released_at: datetime | None
    released_by: str | None


class PromiseAnswer(Answered):
    """A promise to pay; ``status`` is open, kept, broken or cancelled."""

    id: UUID
    account_id: UUID
    amount: Money
    currency: str
    due_date: date
    status: str
    made_at: datetime
    made_by: str
    resolved_at: datetime | None


class OfferAnswer(Answered):
    """A settlement offer; ``status`` is open, accepted, expired or cancelled."""

    id: UUID
    account_id: UUID
    amount: Money
    percent: Decimal | None
    currency: str
    instalments: int
    expires_on: date
    status: str
    made_at: datetime
    made_by: str
    resolved_at: datetime | None


class DisputeAnswer(Answered):
    """A dispute; ``in_period``: in writing and within the validation period (12 CFR 1006.38).

    ``duplicate_of``: the answered dispute that it repeats.
    """

    id: UUID
    account_id: UUID
    reason: str
    received_on: date
    in_writing: bool
    in_period: bool
    duplicate_of: UUID | None
    status: str
    outcome: str | None
    verification_sent_on: date | None
    recorded_at: datetime
    recorded_by: str
    answered_at: datetime | None
    answered_by: str | None
