"""Holds that nobody's lifecycle looks after: their accounts are closed, or were never worked."""

from typing import TYPE_CHECKING

from activities.account_change import ENDED, AccountChange
from domain.holds import STOPS_WORK_ON_ALL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from db.session import Database
    from domain.scoring import Scorer
    from domain.tenancy import Tenant

AT_ONCE = 500
"""Holds, and accounts, in one go; the next sweep takes what is left."""


async def look_after_holds(db: "Database", tenant: "Tenant", scorers: "Mapping[str, Scorer]") -> None:
    """End holds whose last day is over, and hold what slipped past a hold of the person; safe to repeat.

    A running lifecycle ends its holds itself, to the second. An account in a transaction of its own:
    one that was changed meanwhile is judged as it is then.
    """
    async with db.transaction(tenant) as tx:
        overdue = [(hold.account_id, hold.id) for hold in await tx.holds.overdue(AT_ONCE)]
        unheeded = await tx.holds.unheeded(AT_ONCE)
    for account_id, hold_id in overdue:
        async with db.transaction(tenant) as tx:
            change = await AccountChange.begin(tx, account_id, scorers)
            holds = [hold for hold in await tx.holds.in_force(change.account) if hold.id == hold_id]
            if holds:
                await change.end_holds(holds, ENDED)
                await tx.lifecycles.notify([account_id])
                await change.settle()
    for account_id in unheeded:
        async with db.transaction(tenant) as tx:
            change = await AccountChange.begin(tx, account_id, scorers)
            await change.bring_holds_in_line(STOPS_WORK_ON_ALL)
            await tx.lifecycles.notify([account_id])
            await change.settle()
