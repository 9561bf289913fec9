"""What holds a person holds all their accounts: those that come later, those whose neighbours are closed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from activities.account_messages import PlaceHold, ReleaseHold
from domain.holds import STOPS_WORK_ON_ALL, HoldKind
from services.placing import PlacementForm, place_account
from tests.integration.accounts.desk import SCORERS, Desk

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).date


async def place_by_hand(desk: Desk, debtor_ref: str) -> UUID:
    """As the API places an account."""
    form = PlacementForm.model_validate(
        {
            "external_ref": uuid4().hex,
            "original_amount": Decimal("100.00"),
            "debtor": {"debtor_ref": debtor_ref, "full_name": "Ada Owes"},
        }
    )
    async with desk.db.transaction(desk.tenant) as tx:
        return await place_account(tx, form, SCORERS)


async def worklist(desk: Desk, account: UUID) -> tuple[bool, bool]:
    """Whether an account is held, and whether it is on the worklist."""
    row = await desk.account(account)
    return row["held"], row["queued"]


@pytest.mark.parametrize("kind", sorted(HoldKind))
async def test_an_account_that_comes_later_is_held_by_what_holds_the_person(
    desk: Desk, kind: HoldKind
) -> None:
    first = await place_by_hand(desk, "D-1")
    await desk.tell(PlaceHold, first, kind=kind, reason="we were told")
    later = await place_by_hand(desk, "D-1")
    stranger = await place_by_hand(desk, "D-2")

    held = kind in STOPS_WORK_ON_ALL
    assert await worklist(desk, later) == (held, not held)
    assert await worklist(desk, stranger) == (False, True)

    await desk.tell(ReleaseHold, first, kind=kind)
    assert await worklist(desk, later) == (False, True)
    assert await worklist(desk, await place_by_hand(desk, "D-1")) == (False, True), "it is over"
