"""What a list of scoring runs can be asked for, and the shape of the list of scorecards."""

from enum import StrEnum
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel

from domain.scoring import Scorer


class ScoringStatus(StrEnum):
    """Where a scoring run stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


StatusQuery = Annotated[list[ScoringStatus] | None, Query(alias="status", description="may be repeated")]


class ScorecardList(BaseModel):
    """All scorecards and models of this installation: there are only a few, so never more than one page."""

    results: list[Scorer]
    next: None = None
    previous: None = None
