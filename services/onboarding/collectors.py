"""Collectors: users with that role, and how many accounts they take."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from pydantic import Field

from db.commands import Answer
from domain.errors import Invalid, NotFound
from domain.tenancy import Role
from services.access import Right, require
from services.audit import record
from services.commands import CommandKey, carry_out
from services.fields import ChangeForm, Form, Line, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from db.keyset import Position
    from db.models import AppUser, Collector
    from db.session import Database, Transaction
    from services.access import Principal

MaxAccounts = Annotated[int, Field(ge=0, le=100_000)]


class NewCollector(Form):
    """A collector to be made of a user; without ``full_name`` they keep the user's."""

    user_id: UUID
    full_name: Line | None = None
    max_accounts: MaxAccounts = 200


class CollectorChange(ChangeForm):
    """What may change of a collector; ``max_accounts`` bounds automatic assignment only."""

    full_name: Line | None = None
    max_accounts: MaxAccounts | None = None
    active: bool | None = None


class CollectorView(View):
    """A collector as they are shown."""

    id: UUID
    agency_id: UUID
    user_id: UUID
    full_name: str
    max_accounts: int
    active: bool
    created_at: datetime
    updated_at: datetime


class CollectorService:
    """The collectors of an agency."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    async def create(self, principal: "Principal", command: CommandKey, form: NewCollector) -> Answer:
        """Make a user of the role ``collector`` one. ``Invalid`` or ``Conflict`` (field ``user_id``)."""
        require(principal, Right.MANAGE_SETTINGS)
        tenant = principal.tenant

        async def effect(tx: "Transaction") -> CollectorView:
            user = await _collecting_user(tx, tenant.agency_id, form.user_id)
            values = {
                "user_id": user.id,
                "full_name": form.full_name or user.full_name,
                "max_accounts": form.max_accounts,
            }
            collector = await tx.collectors.add(values)
            await record(tx, "collector.created", "collector", collector.id, new=values)
            return CollectorView.model_validate(collector)

        return await carry_out(self._database, tenant, command, effect, status=201)

    async def change(
        self, principal: "Principal", command: CommandKey, collector_id: UUID, form: CollectorChange
    ) -> Answer:
        """Change a collector of the principal's agency."""
        require(principal, Right.MANAGE_SETTINGS)

        async def effect(tx: "Transaction") -> CollectorView:
            collector, change = await tx.collectors.change(collector_id, form.given())
            if change:
                await record(
                    tx, "collector.changed", "collector", collector_id, old=change.old, new=change.new
                )
            return CollectorView.model_validate(collector)

        return await carry_out(self._database, principal.tenant, command, effect)

    async def get(self, principal: "Principal", collector_id: UUID) -> CollectorView:
        """One collector of the principal's agency."""
        require(principal, Right.READ_SETTINGS)
        async with self._database.transaction(principal.tenant) as tx:
            return CollectorView.model_validate(await tx.collectors.get(collector_id))

    async def page(
        self, principal: "Principal", position: "Position | None", limit: int
    ) -> "Sequence[Collector]":
        """Collectors of the principal's agency, newest first."""
        require(principal, Right.READ_SETTINGS)
        async with self._database.transaction(principal.tenant) as tx:
            return await tx.collectors.page(position=position, limit=limit)


async def _collecting_user(tx: "Transaction", agency_id: UUID, user_id: UUID) -> "AppUser":
    try:
        user = await tx.users.member(agency_id, user_id, lock=True)
    except NotFound:
        raise Invalid("there is no such user", field="user_id") from None
    if user.role != Role.COLLECTOR:
        raise Invalid(
            f"this user has the role {user.role}; a collector needs the role collector", field="user_id"
        )
    return user
