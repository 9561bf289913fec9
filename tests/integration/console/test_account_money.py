"""An account worked from its page, with a worker and the Stripe stand-in: commands, money, conflicts."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from temporalio.client import Client

from console.rendering import money
from sandbox.stripe.server import StripeServer
from tests.integration.api.contacting import debt
from tests.integration.api.people import collector_of, make, place, read, set_account
from tests.integration.payments.till import at_work, opened

OK, CONFLICT, INVALID = httpx.codes.OK, httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY


@pytest.fixture(scope="module", autouse=True)
async def worker(world: Any, temporal_client: Client, running_stripe: StripeServer) -> AsyncIterator[None]:
    till = await opened(world, temporal_client, running_stripe)
    async with at_work(till):
        yield
    await till.close()


def day(days: int) -> str:
    """A day so many days from now, where the agency is."""
    return (datetime.now(ZoneInfo("America/New_York")).date() + timedelta(days=days)).isoformat()


def path(account: Mapping[str, Any], more: str = "") -> str:
    return f"/accounts/{account['id']}{more}"


async def owing(console: Any, status: str = "negotiating", amount: str = "100.00") -> Mapping[str, Any]:
    """An account of acme's collector that stands so."""
    account = await debt(console.world, amount=amount)
    await set_account(console.world, account, status=status)
    return account


async def test_from_assigned_to_settled_by_hand_and_by_money(console: Any) -> None:
    account = await owing(console, "assigned")
    who = "acme.collector"
    for form, said in (
        ("move-in_contact-form", "The account is in contact now."),
        ("move-negotiating-form", "The account is negotiating now."),
    ):
        page = await console.send(who, path(account), form, note="reached at home")
        assert (page.status, page.path) == (OK, path(account)), page.text
        assert said in page.text
    offered = await console.send(who, path(account), "offer-form", percent="60", expires_on=day(10))
    assert "The offer is good until" in offered.text, offered.text
    accepted = await console.send(who, path(account), "accept-form")
    assert "The settlement is accepted" in accepted.text, accepted.text
    paid = await console.send(who, path(account), "pay-form", way="card", amount="60.00")
    assert "$60.00 were paid by card." in paid.text, paid.text
    assert "Settled" in paid.text


async def test_a_declined_card_is_told_and_charged_nothing(console: Any) -> None:
    account = await owing(console)
    page = await console.send(
        "acme.collector", path(account), "pay-form", amount="10.00", card="pm_card_visa_chargeDeclined"
    )
    assert (page.status, page.path) == (OK, path(account))
    assert "The payment of $10.00 by card failed: " in page.text
    assert (await read(console.world, path(account)))["current_balance"] == "100.00"


async def test_a_payment_sent_twice_is_taken_once(console: Any) -> None:
    account = await owing(console)
    browser = await console.browser("acme.collector")
    form = (await browser.get(path(account))).form("pay-form")
    for _ in range(2):
        page = await browser.send(form, amount="30.00")
        assert "$30.00 were paid by card." in page.text, page.text
    assert (await read(console.world, path(account)))["current_balance"] == "70.00"


@pytest.mark.parametrize(
    ("way", "more", "said"),
    [
        ("check", {"reference": "No. 1204"}, "$5.00 were paid by check."),
        ("cash", {}, "$5.00 were paid by cash."),
        ("bank_transfer", {}, "The payment of $5.00 by bank transfer is on its way"),
        ("link", {}, "Give the debtor this address to pay $5.00 on: http"),
    ],
)
async def test_each_way_of_paying(console: Any, way: str, more: dict[str, str], said: str) -> None:
    account = await owing(console)
    page = await console.send("acme.collector", path(account), "pay-form", way=way, amount="5.00", **more)
    assert said in page.text, page.text


async def test_the_number_of_a_card_is_refused(console: Any) -> None:
    account = await owing(console)
    page = await console.send(
        "acme.collector", path(account), "pay-form", amount="5.00", card="4242 4242 4242 4242"
    )
    assert page.status == INVALID
    assert "Payment method: card and account numbers are never taken here" in page.text
    assert "4242" not in page.text
    nothing = await console.send("acme.collector", path(account), "pay-form", amount="")
    assert (nothing.status, nothing.answer.headers["HX-Retarget"]) == (INVALID, "#pay-form .form-problem")


