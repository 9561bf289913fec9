"""The queue of breaks in the console: two people, one decision."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from db.models import ReconciliationBreak
from domain.tenancy import Tenant
from tests.integration.api.conftest import PASSWORD
from tests.integration.api.people import make, place


@pytest.fixture(scope="module")
async def checker(console: Any) -> str:
    """A second administrator, who approves what the first one proposes."""
    person = {
        "username": "acme.checker",
        "full_name": "Che Cker",
        "role": "agency_admin",
        "password": PASSWORD,
    }
    await console.world.call("acme.admin", "POST", "/users", person)
    return "acme.checker"


async def _found(console: Any, ours: str = "100.00", theirs: str = "90.00") -> tuple[str, str]:
    """A break as a reconciliation with Stripe leaves it, and its account: the ids."""
    account = await place(console.world, await make(console.world), ours)
    async with console.world.database.transaction(
        Tenant.system(console.world.agencies["acme"], "test")
    ) as tx:
        broken = ReconciliationBreak(
            agency_id=console.world.agencies["acme"],
            kind="balance",
            source="processor",
            subject=f"ref-{uuid4().hex}",
            currency="USD",
            probable_cause="unknown",
            rule="exact",
            ours=Decimal(ours),
            theirs=Decimal(theirs),
            value=abs(Decimal(theirs) - Decimal(ours)),
            account_id=account["id"],
            account_ref=account["external_ref"],
        )
        tx.session.add(broken)
        await tx.session.flush()
        return str(broken.id), str(account["id"])


@pytest.mark.parametrize("who", ["platform", "acme.admin", "acme.auditor"])
async def test_who_reads_reconciliations_sees_the_queue(console: Any, who: str) -> None:
    broken, _ = await _found(console)
    [queue] = {
        link
        for link in (await console.get(who, "/reconciliation/runs")).links
        if link.partition("?")[0] == "/reconciliation"
    }
    assert queue == "/reconciliation?state=open&state=proposed"
    assert f"/breaks/{broken}" in (await console.get(who, queue)).links
    shown = await console.get(who, f"/breaks/{broken}")
    assert shown.status == 200, shown.text
    assert "−10.00" in shown.text
    assert shown.has_form("settle-form") is (who != "acme.auditor")


@pytest.mark.parametrize(("who", "status"), [("acme.collector", 403), ("rival.admin", 404)])
async def test_nobody_else_sees_a_break(console: Any, who: str, status: int) -> None:
    broken, _ = await _found(console)
    page = await console.get(who, f"/breaks/{broken}")
    assert page.status == status
    assert "−10.00" not in page.text


async def test_a_small_break_is_explained_in_one_step(console: Any) -> None:
    broken, _ = await _found(console)
    done = await console.send(
        "acme.admin", f"/breaks/{broken}", "settle-form", resolution="explain", note="both are right"
    )
    assert done.path == f"/breaks/{broken}"
    assert "The break is resolved." in done.text
    assert "both are right" in done.text
    assert not done.has_form("settle-form")


async def test_above_the_limit_another_one_has_to_approve(console: Any, checker: str) -> None:
    broken, _ = await _found(console, "900.00", "100.00")
    page = await console.get("acme.admin", f"/breaks/{broken}")
    assert page.form("settle-form").action.endswith("/propose")
    mine = await console.send(
        "acme.admin", f"/breaks/{broken}", "settle-form", resolution="explain", note="they were late"
    )
    assert "Somebody else has to approve it" in mine.text
    assert not mine.has_form("approve-form")
    approved = await console.send(checker, f"/breaks/{broken}", "approve-form")
    assert "Approved, and done." in approved.text
    assert "acme.checker" in approved.text


async def test_who_decides_on_what_has_changed_meanwhile_is_told(console: Any, checker: str) -> None:
    broken, _ = await _found(console)
    first = await (await console.browser("acme.admin")).get(f"/breaks/{broken}")
    second = await (await console.browser(checker)).get(f"/breaks/{broken}")
    said = {"resolution": "explain", "note": "seen by both"}
    await (await console.browser("acme.admin")).send(first.form("settle-form"), **said)
    refused = await (await console.browser(checker)).send(second.form("settle-form"), **said)
    assert refused.status == 409
    assert refused.answer.headers["hx-retarget"] == "#settle-form .form-problem"
    assert "resolved already" in refused.text


async def test_what_is_left_out_is_said_beside_the_form(console: Any) -> None:
    broken, _ = await _found(console)
    refused = await console.send("acme.admin", f"/breaks/{broken}", "settle-form", resolution="explain")
    assert refused.status == 422
    assert refused.answer.headers["hx-retarget"] == "#settle-form .form-problem"
    assert "Note" in refused.text


async def test_a_break_is_taken_and_given_back(console: Any) -> None:
    broken, _ = await _found(console)
    taken = await console.send("acme.admin", f"/breaks/{broken}", "take-form")
    assert "acme.admin has the break now." in taken.text
    mine = await console.get("acme.admin", "/reconciliation?state=open&owner=me")
    assert f"/breaks/{broken}" in mine.links
    given = await console.send("acme.admin", f"/breaks/{broken}", "give-form")
    assert "Nobody has the break now." in given.text


@pytest.mark.parametrize(
    "path",
    [
        "/reconciliation/runs",
        "/reconciliation/partners",
        "/reconciliation/stripe",
        "/payments",
        "/plans",
        "/plans/upcoming",
        "/dashboard",
    ],
)
async def test_pages_of_money_are_there_for_who_may_read_them(console: Any, path: str) -> None:
    for who in ("platform", "acme.admin", "acme.auditor"):
        page = await console.get(who, path)
        assert page.status == 200, page.text
    collector = await console.get("acme.collector", path)
    assert collector.status == (200 if path.startswith(("/payments", "/plans")) else 403)


async def test_without_a_state_the_queue_has_breaks_in_any_and_says_so(console: Any) -> None:
    broken, _ = await _found(console)
    await console.send(
        "acme.admin", f"/breaks/{broken}", "settle-form", resolution="explain", note="so it is"
    )
    browser = await console.browser("acme.admin")
    unticked = await browser.block("/reconciliation?kind=&source=&owner=", "results")
    assert unticked.path == "/reconciliation"
    for page in (unticked, await browser.get("/reconciliation")):
        assert f"/breaks/{broken}" in page.links
        assert "breaks in any state, resolved ones too" in page.text
    opened = await browser.get("/reconciliation?state=open")
    assert f"/breaks/{broken}" not in opened.links
    assert "any state" not in opened.text


async def test_the_queue_stays_narrowed_as_another_page_led_to_it_and_says_so(console: Any) -> None:
    await _found(console)
    page = await console.get("acme.admin", "/reconciliation?state=open&age=0-1")
    assert "Breaks that are 0-1 days old." in page.text
    form = next(form for form in page.forms if form.action == "/reconciliation")
    assert form.fields["age"] == "0-1"
    assert "Breaks that are" not in (await console.get("acme.admin", "/reconciliation?state=open")).text
    nobody = await console.get("acme.admin", f"/reconciliation?state=open&partner_id={uuid4()}")
    assert nobody.status == 404
