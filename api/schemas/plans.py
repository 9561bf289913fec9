"""What a list of payment plans can be asked for."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query

PlanStatus = Literal["active", "paused", "completed", "broken", "cancelled"]
StatusQuery = Annotated[list[PlanStatus] | None, Query(alias="status", description="may be repeated")]
AccountQuery = Annotated[UUID | None, Query(description="of this account only")]
PreviewQuery = Annotated[bool, Query(description="answer the schedule without making anything")]
