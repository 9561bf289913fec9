"""What a scorecard may know about a debtor."""

import hashlib
import json
from collections.abc import Collection
from decimal import Decimal
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from domain.money import Money

NumberFact = Literal["monthly_income", "late_payments_count"]
TextFact = Literal["employment_status", "contract_type", "industry_sector", "family_situation"]
FactName = NumberFact | TextFact


class DebtorFacts(BaseModel):
    """The facts as the debtor's row holds them; ``None`` is not known.

    ``monthly_income`` is in the account's currency, ``late_payments_count`` a number of payments;
    the others are categories in upper case, and one that a scorecard does not name counts as
    unknown.
    """

    model_config = ConfigDict(frozen=True)

    monthly_income: Money | None = None
    late_payments_count: int | None = None
    employment_status: str | None = None
    contract_type: str | None = None
    industry_sector: str | None = None
    family_situation: str | None = None


FACT_NAMES = tuple(DebtorFacts.model_fields)
"""Every fact, in the order of the portfolio file; also the names of the debtor's columns."""

NUMERIC_FACTS: tuple[str, ...] = get_args(NumberFact)
"""The facts that are numbers; the others are categories."""


def inputs_hash(balance: Decimal, facts: DebtorFacts, used: Collection[str]) -> bytes:
    """SHA-256 of what a score is made from: a JSON array of the balance and each used fact, as texts.

    In the order of ``FACT_NAMES``; amounts with two decimals, what is not known is null. Facts that the
    scorer does not use are no part of it.
    """
    values = [getattr(facts, name) for name in FACT_NAMES if name in used]
    texts = [None if value is None else _text(value) for value in (balance, *values)]
    return hashlib.sha256(json.dumps(texts, ensure_ascii=False).encode()).digest()


def _text(value: Decimal | int | str) -> str:
    return f"{value:.2f}" if isinstance(value, Decimal) else str(value)
