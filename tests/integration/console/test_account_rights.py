"""Who may send what from an account's page: by role, and nobody for an account that is not theirs."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.integration.api.contacting import debt
from tests.integration.api.people import make, place
from tests.integration.console.browser import Form

GONE, REFUSED = httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN
DAY = (datetime.now(UTC).date() + timedelta(days=7)).isoformat()
NOBODY = str(UUID(int=0))
WORK: dict[str, dict[str, str]] = {
    "contacts": {"channel": "letter", "direction": "outbound", "outcome": "none"},
    "notes": {"text": "hello"},
    "promises": {"amount": "1.00", "due_date": DAY},
    "holds": {"kind": "attorney", "reason": "a letter"},
    "disputes": {"reason": "not mine", "received_on": DAY, "in_writing": "true"},
    "offers": {"amount": "1.00", "expires_on": DAY},
    f"offers/{NOBODY}/accept": {},
    "transition": {"new_status": "closed"},
    "payments": {"way": "cash", "amount": "1.00"},
    "preferences": {"inconvenient_places": "work"},
    "plans": {"by": "instalments", "instalments": "2", "frequency": "monthly", "first_due": DAY},
    "plans/preview": {"by": "instalments", "instalments": "2", "frequency": "monthly", "first_due": DAY},
}
MANAGE: dict[str, dict[str, str]] = {
    "holds/attorney/release": {},
    f"disputes/{NOBODY}/answer": {"outcome": "withdrawn"},
    "assign": {"collector_id": NOBODY},
    "close": {"reason": "no more"},
    "credit-balance/apply": {"reason": "as they wrote"},
    "credit-balance/refund": {},
    "recall": {"reason": "no more"},
}


@pytest.fixture(scope="module")
async def accounts(console: Any) -> Mapping[str, Any]:
    """An account of acme's collector, and one of nobody's."""
    return {"mine": await debt(console.world), "other": await place(console.world, await make(console.world))}


async def _send(console: Any, who: str, account: Any, what: str, values: Mapping[str, str]) -> Any:
    browser = await console.browser(who)
    token = next(
        form.fields["_csrf"] for form in (await browser.get("/worklist")).forms if "_csrf" in form.fields
    )
    form = Form("", f"/accounts/{account['id']}/{what}", {"_csrf": token, "_key": uuid4().hex, **values})
    return await browser.send(form)


@pytest.mark.parametrize("what", [*WORK, *MANAGE])
async def test_nobody_commands_who_may_not(console: Any, accounts: Mapping[str, Any], what: str) -> None:
    values = {**WORK, **MANAGE}[what]
    auditor = await _send(console, "acme.auditor", accounts["mine"], what, values)
    assert (auditor.status, "may not do this" in auditor.text) == (REFUSED, True), auditor.text
    collector = await _send(console, "acme.collector", accounts["other"], what, values)
    assert collector.status == (REFUSED if what in MANAGE else GONE), collector.text
    rival = await _send(console, "rival.admin", accounts["mine"], what, values)
    assert rival.status == GONE, rival.text
    assert accounts["mine"]["external_ref"] not in rival.html


async def test_a_form_of_another_session_is_refused(console: Any, accounts: Mapping[str, Any]) -> None:
    page = await console.get("acme.admin", f"/accounts/{accounts['mine']['id']}")
    browser = await console.browser("acme.collector")
    sent = await browser.send(page.form("note-form"), text="forged")
    assert (sent.status, "load the page again" in sent.text) == (REFUSED, True)


async def test_a_form_without_its_key_is_refused(console: Any, accounts: Mapping[str, Any]) -> None:
    page = await console.get("acme.admin", f"/accounts/{accounts['mine']['id']}")
    sent = await (await console.browser("acme.admin")).send(page.form("note-form"), text="x", _key=None)
    assert (sent.status, "load the page again" in sent.text) == (httpx.codes.BAD_REQUEST, True)
