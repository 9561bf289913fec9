"""The buttons of an account's page are those whose commands would be taken, and no others."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import text
from temporalio.client import Client

from domain.accounts import AccountStatus
from domain.tenancy import Tenant
from sandbox.stripe.server import StripeServer
from services.account_overview import MOST_SHOWN
from tests.integration.api.contacting import debt
from tests.integration.api.people import collector_of, set_account
from tests.integration.payments.till import at_work, opened

TODAY = datetime.now(ZoneInfo("America/New_York")).date()
SOON = (TODAY + timedelta(days=7)).isoformat()
CONFLICT, INVALID = httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY
OF_A_BALANCE = {"promise-form", "offer-form"}
"""Commands that name an amount, which is too much where nothing is owed."""

OWES_NOTHING = "owes nothing"
LATER_HOLD = text(
    "INSERT INTO hold (agency_id, account_id, debtor_id, kind, reason, placed_by, released_at, released_by)"
    " SELECT agency_id, id, debtor_id, 'attorney', 'a letter', 'somebody', now(), 'somebody'"
    " FROM account WHERE id = :account"
)
STATES = [*AccountStatus, "bankrupt", "disputed in time", "deceased", OWES_NOTHING]


@pytest.fixture(scope="module", autouse=True)
async def worker(world: Any, temporal_client: Client, running_stripe: StripeServer) -> AsyncIterator[None]:
    till = await opened(world, temporal_client, running_stripe)
    async with at_work(till):
        yield
    await till.close()


async def _commands(world: Any, account: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """By the form on the page, the command of the API that does the same; what closes comes last."""
    paid = {"account_id": account["id"], "amount": "1.00", "currency": "USD", "idempotency_key": uuid4().hex}
    plan = {"instalments": 2, "frequency": "monthly", "first_due": SOON, "agreed_on": TODAY.isoformat()}
    own = f"/accounts/{account['id']}"
    return {
        "note-form": (f"{own}/notes", {"text": "hello"}),
        "plan-form": (f"{own}/plans?preview=true", plan),
        "promise-form": (f"{own}/promises", {"amount": "1.00", "due_date": SOON}),
        "offer-form": (f"{own}/offers", {"amount": "1.00", "expires_on": SOON}),
        "assign-form": (f"{own}/assign", {"collector_id": str(await collector_of(world))}),
        "card": ("/payments", {**paid, "method": "card", "payment_method": "pm_card_visa"}),
        "hold-form": (f"{own}/holds", {"kind": "attorney", "reason": "a letter"}),
        "dispute-form": (
            f"{own}/disputes",
            {"reason": "not mine", "received_on": TODAY.isoformat(), "in_writing": False},
        ),
    }


async def _standing(world: Any, state: str) -> Mapping[str, Any]:
    """An account that stands so, and that a collector has."""
    account = await debt(world, amount="100.00")
    status = state if state in set(AccountStatus) else "negotiating"
    await set_account(world, account, status=status, **({"balance": 0} if state == OWES_NOTHING else {}))
    own = f"/accounts/{account['id']}"
    done = None
    if state == "bankrupt":
        done = await world.call("acme.admin", "POST", f"{own}/holds", {"kind": "bankruptcy", "reason": "13"})
    elif state == "deceased":
        done = await world.call("acme.admin", "POST", f"{own}/holds", {"kind": "deceased", "reason": "told"})
    elif state == "disputed in time":
        asked = {"reason": "not mine", "received_on": TODAY.isoformat(), "in_writing": True}
        done = await world.call("acme.admin", "POST", f"{own}/disputes", asked)
        # By hand back to where it was: the law stays what it stayed all the same.
        for to in ("in_contact", "negotiating"):
            await world.call("acme.admin", "POST", f"{own}/transition", {"new_status": to})
    assert done is None or done.is_success, done.text
    return account


@pytest.mark.parametrize("state", STATES)
async def test_the_page_offers_what_would_be_taken_and_no_more(console: Any, state: str) -> None:
    world = console.world
    account = await _standing(world, state)
    page = await console.get("acme.admin", f"/accounts/{account['id']}")
    offered, taken = {}, {}
    for form, (path, body) in (await _commands(world, account)).items():
        offered[form] = (
            "card" in page.form("pay-form").options["way"] if form == "card" else page.has_form(form)
        )
        answer = await world.call("acme.admin", "POST", path, body)
        refusal = INVALID if state == OWES_NOTHING and form in OF_A_BALANCE else CONFLICT
        assert answer.is_success or answer.status_code == refusal, (form, answer.text)
        taken[form] = answer.is_success
    assert offered == taken


async def test_a_hold_older_than_many_others_counts_and_can_be_released(console: Any) -> None:
    world = console.world
    account = await debt(world, amount="100.00")
    own = f"/accounts/{account['id']}"
    old = await world.call(
        "acme.admin", "POST", f"{own}/holds", {"kind": "bankruptcy", "reason": "chapter 13"}
    )
    assert old.is_success, old.text
    async with world.database.transaction(Tenant.system(UUID(account["agency_id"]), "test")) as tx:
        for _ in range(MOST_SHOWN + 1):
            await tx.session.execute(LATER_HOLD, {"account": account["id"]})
    page = await console.get("acme.admin", own)
    assert "chapter 13" in page.text
    assert page.has_form("release-bankruptcy-form")
    assert not page.has_form("promise-form")
    assert page.text.count("Released") == MOST_SHOWN
