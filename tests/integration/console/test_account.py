"""The page of one account: what it shows to whom, notes and contacts on it, and what a conflict says."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.api.contacting import debt, hold, logged
from tests.integration.api.people import make, place, read, set_account

OK, GONE, REFUSED = httpx.codes.OK, httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN


@pytest.fixture(scope="module")
async def account(console: Any) -> Mapping[str, Any]:
    """An account of acme's collector."""
    return await debt(console.world)


def path(account: Mapping[str, Any], more: str = "") -> str:
    return f"/accounts/{account['id']}{more}"


@pytest.mark.parametrize(
    ("who", "ssn"),
    [
        ("platform", "***-**-****"),
        ("acme.admin", "***-**-9173"),
        ("acme.collector", "***-**-9173"),
        ("acme.auditor", "***-**-****"),
    ],
)
async def test_the_page_says_who_owes_what(console: Any, account: Any, who: str, ssn: str) -> None:
    page = await console.get(who, path(account))
    assert page.status == OK, page.text
    for shown in ("Ada Lovelace", account["external_ref"], "$1,250.00", "Dallas, TX", ssn, "May call:"):
        assert shown in page.text
    assert "tel:+12145550100" in page.links
    assert "mailto:ada@example.com" in page.links


async def test_of_another_agency_or_collector_it_is_not_there(console: Any, account: Any) -> None:
    elsewhere = await place(console.world, await make(console.world))
    for who, which in (("rival.admin", account), ("acme.collector", elsewhere)):
        for more in ("", "/timeline", "/contacts", "/decisions", "/workflow"):
            page = await console.get(who, path(which, more))
            assert page.status == GONE, (who, more, page.text)
            assert account["external_ref"] not in page.html
    assert (await console.get("acme.admin", f"/accounts/{uuid4()}")).status == GONE


async def test_who_may_only_read_gets_no_buttons_and_is_refused(console: Any, account: Any) -> None:
    page = await console.get("acme.auditor", path(account))
    assert [form.id for form in page.forms if form.id] == []
    browser = await console.browser("acme.auditor")
    form = (await console.get("acme.collector", path(account))).form("note-form")
    form.fields["_csrf"] = next(one.fields["_csrf"] for one in page.forms)
    assert (await browser.send(form, text="hello")).status == REFUSED


async def test_a_collector_has_what_they_may_do_and_no_more(console: Any, account: Any) -> None:
    page = await console.get("acme.collector", path(account))
    forms = {form.id for form in page.forms if form.id}
    admins = {form.id for form in (await console.get("acme.admin", path(account))).forms if form.id}
    assert {"note-form", "contact-form", "promise-form", "hold-form", "dispute-form", "pay-form"} <= forms
    assert {"assign-form", "close-form", "recall-form"} <= admins - forms


async def test_a_note_is_added_once_however_often_it_is_sent(console: Any, account: Any) -> None:
    browser = await console.browser("acme.collector")
    form = (await browser.get(path(account))).form("note-form")
    words = f"called back, {uuid4()}"
    first = await browser.send(form, text=words)
    second = await browser.send(form, text=words)
    assert (first.status, first.path) == (OK, path(account))
    assert "The note is on the account." in first.text
    assert second.status == OK
    history = await browser.block(path(account, "/timeline"), "history")
    assert history.text.count(words) == 1
    assert "acme.collector" in history.text


async def test_an_empty_note_is_refused_beside_its_form(console: Any, account: Any) -> None:
    page = await console.send("acme.collector", path(account), "note-form", text=" ")
    assert page.status == httpx.codes.UNPROCESSABLE_ENTITY
    assert page.answer.headers["HX-Retarget"] == "#note-form .form-problem"
    assert "Text: " in page.text


async def test_more_of_the_timeline_comes_by_itself(console: Any, account: Any) -> None:
    browser = await console.browser("acme.admin")
    first = await browser.block(path(account, "/timeline?page_size=1"), "history")
    [more] = [link for link in first.links if "cursor=" in link]
    rest = await browser.block(more, "history-more")
    assert "<ol" not in rest.html
    assert "The note is on" not in rest.text
    assert first.text not in rest.text


async def test_a_contact_is_judged_and_logged(console: Any) -> None:
    account = await debt(console.world)
    letter = {"channel": "letter", "outcome": "none", "note": "first letter"}
    page = await console.send("acme.collector", path(account), "contact-form", **letter)
    assert (page.status, page.path) == (OK, path(account)), page.text
    assert "The contact is recorded." in page.text
    contacts = await (await console.browser("acme.collector")).block(path(account, "/contacts"), "history")
    assert "Outbound letter: sent" in contacts.text
    assert "first letter" in contacts.text
    said = await (await console.browser("acme.collector")).block(path(account, "/decisions"), "history")
    assert "allowed" in said.text


