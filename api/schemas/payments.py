"""What a list of payments can be asked for."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from api.parameters import asked
from domain.payments import PaymentStatus
from services.list_filters import OnAccounts

OfAccount = Annotated[UUID | None, Query(description="of this account only")]


class PaymentQuery:
    """Filters of ``GET /payments``."""

    def __init__(
        self,
        account: OfAccount = None,
        status: Annotated[list[PaymentStatus] | None, Query(description="may be repeated")] = None,
    ) -> None:
        self.wanted = OnAccounts(account_id=account, statuses=status or ())


PaymentQueryDep = Annotated[PaymentQuery, Depends(asked(PaymentQuery))]
