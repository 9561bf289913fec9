"""Creditors: names unique in their agency, exactly one of them the default."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from db.commands import Answer
from domain.errors import Conflict, NotFound
from services.access import Right, require
from services.audit import record
from services.commands import CommandKey, carry_out
from services.fields import ChangeForm, Form, Line, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from db.keyset import Position
    from db.models import Creditor
    from db.session import Database, Transaction
    from services.access import Principal


class NewCreditor(Form):
    """A creditor to be made; as the default, it takes the place of the present one."""

    name: Line
    is_default: bool = False


class CreditorChange(ChangeForm):
    """What may change of a creditor."""

    name: Line | None = None
    is_default: bool | None = None
    active: bool | None = None


class CreditorView(View):
    """A creditor as it is shown."""

    id: UUID
    agency_id: UUID
    name: str
    is_default: bool
    active: bool
    created_at: datetime
    updated_at: datetime


class CreditorService:
    """The creditors of an agency."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    async def create(self, principal: "Principal", command: CommandKey, form: NewCreditor) -> Answer:
        """Make a creditor. ``Conflict`` (field ``name``) when the agency has one of that name."""
        require(principal, Right.MANAGE_SETTINGS)

        async def effect(tx: "Transaction") -> CreditorView:
            if form.is_default:
                await _make_room(tx)
            creditor = await tx.creditors.add(form.model_dump())
            await record(tx, "creditor.created", "creditor", creditor.id, new=form.model_dump())
            return CreditorView.model_validate(creditor)

        return await carry_out(self._database, principal.tenant, command, effect, status=201)

    async def change(
        self, principal: "Principal", command: CommandKey, creditor_id: UUID, form: CreditorChange
    ) -> Answer:
        """Change a creditor. ``Conflict`` when the agency would be left without an active default."""
        require(principal, Right.MANAGE_SETTINGS)

        async def effect(tx: "Transaction") -> CreditorView:
            await tx.agencies.get(tx.tenant.agency_id, lock=True)
            present = await tx.creditors.get(creditor_id)
            _check_default(present, form)
            if form.is_default and not present.is_default:
                await _make_room(tx)
            creditor, change = await tx.creditors.change(creditor_id, form.given())
            if change:
                await record(tx, "creditor.changed", "creditor", creditor_id, old=change.old, new=change.new)
            return CreditorView.model_validate(creditor)

        return await carry_out(self._database, principal.tenant, command, effect)

    async def get(self, principal: "Principal", creditor_id: UUID) -> CreditorView:
        """One creditor of the principal's agency."""
        require(principal, Right.READ_SETTINGS)
        async with self._database.transaction(principal.tenant) as tx:
            return CreditorView.model_validate(await tx.creditors.get(creditor_id))

    async def named(self, principal: "Principal", name: str) -> CreditorView:
        """The creditor of the principal's agency with exactly this name. ``NotFound``."""
        require(principal, Right.READ_SETTINGS)
        async with self._database.transaction(principal.tenant) as tx:
            creditor = await tx.creditors.by_name(name)
        if creditor is None:
            raise NotFound(f"there is no creditor “{name}”")
        return CreditorView.model_validate(creditor)

    async def page(
        self, principal: "Principal", position: "Position | None", limit: int
    ) -> "Sequence[Creditor]":
        """Creditors of the principal's agency, newest first."""
        require(principal, Right.READ_SETTINGS)
        async with self._database.transaction(principal.tenant) as tx:
            return await tx.creditors.page(position=position, limit=limit)


def _check_default(present: "Creditor", form: CreditorChange) -> None:
    stays_default = present.is_default if form.is_default is None else form.is_default
    stays_active = present.active if form.active is None else form.active
    if present.is_default and not stays_default:
        raise Conflict("an agency needs a default creditor; make another one the default", field="is_default")
    if stays_default and not stays_active:
        raise Conflict(
            "the default creditor must be active; make another one the default first", field="active"
        )


async def _make_room(tx: "Transaction") -> None:
    """Take the default from the creditor that has it; the agency's lock keeps others from doing so too."""
    await tx.agencies.get(tx.tenant.agency_id, lock=True)
    present = await tx.creditors.default()
    await tx.creditors.clear_default()
    await record(
        tx, "creditor.changed", "creditor", present.id, old={"is_default": True}, new={"is_default": False}
    )
