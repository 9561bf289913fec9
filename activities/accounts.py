"""Reading and changing one account on behalf of its lifecycle."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from temporalio import activity

from activities.messages import AccountRef, Message
from domain.accounts import FOLLOW_UP_DAYS, OPEN_STATUSES, AccountStatus
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from db.session import Database

ACTOR = "account-lifecycle"


class AccountSnapshot(Message):
    """What a lifecycle needs to know of its account: a cursor, never an amount of money.

    ``follow_up_at`` is when the account has been left alone for too long.
    """

    status: AccountStatus
    version: int
    is_open: bool
    follow_up_at: datetime


class FollowUp(Message):
    """An account that nothing has happened on until ``due_at``."""

    agency_id: UUID
    account_id: UUID
    due_at: datetime


class AccountActivities:
    """The steps of ``AccountLifecycle``."""

    def __init__(self, db: "Database") -> None:
        self._db = db

    @activity.defn(name="accounts.load")
    async def load(self, ref: AccountRef) -> AccountSnapshot:
        """The account as it is now. Raises ``NotFound``."""
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            account = await tx.lifecycles.view(ref.account_id)
        status = AccountStatus(account.status)
        return AccountSnapshot(
            status=status,
            version=account.version,
            is_open=status in OPEN_STATUSES,
            follow_up_at=account.last_event_at + timedelta(days=FOLLOW_UP_DAYS),
        )

    @activity.defn(name="accounts.note_follow_up")
    async def note_follow_up(self, follow_up: FollowUp) -> bool:
        """Put a follow-up on the timeline, once; False when it was there or the account was touched."""
        async with self._db.transaction(Tenant.system(follow_up.agency_id, ACTOR)) as tx:
            return await tx.lifecycles.note_follow_up(
                follow_up.account_id,
                due_at=follow_up.due_at,
                idle_since=follow_up.due_at - timedelta(days=FOLLOW_UP_DAYS),
            )
