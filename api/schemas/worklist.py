"""What the worklist can be asked for."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Query

from db.worklist import Whose


class WorklistQuery:
    """Filters of ``GET /worklist``."""

    def __init__(
        self,
        collector: Annotated[
            UUID | Literal["none"] | None,
            Query(description="a collector's id, or “none”: assigned to nobody"),
        ] = None,
    ) -> None:
        self.wanted = Whose(nobody=True) if collector == "none" else Whose(collector)


WorklistQueryDep = Annotated[WorklistQuery, Depends()]
