"""What a scorecard may know about a debtor."""

from typing import Literal

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
