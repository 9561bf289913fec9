"""What the worklist can be asked for."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from api.parameters import asked
from api.schemas.accounts import Assigned, Level, Search
from db.worklist import Whose, WorklistFilter
from domain.accounts import AccountStatus


class WorklistQuery:
    """Filters of ``GET /worklist``; repeated values are alternatives."""

    def __init__(
        self,
        collector: Annotated[
            Assigned | None,
            Query(description="a collector's id, or “none”: assigned to nobody"),
        ] = None,
        status: Annotated[list[AccountStatus] | None, Query(description="may be repeated")] = None,
        risk_level: Annotated[list[Level] | None, Query(description="may be repeated")] = None,
        creditor: UUID | None = None,
        search: Annotated[
            Search | None, Query(description="part of reference, name, email or phone, in any case")
        ] = None,
    ) -> None:
        narrowed = WorklistFilter(tuple(status or ()), tuple(risk_level or ()), creditor, search or None)
        self.wanted = Whose(
            None if collector == "none" else collector, nobody=collector == "none", narrowed=narrowed
        )


WorklistQueryDep = Annotated[WorklistQuery, Depends(asked(WorklistQuery))]
