"""Notes on accounts: one transaction, no workflow; the lifecycle only hears that something happened."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from services.access import Principal, Right, require
from services.account_command_forms import NoteForm
from services.account_views import TimelineEntry, timeline_entry
from services.accounts import visible_account
from services.commands import CommandKey, carry_out

if TYPE_CHECKING:
    from db.commands import Answer
    from db.session import Database, Transaction

Tell = Callable[[UUID, Sequence[UUID]], Awaitable[None]]
"""Tells the lifecycles of an agency's accounts that these were changed (``services.notices``)."""


class NoteService:
    """Notes on accounts of the principal's agency; a collector's are those assigned to them."""

    def __init__(self, database: "Database", tell: Tell) -> None:
        self._database = database
        self._tell = tell

    async def add(self, who: Principal, command: CommandKey, account_id: UUID, form: NoteForm) -> "Answer":
        """Put a note on an account's timeline and answer that event (201), whatever state it is in.

        ``NotFound`` when the account is not there or not the principal's.
        """
        require(who, Right.WORK_ACCOUNTS)

        async def theirs(tx: "Transaction") -> None:
            await visible_account(tx, who, account_id)

        async def effect(tx: "Transaction") -> TimelineEntry:
            event = await tx.timeline.add(account_id, "note", form.text)
            await tx.audit.record("account.noted", "account", account_id, new={"event_id": event.id})
            await tx.lifecycles.notify([account_id])
            return timeline_entry(event)

        answer = await carry_out(self._database, who.tenant, command, effect, first=theirs, status=201)
        await self._tell(who.tenant.agency_id, [account_id])
        return answer