async def test_a_plan_is_seen_to_the_cent_before_it_is_made(console: Any) -> None:
    account = await owing(console)
    browser = await console.browser("acme.collector")
    form = (await browser.get(path(account))).form("plan-form")
    form.fields |= {"first_due": day(7), "paid_by": "card"}
    sent = {**form.fields, "instalments": "3"}
    headers = {"HX-Request": "true", "HX-Target": "plan-preview"}
    answer = await browser.client.post(path(account, "/plans/preview"), data=sent, headers=headers)
    assert "3 monthly instalments, $100.00 in all" in answer.text
    assert [part in answer.text for part in (">33.34<", ">33.33<", "<html")] == [True, True, False]
    lacking = await browser.client.post(
        path(account, "/plans/preview"), data={**sent, "instalments": "500"}, headers=headers
    )
    assert (lacking.status_code, "120" in lacking.text) == (OK, True)
    refused = await browser.send(form, instalments="3")
    assert refused.status == INVALID
    assert "must have been sent a copy" in refused.text
    made = await browser.send(form, instalments="3", copy_sent_on=day(0))
    assert "The plan is made: 3 instalments" in made.text, made.text
    assert "Payment plan over $100.00" in made.text
    assert not made.has_form("plan-form")
    for listed in ("/plans?status=active&status=paused", "/plans/upcoming"):
        page = await console.get("acme.collector", listed)
        assert page.status == OK, page.text
        assert account["external_ref"] in page.text
        assert path(account) in page.links
        assert account["external_ref"] not in (await console.get("rival.admin", listed)).text


async def test_two_tabs_in_conflict_say_who_did_what_and_how_it_stands(console: Any) -> None:
    account = await owing(console, "in_contact")
    one, other = await console.browser("acme.collector"), await console.browser("acme.admin")
    old = (await one.get(path(account))).form("move-negotiating-form")
    await console.send("acme.admin", path(account), "move-disputed-form", note="a letter came")
    page = await one.send(old)
    assert page.status == CONFLICT
    assert page.answer.headers["HX-Retarget"] == "#move-negotiating-form .form-problem"
    for words in ("Illegal move", "As it is now:", "Disputed", "$100.00", "acme.admin"):
        assert words in page.text, page.text
    assert "Moved from in_contact to disputed" in page.text
    assert path(account) in page.links
    assert (await other.get(path(account))).has_form("move-in_contact-form")


async def test_a_conflict_on_an_account_that_was_taken_away_tells_nothing(console: Any) -> None:
    account = await owing(console, "in_contact")
    browser = await console.browser("acme.collector")
    form = (await browser.get(path(account))).form("note-form")
    await set_account(console.world, account, assigned_to=None)
    page = await browser.send(form, text="too late")
    assert page.status == httpx.codes.NOT_FOUND
    assert "As it is now" not in page.text


async def test_holds_disputes_and_promises(console: Any) -> None:
    account = await owing(console, "in_contact")
    who = "acme.collector"
    promised = await console.send(who, path(account), "promise-form", amount="40.00", due_date=day(5))
    assert "Promise of $40.00 by" in promised.text, promised.text
    too_much = await console.send(who, path(account), "promise-form", amount="400.00", due_date=day(5))
    assert (too_much.status, "balance is 100.00" in too_much.text) == (INVALID, True)
    held = await console.send(who, path(account), "hold-form", kind="attorney", reason="a letter of counsel")
    assert "The hold is in force: attorney." in held.text, held.text
    assert not held.has_form("release-attorney-form")
    again = await console.send(who, path(account), "hold-form", kind="attorney", reason="once more")
    assert (again.status, "a letter of counsel" in again.text) == (CONFLICT, True), again.text
    released = await console.send("acme.admin", path(account), "release-attorney-form")
    assert "The hold is released: attorney." in released.text
    disputed = await console.send(
        who, path(account), "dispute-form", reason="not mine", received_on=day(0), in_writing="true"
    )
    assert "Collection stops until it is answered." in disputed.text, disputed.text
    assert not disputed.has_form("promise-form")
    answered = await console.send(
        "acme.admin", path(account), "answer-form", outcome="verified", verification_sent_on=day(0)
    )
    assert "The dispute is answered: verified." in answered.text, answered.text


