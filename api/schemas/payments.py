"""What a list of payments can be asked for."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from domain.payments import PaymentStatus

StatusQuery = Annotated[list[PaymentStatus] | None, Query(alias="status", description="may be repeated")]
AccountQuery = Annotated[UUID | None, Query(description="of this account only")]
