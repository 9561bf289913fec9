"""What hangs on accounts, chosen as lists of it are: payments, plans."""

from collections.abc import Collection
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Select, select

from db.models import Account, Payment, PaymentPlan

_OnAccount = TypeVar("_OnAccount", Payment, PaymentPlan)


def on_accounts(
    model: type[_OnAccount],
    agency_id: UUID,
    account_id: UUID | None,
    statuses: Collection[str],
    only_for: UUID | None,
) -> "Select[_OnAccount]":
    """Rows of an agency: of one account, in some statuses, of the accounts of a collector; where said."""
    query = select(model).where(model.agency_id == agency_id)
    if account_id is not None:
        query = query.where(model.account_id == account_id)
    if statuses:
        query = query.where(model.status.in_(sorted(statuses)))
    if only_for is not None:
        theirs = select(Account.id).where(Account.agency_id == agency_id, Account.assigned_to == only_for)
        query = query.where(model.account_id.in_(theirs))
    return query
