"""What a list of scoring runs can be asked for, and the shape of the list of scorecards."""

from enum import StrEnum
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel

from domain.scoring import Scorecard


class ScoringStatus(StrEnum):
    """Where a scoring run stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


StatusQuery = Annotated[list[ScoringStatus] | None, Query(alias="status", description="may be repeated")]


class ScorecardList(BaseModel):
    """All scorecards of this installation: there are only a few, so never more than one page."""

    results: list[Scorecard]
    next: None = None
    previous: None = None
