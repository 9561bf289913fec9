"""What partners have stated, as people see it: statements, and the lines that could not be read."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import Field

from services.access import Principal, Right, require
from services.fields import View

if TYPE_CHECKING:
    from db.keyset import Position
    from db.models import Statement, StatementLine
    from db.session import Database


class StatementView(View):
    """A statement: a file, or the messages since the last reconciliation.

    ``lines`` are all of it, ``problems`` of them could not be read. ``oldest_at`` and ``newest_at`` span the
    others. ``run_id`` is the reconciliation that has compared it.
    """

    id: UUID
    partner_id: UUID
    channel: str
    state: str = Field(description="open, staged, closed or refused")
    name: str | None
    sha256: str | None
    lines: int
    problems: int
    oldest_at: datetime | None
    newest_at: datetime | None
    run_id: UUID | None
    reason: str | None = Field(description="why it was refused")
    created_at: datetime
    closed_at: datetime | None

    @classmethod
    def of(cls, statement: "Statement") -> "StatementView":
        return cls(**{name: getattr(statement, name) for name in cls.model_fields})


class StatementProblemView(View):
    """A line that could not be read, and why; its references where these could be."""

    line: int
    account_ref: str | None
    debtor_ref: str | None
    payment_ref: str | None
    problem: str | None

    @classmethod
    def of(cls, line: "StatementLine") -> "StatementProblemView":
        return cls(**{name: getattr(line, name) for name in cls.model_fields})


class PartnerStatementService:
    """The statements of the principal's agency's partners."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    async def page(
        self,
        who: Principal,
        partner_id: UUID,
        position: "Position | None",
        limit: int,
        *,
        states: Sequence[str] = (),
    ) -> "Sequence[Statement]":
        """Statements of a partner, newest first, keyed by ``(id,)``. ``NotFound`` without such a partner."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            await tx.partners.get(partner_id)
            return await tx.statements.page(partner_id, position, limit, states=states)

    async def get(self, who: Principal, statement_id: UUID) -> StatementView:
        """One statement. ``NotFound``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            return StatementView.of(await tx.statements.get(statement_id))

    async def problems(
        self, who: Principal, statement_id: UUID, position: "Position | None", limit: int
    ) -> "Sequence[StatementLine]":
        """Lines that could not be read, from the first on, keyed by ``(line,)``. ``NotFound``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            await tx.statements.get(statement_id)
            return await tx.statements.problems(statement_id, position, limit)
