"""What lists of debtors can be asked for."""

from typing import Annotated, Literal

from fastapi import Depends, Query
from pydantic import AfterValidator, BeforeValidator, StringConstraints

from api.parameters import asked
from api.schemas.accounts import Priority, Search
from db.debtor_lists import DebtorFilter, HighRiskFilter
from domain.import_profiles import CODE_LIMIT, TEXT_LIMITS
from domain.scoring import RiskLevel


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must not contain line breaks or control characters")
    return value


Code = Annotated[
    str,
    BeforeValidator(_upper),
    StringConstraints(strip_whitespace=True, max_length=CODE_LIMIT),
    AfterValidator(_printable),
]
State = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=TEXT_LIMITS["state"]),
    AfterValidator(_printable),
]
Reference = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=TEXT_LIMITS["debtor_ref"]),
    AfterValidator(_printable),
]
UrgentLevel = Annotated[Literal[RiskLevel.HIGH, RiskLevel.CRITICAL], BeforeValidator(_upper)]


class DebtorQuery:
    """Filters of ``GET /debtors``; repeated values are alternatives."""

    def __init__(
        self,
        search: Annotated[
            Search | None,
            Query(
                description="part of name, email, phone or of an account's reference, in any case; or the "
                "beginning of debtor_ref"
            ),
        ] = None,
        debtor_ref: Annotated[Reference | None, Query(description="exactly")] = None,
        employment_status: Annotated[list[Code] | None, Query(description="may be repeated")] = None,
        state: Annotated[list[State] | None, Query(description="may be repeated; as it is written")] = None,
    ) -> None:
        self.wanted = DebtorFilter(
            search=search or None,
            debtor_ref=debtor_ref or None,
            employment_statuses=employment_status or (),
            states=state or (),
        )


class HighRiskQuery:
    """Filters of ``GET /debtors/high-risk``."""

    def __init__(
        self,
        level: Annotated[
            list[UrgentLevel] | None, Query(description="HIGH or CRITICAL; both unless said")
        ] = None,
        min_priority: Annotated[Priority, Query(description="the least priority of the account")] = 0,
    ) -> None:
        self.wanted = HighRiskFilter(min_priority=min_priority)
        if level:
            self.wanted = HighRiskFilter(levels=level, min_priority=min_priority)


DebtorQueryDep = Annotated[DebtorQuery, Depends(asked(DebtorQuery))]
HighRiskQueryDep = Annotated[HighRiskQuery, Depends(asked(HighRiskQuery))]
