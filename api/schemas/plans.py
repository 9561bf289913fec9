"""What a list of payment plans can be asked for."""

from typing import Annotated, Literal

from fastapi import Depends, Query

from api.parameters import asked
from api.schemas.payments import OfAccount
from services.list_filters import OnAccounts

PlanStatus = Literal["active", "paused", "completed", "broken", "cancelled"]
PreviewQuery = Annotated[bool, Query(description="answer the schedule without making anything")]


class PlanQuery:
    """Filters of ``GET /plans``."""

    def __init__(
        self,
        account: OfAccount = None,
        status: Annotated[list[PlanStatus] | None, Query(description="may be repeated")] = None,
    ) -> None:
        self.wanted = OnAccounts(account_id=account, statuses=status or ())


PlanQueryDep = Annotated[PlanQuery, Depends(asked(PlanQuery))]
