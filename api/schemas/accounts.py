"""What a list of accounts can be asked for."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Query
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from api.pagination import PageQuery
from api.parameters import asked
from db.account_lists import AccountFilter, AccountOrder
from db.keyset import Position
from domain.accounts import AccountStatus, PromiseStatus
from domain.figures import AgingBucket
from domain.money import MAX_AMOUNT, Money
from domain.scoring import RiskLevel
from services.fields import Day

MAX_SEARCH = 200
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_BIGINT = 1 << 63


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _end_of_day(value: object) -> object:
    return f"{value}T23:59:59.999999Z" if isinstance(value, str) and _DAY.fullmatch(value) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _plus(value: object) -> object:
    """``90+`` as it was typed: in an address, a plus stands for a space."""
    return AgingBucket.OVER_90 if value == AgingBucket.OVER_90.replace("+", " ") else value


def _searchable(value: str) -> str:
    if any(not character.isprintable() for character in value):
        raise ValueError("must not contain line breaks or control characters")
    return value


Amount = Annotated[Money, Field(ge=0, le=MAX_AMOUNT)]
From = Annotated[datetime, AfterValidator(_utc)]
Until = Annotated[datetime, BeforeValidator(_end_of_day), AfterValidator(_utc)]
Priority = Annotated[int, Field(ge=0, le=3)]
Level = Annotated[RiskLevel, BeforeValidator(_upper)]
Bucket = Annotated[AgingBucket, BeforeValidator(_plus)]
Search = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=MAX_SEARCH),
    AfterValidator(_searchable),
]
Rank = Annotated[int, Field(ge=-_BIGINT, lt=_BIGINT)]


def _collector(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """One error for both, where a union would have one for each."""
    try:
        return read(value)
    except ValidationError:
        raise ValueError("must be the id of a collector, or “none”") from None


Assigned = Annotated[UUID | Literal["none"], WrapValidator(_collector)]
"""The collector to whom accounts are assigned, or ``none``: nobody."""

_KEYS: dict[str, tuple[Any, ...]] = {
    "created_at": (UUID,),
    "balance": (Rank, UUID),
    "due_date": (date | None, UUID),
    "priority_score": (Rank | None, UUID),
}
"""The types of a cursor's key, by what the list is ordered by."""


class AccountQuery:
    """Filters and ordering of ``GET /accounts``; bounds are inclusive, repeated values alternatives."""

    def __init__(
        self,
        status: Annotated[list[AccountStatus] | None, Query(description="may be repeated")] = None,
        collector: Annotated[
            Assigned | None, Query(description="the collector it is assigned to, or “none”: to nobody")
        ] = None,
        creditor: UUID | None = None,
        debtor: UUID | None = None,
        min_balance: Annotated[Amount | None, Query()] = None,
        max_balance: Annotated[Amount | None, Query()] = None,
        created_after: Annotated[
            From | None, Query(description="a day or an instant; UTC unless it says")
        ] = None,
        created_before: Annotated[
            Until | None, Query(description="a day (to its end) or an instant; UTC unless it says")
        ] = None,
        due_after: Day | None = None,
        due_before: Day | None = None,
        priority: Annotated[list[Priority] | None, Query(description="may be repeated")] = None,
        risk_level: Annotated[list[Level] | None, Query(description="may be repeated")] = None,
        promise: Annotated[
            list[PromiseStatus] | None,
            Query(description="with at least one promise to pay in such a status; may be repeated"),
        ] = None,
        contact: Annotated[
            Literal["right_party"] | None,
            Query(description="with at least one attempt in which somebody spoke with the person themselves"),
        ] = None,
        owed_back: Annotated[
            Literal["true"] | None, Query(description="with money that is owed back to the debtor")
        ] = None,
        aging: Annotated[
            list[Bucket] | None,
            Query(
                description="days past due: since the due date, without one since the charge-off, as the"
                " aging report counts them; may be repeated"
            ),
        ] = None,
        search: Annotated[
            Search | None, Query(description="part of reference, name, email or phone, in any case")
        ] = None,
        ordering: Annotated[
            AccountOrder, Query(description="with “-” the largest first; accounts without the value are last")
        ] = AccountOrder.NEWEST,
    ) -> None:
        self.order = ordering
        self.wanted = AccountFilter(
            statuses=status or (),
            collector_id=None if collector == "none" else collector,
            nobody=collector == "none",
            creditor_id=creditor,
            debtor_id=debtor,
            min_balance=min_balance,
            max_balance=max_balance,
            created_after=created_after,
            created_before=created_before,
            due_after=due_after,
            due_before=due_before,
            priorities=priority or (),
            risk_levels=risk_level or (),
            promises=promise or (),
            right_party=contact is not None,
            owed_back=owed_back is not None,
            aging=aging or (),
            search=search or None,
        )

    def position(self, paging: PageQuery) -> Position | None:
        """Where the page starts; ``Invalid`` for a cursor of another ordering."""
        return paging.position(*_KEYS[self.order.by], order=self.order)


AccountQueryDep = Annotated[AccountQuery, Depends(asked(AccountQuery))]
