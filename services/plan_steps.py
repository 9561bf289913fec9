"""What an account's payment plan waits for."""

from datetime import UTC
from typing import TYPE_CHECKING
from uuid import UUID

from domain.plan_schedule import collected_from
from services.lifecycle_view import NextStep

if TYPE_CHECKING:
    from db.session import Transaction


async def next_instalment(tx: "Transaction", account_id: UUID) -> NextStep | None:
    """The next instalment of the account's plan, and when it is asked for; without a time while it is paused,
    or being paid. None where the account has no plan.
    """
    plan = await tx.plans.open_on(account_id)
    if plan is None:
        return None
    instalments = await tx.plans.instalments(plan.id)
    upcoming = (await tx.plans.next_instalments([plan.id])).get(plan.id)
    if upcoming is None:
        return None
    at = None
    if plan.status == "active" and upcoming.status != "collecting":
        zone = (await tx.agencies.get(plan.agency_id)).time_zone
        day = upcoming.collect_on if plan.payment_method else upcoming.due_on
        at = collected_from(upcoming.next_try_on or day, zone).astimezone(UTC)
    return NextStep(what=f"instalment {upcoming.number} of {len(instalments)}", at=at)
