"""Partners set up and changed in the console: what was typed is what they have; secrets are shown once."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from console.pages import partner_setup
from tests.integration.api.people import read

OK, INVALID = httpx.codes.OK, httpx.codes.UNPROCESSABLE_ENTITY
NEW = "/reconciliation/partners/new"
PARTNERS = "/reconciliation/partners"


async def made(console: Any, **values: Any) -> Any:
    """The page of a partner that was set up by the form, and what the API says of it."""
    name = f"north-{uuid4().hex[:8]}"
    page = await console.send("acme.admin", NEW, "partner", name=name, **values)
    assert f"{name} is set up; its statements are read from /partners/{name}." in page.text, page.text
    return page, await read(console.world, f"/partners/{page.path.removeprefix(f'{PARTNERS}/')}")


async def test_what_was_typed_is_what_the_partner_has(console: Any) -> None:
    creditor = (await read(console.world, "/creditors"))["results"][0]
    browser = await console.browser("acme.admin")
    form = (await browser.get(NEW)).form("partner")
    secret = form.fields["signing_secret"]
    name = f"south-{uuid4().hex[:8]}"
    given = {
        "name": name,
        "creditor_ids": [creditor["id"]],
        "risk_levels": ["HIGH", "CRITICAL"],
        "min_balance": "250.00",
        "share": "3",
        "tolerance_absolute": "2.50",
        "reconcile_at": "06:30",
        "delivery": "https",
        "delivery_url": "https://partner.example/accounts",
        "statement_profile": json.dumps({"delimiter": ";"}),
    }
    for _ in range(2):
        page = await browser.send(form, **given)
        assert f"{name} is set up" in page.text, page.text
    has = await read(console.world, f"/partners/{page.path.removeprefix(f'{PARTNERS}/')}")
    assert {key: has[key] for key in given if key not in {"share", "statement_profile"}} == {
        key: given[key] for key in given if key not in {"share", "statement_profile"}
    }
    assert (has["share"], has["has_signing_secret"]) == (3, True)
    assert has["statement_profile"] == {"delimiter": ";"}
    for path in (page.path, f"{page.path}/edit"):
        assert secret not in (await browser.get(path)).html
    again = (await browser.get(f"{page.path}/edit")).form("partner")
    assert again.fields["signing_secret"] == ""
    assert again.fields["reconcile_at"] == "06:30"


async def test_who_is_chosen_stays_chosen_beyond_those_that_are_listed(
    console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"Beyond {uuid4().hex[:8]}"
    answer = await console.world.call("acme.admin", "POST", "/creditors", {"name": name})
    creditor = answer.json()["id"]
    page, _ = await made(console, creditor_ids=[creditor])
    monkeypatch.setattr(partner_setup, "MAX_PAGE_SIZE", 1)

    edit = f"{page.path}/edit"
    browser = await console.browser("acme.admin")
    shown = await browser.get(edit)
    await browser.send(shown.form("partner"), min_balance="5.00")

    assert name in shown.text
    has = await read(console.world, f"/partners/{page.path.removeprefix(f'{PARTNERS}/')}")
    assert (has["creditor_ids"], has["min_balance"]) == ([creditor], "5.00")


async def test_a_partner_is_changed_emptied_and_deactivated(console: Any) -> None:
    page, before = await made(console, risk_levels=["LOW"], min_balance="10.00", reconcile_at="05:00")
    assert before["has_signing_secret"] is False
    edit = f"{page.path}/edit"
    cleared = await console.send(
        "acme.admin",
        edit,
        "partner",
        risk_levels=None,
        min_balance="",
        reconcile_at="",
        approval_limit="75.00",
    )
    assert (cleared.path, "is saved." in cleared.text) == (page.path, True), cleared.text
    path = f"/partners/{before['id']}"
    after = await read(console.world, path)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"risk_levels", "min_balance", "reconcile_at", "approval_limit", "updated_at"}
    assert (after["risk_levels"], after["min_balance"], after["reconcile_at"]) == ([], None, None)

    secret = f"whsec_{'A' * 44}"
    secret = secret[:-1] + "="
    await console.send("acme.admin", edit, "partner", signing_secret=secret)
    assert (await read(console.world, path))["has_signing_secret"] is True
    await console.send("acme.admin", edit, "partner", signing_secret="")
    assert (await read(console.world, path))["has_signing_secret"] is True
    await console.send("acme.admin", edit, "partner", remove_secret="yes")
    assert (await read(console.world, path))["has_signing_secret"] is False

    await console.send("acme.admin", edit, "partner", risk_levels=["HIGH"])
    stopped = await console.send("acme.admin", edit, "state")
    assert "not active" in stopped.text
    last = await read(console.world, path)
    assert (last["active"], last["risk_levels"]) == (False, ["HIGH"])


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"name": "No Slug"}, "Name: "),
        ({"tolerance_percent": "101"}, "Tolerance percent: "),
        ({"share": "-1"}, "Share: "),
        ({"share": "many"}, "Share: "),
        ({"reconcile_at": "02:30"}, "Reconcile at: "),
        ({"delivery": "sftp"}, "source_id"),
        ({"delivery": "https", "delivery_url": "http://partner.example"}, "must begin with https://"),
        (
            {"delivery": "https", "delivery_url": "https://p.example", "signing_secret": "x"},
            "Signing secret: ",
        ),
        ({"kind": "bank", "risk_levels": ["LOW"]}, "a bank works no accounts"),
        ({"statement_profile": "{"}, "is no JSON"),
        ({"statement_profile": "[]"}, "Statement profile: "),
        ({"statement_profile": "[" * 200_000}, "nested too deep"),
        ({"statement_profile": f'{{"max_record_bytes": {"9" * 5000}}}'}, "a number too long"),
    ],
)
async def test_a_field_that_is_wrong_is_named_beside_the_form(
    console: Any, typed: dict[str, Any], words: str
) -> None:
    page = await console.send("acme.admin", NEW, "partner", **{"name": "well-named", **typed})
    assert page.status in {INVALID, httpx.codes.BAD_REQUEST}
    assert words.casefold() in page.text.casefold(), page.text
    assert page.answer.headers["HX-Retarget"] == "#partner .form-problem"


async def test_rules_are_set_by_version_and_what_is_wrong_is_told_by_line(console: Any) -> None:
    page, _ = await made(console)
    edit = f"{page.path}/edit"
    wrong = await console.send("acme.admin", edit, "rules", rules="matching: {}\r\nnonsense: 1\r\n")
    assert (wrong.status, "line 2" in wrong.text) == (INVALID, True), wrong.text
    assert wrong.answer.headers["HX-Retarget"] == "#rules .form-problem"
    kept = await console.send("acme.admin", edit, "rules", rules="matching: {}\r\nresolve: []\r\n")
    assert "Version 1 of the rules is in force." in kept.text
    again = (await console.get("acme.admin", edit)).form("rules")
    assert again.fields["rules"] == "matching: {}\nresolve: []\n"


async def test_who_may_not_set_up_partners_has_no_way_to_it(console: Any) -> None:
    page, _ = await made(console)
    for path in (NEW, f"{page.path}/edit"):
        assert (await console.get("acme.auditor", path)).status == httpx.codes.FORBIDDEN
        assert path not in (await console.get("acme.auditor", path.removesuffix("/edit"))).links
    assert (await console.get("rival.admin", f"{page.path}/edit")).status == httpx.codes.NOT_FOUND
    assert NEW in (await console.get("acme.admin", PARTNERS)).links
    assert f"{page.path}/edit" in page.links