async def test_assigning_closing_and_recalling(console: Any) -> None:
    account = await owing(console, "new")
    await set_account(console.world, account, assigned_to=None)
    browser = await console.browser("acme.admin")
    choice = await browser.block(path(account, "/collectors"), "assign-collector_id")
    assert "acme.collector" in choice.text
    collector = await collector_of(console.world)
    page = await console.send("acme.admin", path(account), "assign-form", collector_id=str(collector))
    assert "The account is acme.collector's now." in page.text, page.text
    closed = await console.send("acme.admin", path(account), "close-form", reason="cannot be collected")
    assert "The account is closed." in closed.text, closed.text
    assert not [form.id for form in closed.forms if form.id.startswith(("move-", "close", "recall"))]
    other = await owing(console, "in_contact")
    recalled = await console.send("acme.admin", path(other), "recall-form", reason="they want it back")
    assert "given back to its creditor" in recalled.text, recalled.text


async def test_what_comes_next_is_on_the_page(console: Any) -> None:
    account = await owing(console, "in_contact")
    await console.send("acme.collector", path(account), "promise-form", amount="40.00", due_date=day(5))
    browser = await console.browser("acme.collector")
    shown = await browser.block(path(account, "/workflow"), "workflow")
    assert "Process running" in shown.text, shown.text
    assert any("/workflows/" in link for link in shown.links)
    assert "promise" in shown.text.lower()


async def test_what_is_owed_back_is_applied_to_another_debt_or_given_back(console: Any) -> None:
    debtor = await make(console.world)
    account, other = [await place(console.world, debtor, amount) for amount in ("100.00", "50.00")]
    stranger = await owing(console)
    paid = await console.send("acme.admin", path(account), "pay-form", way="cash", amount="130.00")
    assert f"{money('130.00', 'USD')} were paid by cash." in paid.text, paid.text
    browser = await console.browser("acme.admin")
    page = await browser.get(path(account))
    assert f"{money('30.00', 'USD')} are owed back to the debtor" in page.text
    choice = await browser.block(path(account, "/debts"), "apply-to_account_id")
    assert f"{other['external_ref']}: {money('50.00', 'USD')} owed" in choice.text
    assert stranger["external_ref"] not in choice.text
    form = page.form("apply-form")
    for target, amount, status, words in (
        (stranger, "20.00", INVALID, "another person's"),
        (other, "31.00", CONFLICT, "nly 30.00 USD is owed back"),
    ):
        refused = await browser.send(form, to_account_id=target["id"], amount=amount, reason="by letter")
        assert (refused.status, words in refused.text) == (status, True), refused.text
        assert refused.answer.headers["HX-Retarget"] == "#apply-form .form-problem"
    form = (await browser.get(path(account))).form("apply-form")
    for _ in range(2):
        applied = await browser.send(form, to_account_id=other["id"], amount="20.00", reason="by letter")
        assert (applied.path, applied.status) == (path(other), OK)
    assert f"{money('20.00', 'USD')} are applied; {money('30.00', 'USD')} are still owed." in applied.text
    nameless = await console.send("acme.admin", path(account), "hand-back-form")
    assert (nameless.status, "check or receipt" in nameless.text) == (INVALID, True), nameless.text
    back = await console.send("acme.admin", path(account), "hand-back-form", reference="receipt 7")
    assert f"{money('10.00', 'USD')} went back to the debtor." in back.text, back.text
    assert not back.has_form("apply-form")
    assert (await read(console.world, path(other)))["current_balance"] == "30.00"


async def test_who_may_not_give_back_money_has_no_form_for_it(console: Any) -> None:
    account = await owing(console, amount="10.00")
    await console.send("acme.collector", path(account), "pay-form", way="cash", amount="15.00")
    page = await console.get("acme.collector", path(account))
    assert f"{money('5.00', 'USD')} are owed back to the debtor" in page.text
    assert not page.has_form("apply-form")
    assert not page.has_form("hand-back-form")
    assert (await console.get("acme.collector", path(account, "/debts"))).status == httpx.codes.FORBIDDEN
