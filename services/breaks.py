"""What a user may ask of the queue of breaks: look at it, take one, propose, decide, resolve."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from activities.break_resolution import BreakChange
from db.breaks import NOBODY, BreakFilter
from db.commands import Answer
from domain.errors import Invalid
from domain.tenancy import Role
from services.access import RIGHTS, Principal, Right, require
from services.break_starts import BreakCaseStarter
from services.break_views import (
    BreakDetail,
    BreakView,
    DecisionForm,
    OwnerForm,
    ResolutionForm,
    break_detail,
    break_view,
)
from services.commands import CommandKey, carry_out
from services.web_ui import WebUi
from workflows import queues

if TYPE_CHECKING:
    from collections.abc import Mapping

    from db.keyset import Position
    from db.partner_reports import OpenBreaks
    from db.session import Database, Transaction
    from domain.scoring import Scorer

Tell = Callable[[UUID, Sequence[UUID]], Awaitable[None]]
ME, NONE = "me", "none"


class BreakService:
    """The queue of breaks of the principal's agency; ``tell`` has lifecycles told of changed accounts.

    Raises ``Forbidden``, ``NotFound``, ``KeyReused`` and what the break has against a command: ``Conflict``
    and its kinds (``BreakIsResolved``, ``BreakChanged``, ``ApprovalNeeded``, ``NotPossible``),
    ``OwnProposal`` (403).
    """

    def __init__(
        self,
        database: "Database",
        scorers: "Mapping[str, Scorer]",
        starter: BreakCaseStarter,
        tell: Tell,
        web_ui: WebUi,
    ) -> None:
        self._database = database
        self._scorers = scorers
        self._starter = starter
        self._tell = tell
        self._web_ui = web_ui

    async def page(
        self,
        who: Principal,
        position: "Position | None",
        limit: int,
        wanted: BreakFilter,
        *,
        owner: str | None = None,
    ) -> list[BreakView]:
        """Breaks, newest first, keyed by ``(id,)``. ``owner``: a username, ``me``, or ``none``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            return await break_page(tx, who, position, limit, wanted, owner=owner)

    async def open_by_age(self, who: Principal) -> "Sequence[OpenBreaks]":
        """All breaks that are not resolved, counted and valued by source, kind, age and currency."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            return await tx.partner_reports.open_breaks()

    async def get(self, who: Principal, break_id: UUID) -> BreakDetail:
        """One break. ``NotFound``."""
        require(who, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(who.tenant) as tx:
            return await self._detail(tx, break_id)

    async def propose(
        self, who: Principal, command: CommandKey, break_id: UUID, form: ResolutionForm
    ) -> Answer:
        """Propose how to resolve a break; somebody else decides."""

        async def effect(change: BreakChange) -> None:
            await change.propose(form.resolution, form.note, who.user_id)

        return await self._change(who, command, break_id, form.version, effect, begin=True)

    async def approve(
        self, who: Principal, command: CommandKey, break_id: UUID, form: DecisionForm
    ) -> Answer:
        """Have what is proposed done: by another person than who has proposed it."""

        async def effect(change: BreakChange) -> None:
            await change.approve(who.user_id, form.note)

        return await self._change(who, command, break_id, form.version, effect)

    async def reject(self, who: Principal, command: CommandKey, break_id: UUID, form: DecisionForm) -> Answer:
        """Turn down what is proposed, or take back what one has proposed oneself."""

        async def effect(change: BreakChange) -> None:
            await change.reject(who.user_id, form.note)

        return await self._change(who, command, break_id, form.version, effect)

    async def resolve(
        self, who: Principal, command: CommandKey, break_id: UUID, form: ResolutionForm
    ) -> Answer:
        """Resolve a break in one step, up to the limit."""

        async def effect(change: BreakChange) -> None:
            await change.resolve(form.resolution, form.note)

        return await self._change(who, command, break_id, form.version, effect)

    async def assign(self, who: Principal, command: CommandKey, break_id: UUID, form: OwnerForm) -> Answer:
        """Give a break to somebody who may resolve it. ``Invalid`` (field ``owner``)."""

        async def effect(change: BreakChange) -> None:
            owner_id = None
            if form.owner is not None:
                owner_id = await _resolver(change.tx, who, form.owner)
            await change.assign(owner_id, form.owner)

        return await self._change(who, command, break_id, form.version, effect, begin=form.owner is not None)

    async def _change(
        self,
        who: Principal,
        command: CommandKey,
        break_id: UUID,
        version: int | None,
        effect: Callable[[BreakChange], Awaitable[None]],
        *,
        begin: bool = False,
    ) -> Answer:
        """Change a break under its lock; then have its case told, and the account's lifecycle."""
        require(who, Right.RESOLVE_BREAKS)
        accounts: list[UUID] = []

        async def visible(tx: "Transaction") -> None:
            await tx.breaks.get(break_id)

        async def changed(tx: "Transaction") -> BreakDetail:
            change = await BreakChange.begin(tx, break_id, self._scorers, version=version)
            await effect(change)
            if change.account_id is not None:
                accounts.append(change.account_id)
            return await self._detail(tx, break_id)

        answer = await carry_out(self._database, who.tenant, command, changed, first=visible)
        word = answer.body["message"]
        begin = begin or (word is not None and word["state"] == "pending")
        await self._starter.tell(who.tenant.agency_id, break_id, begin=begin)
        if accounts:
            await self._tell(who.tenant.agency_id, accounts)
        return answer

    async def _detail(self, tx: "Transaction", break_id: UUID) -> BreakDetail:
        return break_detail(
            await tx.breaks.get(break_id),
            await tx.breaks.proposals(break_id),
            await tx.breaks.message(break_id),
            tx.began_at,
            self._web_ui,
            queues.break_workflow_id(break_id),
        )


async def break_page(
    tx: "Transaction",
    who: Principal,
    position: "Position | None",
    limit: int,
    wanted: BreakFilter,
    *,
    owner: str | None,
) -> list[BreakView]:
    """``BreakService.page`` in a transaction that is open."""
    if owner is not None:
        wanted = replace(wanted, owner_id=await _owner_id(tx, who, owner))
    rows = await tx.breaks.page(position, limit, wanted)
    return [break_view(row, tx.began_at) for row in rows]


async def _owner_id(tx: "Transaction", who: Principal, owner: str) -> UUID:
    """Whose breaks are wanted. ``Invalid`` for a name that nobody here has."""
    if owner == ME:
        return who.user_id
    if owner == NONE:
        return NOBODY
    # No name has in it what cannot even be asked for.
    user = await tx.users.by_username(owner.lower()) if owner.isprintable() else None
    if user is None or user.agency_id != who.tenant.agency_id:
        raise Invalid(f"there is no such user; give a username, {ME}, or {NONE}", field="owner")
    return user.id


async def _resolver(tx: "Transaction", who: Principal, owner: str) -> UUID:
    """A user who may be given breaks."""
    user = await tx.users.by_username(owner)
    known = user is not None and user.active and user.agency_id == who.tenant.agency_id
    if user is None or not known or Right.RESOLVE_BREAKS not in RIGHTS[Role(user.role)]:
        raise Invalid("no active user of this name may resolve breaks in this agency", field="owner")
    return user.id
