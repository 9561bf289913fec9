"""What the queue of breaks can be asked for."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Query

from api.parameters import asked
from db.breaks import BreakFilter
from domain.breaks import AgeBucket
from domain.money import MAX_AMOUNT, Money
from domain.reconciliation import BreakKind
from services.list_filters import BreaksWanted

BreakState = Literal["open", "proposed", "resolved"]
BreakSource = Literal["processor", "partner"]


class BreakQuery:
    """Filters of ``GET /breaks``; repeated values are alternatives."""

    def __init__(
        self,
        state: Annotated[list[BreakState] | None, Query(description="may be repeated")] = None,
        kind: Annotated[list[BreakKind] | None, Query(description="may be repeated")] = None,
        source: Annotated[list[BreakSource] | None, Query(description="may be repeated")] = None,
        partner_id: UUID | None = None,
        account_id: UUID | None = None,
        owner: Annotated[str | None, Query(max_length=100, description="a username, `me`, or `none`")] = None,
        age: Annotated[AgeBucket | None, Query(description="in days since it was found")] = None,
        min_value: Annotated[
            Money | None, Query(ge=0, le=MAX_AMOUNT, description="the money at risk, at least")
        ] = None,
        escalated: Annotated[bool | None, Query(description="not answered in time")] = None,
    ) -> None:
        wanted = BreakFilter(
            states=state or (),
            kinds=kind or (),
            sources=source or (),
            partner_id=partner_id,
            account_id=account_id,
            age=age,
            min_value=min_value,
            escalated=escalated,
        )
        self.wanted = BreaksWanted(wanted, owner)


BreakQueryDep = Annotated[BreakQuery, Depends(asked(BreakQuery))]
