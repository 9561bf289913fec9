"""What came in on an account: one statement, for promises, settlements and plans alike."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


async def received(
    session: "AsyncSession",
    agency_id: UUID,
    account_id: UUID,
    since: datetime,
    *,
    until: datetime | None = None,
    but_of_plan: UUID | None = None,
) -> Decimal:
    """What was paid on an account from ``since`` to before ``until``, its part of the debt, less what of that
    went back, whenever; ``but_of_plan``: without what this plan's instalments have brought.

    Money that was here already counts when it was applied to the debt.
    """
    values = {
        "agency": agency_id,
        "account": account_id,
        "since": since,
        "until": until,
        "plan": but_of_plan,
    }
    return Decimal(await session.scalar(_RECEIVED, values) or 0)


# What a journal corrects is of the time of that one; an application names its payment, and is of its own.
_RECEIVED = text("""
    SELECT sum(CASE WHEN p.credit = 'receivable' THEN p.amount ELSE -p.amount END)
      FROM posting p
      JOIN journal j ON j.agency_id = :agency AND j.id = p.journal_id
      LEFT JOIN journal paid
        ON paid.agency_id = :agency AND paid.id = j.reverses_id AND j.kind <> 'application'
     WHERE p.agency_id = :agency AND p.account_id = :account
       AND 'receivable' IN (p.credit, p.debit)
       AND COALESCE(paid.kind, j.kind) IN ('payment', 'application')
       AND COALESCE(paid.occurred_at, j.occurred_at) >= :since
       AND (CAST(:until AS timestamptz) IS NULL OR COALESCE(paid.occurred_at, j.occurred_at) < :until)
       AND (CAST(:plan AS uuid) IS NULL OR NOT EXISTS (
           SELECT FROM payment m JOIN plan_instalment i ON i.agency_id = :agency AND i.id = m.instalment_id
            WHERE m.agency_id = :agency AND m.journal_id = COALESCE(paid.id, j.id) AND i.plan_id = :plan))
""")