@pytest.mark.parametrize(
    ("outcome", "connected", "conversation", "right_party"),
    [
        ("conversation", True, True, True),
        ("other", True, True, False),
        ("none", True, False, False),
        ("unconnected", False, False, False),
    ],
)
async def test_what_came_of_a_call_is_said_in_one_choice(
    console: Any, outcome: str, connected: bool, conversation: bool, right_party: bool
) -> None:
    account = await debt(console.world)
    page = await console.send(
        "acme.collector", path(account), "contact-form", direction="inbound", channel="call", outcome=outcome
    )
    assert page.status == OK, page.text
    answer = await console.world.call("acme.admin", "GET", f"/accounts/{account['id']}/contacts")
    [contact] = answer.json()["results"]
    found = tuple(contact[name] for name in ("connected", "conversation", "right_party"))
    assert found == (connected, conversation, right_party)


async def test_a_forbidden_contact_says_the_rule_until_when_and_how_the_account_stands(console: Any) -> None:
    account = await debt(console.world)
    await console.world.call(
        "acme.collector", "POST", f"/accounts/{account['id']}/notes", {"text": "no calls"}
    )
    await hold(console.world, account, "opt_out_call", since=datetime.fromisoformat(account["created_at"]))
    shown = await console.get("acme.collector", path(account))
    assert "May call: no" in " ".join(shown.text.split())
    assert "12 CFR 1006.14(h)" in shown.text
    page = await console.send("acme.collector", path(account), "contact-form", channel="call", outcome="none")
    assert page.status == httpx.codes.CONFLICT
    assert page.answer.headers["HX-Retarget"] == "#contact-form .form-problem"
    for words in ("Contact refused", "12 CFR 1006.14(h)", "As it is now:", "What happened last:", "no calls"):
        assert words in page.text
    assert path(account) in page.links


async def test_before_the_first_command_nothing_is_waited_for(console: Any, account: Any) -> None:
    browser = await console.browser("acme.admin")
    shown = await browser.block(path(account, "/workflow"), "workflow")
    assert shown.status == OK
    assert "Its process has not begun" in shown.text


async def test_a_call_after_a_conversation_waits_a_week(console: Any) -> None:
    account = await debt(console.world)
    await logged(console.world, account, direction="inbound", conversation=True, right_party=True)
    page = await console.get("acme.collector", path(account))
    assert "12 CFR 1006.14(b)(2)(i)(B)" in page.text
    assert "until" in page.text


async def test_only_legal_moves_are_buttons(console: Any) -> None:
    account = await debt(console.world)
    await set_account(console.world, account, status="in_contact")
    page = await console.get("acme.collector", path(account))
    moves = {form.id for form in page.forms if form.id.startswith("move-")}
    assert moves == {"move-negotiating-form", "move-disputed-form", "move-closed-form"}


async def test_what_the_debtor_said_of_being_contacted_is_kept_as_it_was_typed(console: Any) -> None:
    account = await debt(console.world)
    address = f"/accounts/{account['id']}/preferences"
    browser = await console.browser("acme.collector")
    form = (await browser.block(address, "preferences")).form("prefer-form")
    given = {
        "window-0-start": "22:00",
        "window-0-end": "07:30",
        "window-1-days": ["5", "6"],
        "window-1-start": "08:00",
        "window-1-end": "21:00",
        "inconvenient_places": ["work"],
        "time_zone": "America/Denver",
    }
    for wrong, words in (
        ({"window-1-end": ""}, "Inconvenient"),
        ({"window-0-start": "25:00"}, "Inconvenient"),
        ({"time_zone": "Nowhere"}, "IANA time zone"),
        ({"inconvenient_places": ["moon"]}, "Inconvenient places"),
        ({"window-1-days": ["9" * 5000]}, "Inconvenient"),
        ({"window-1-days": ["٣"]}, "Inconvenient"),
        ({"time_zone": "Factory"}, "IANA time zone"),
    ):
        refused = await browser.send(form, **{**given, **wrong})
        assert (refused.status, words in refused.text) == (httpx.codes.UNPROCESSABLE_ENTITY, True), (
            refused.text
        )
        assert refused.answer.headers["HX-Retarget"] == "#prefer-form .form-problem"
    saved = await browser.send(form, **given)
    assert "What the debtor said counts from the next contact on." in saved.text
    said = await read(console.world, f"/debtors/{account['debtor']['id']}/contact-preferences")
    assert said["inconvenient"] == [
        {"days": [], "start": "22:00", "end": "07:30"},
        {"days": [5, 6], "start": "08:00", "end": "21:00"},
    ]
    assert (said["inconvenient_places"], said["time_zone"]) == (["work"], "America/Denver")

    shown = await browser.block(address, "preferences")
    for words in ("Not from 22:00 to 07:30, any day", "08:00 to 21:00, Sat, Sun", "Not at work"):
        assert words in shown.text, shown.text
    fields = shown.form("prefer-form").fields
    assert (fields["window-1-start"], fields["window-2-start"]) == ("08:00", "")
    emptied = await browser.send(shown.form("prefer-form"), **{"window-0-start": "", "window-0-end": ""})
    assert emptied.status == httpx.codes.OK, emptied.text
    left = await read(console.world, f"/debtors/{account['debtor']['id']}/contact-preferences")
    assert [window["start"] for window in left["inconvenient"]] == ["08:00"]
    auditor = await (await console.browser("acme.auditor")).block(address, "preferences")
    assert "Not from 08:00" in auditor.text
    assert not auditor.has_form("prefer-form")
    assert (await console.get("rival.admin", address)).status == httpx.codes.NOT_FOUND
