"""Payment links: a page of Stripe's on which a debtor pays by themselves."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from temporalio.testing import ActivityEnvironment

from activities.payment_books import PaymentBooks
from activities.payment_messages import IntentFacts, PaymentRef
from activities.payment_sweep import PaymentSweepActivities
from activities.reconciliation_messages import SweepRequest
from db.scorecard_files import builtin_scorecards
from services.inbox_starts import ProcessWaker
from tests.integration.api.commanding import tell
from tests.integration.payments.till import Json, Till


async def link(till: Till, account: Json, who: str = "acme.admin", **body: Any) -> Any:
    return await till.ask(who, "POST", f"/accounts/{account['id']}/payment-links", body)


async def page_of(till: Till, payment: Json) -> str:
    [(ref,)] = await till.query("SELECT checkout_ref FROM payment WHERE id = :id", id=payment["id"])
    return str(ref)


async def test_a_link_is_paid_on_its_page(till: Till) -> None:
    account = await till.debt()
    answer = await link(till, account, amount="30.00")
    assert answer.status_code == 201, answer.text
    payment = answer.json()
    assert (payment["status"], payment["origin"]) == ("requires_action", "link")
    assert payment["action_url"].startswith("http")
    left = datetime.fromisoformat(payment["action_until"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    await till.caller.control(f"checkout/{await page_of(till, payment)}/pay", payment_method="pm_card_visa")
    await till.process(payment, "link").signal("provider_spoke")
    ended = await till.ends(payment)
    assert (ended["status"], ended["action_url"]) == ("succeeded", None)
    assert ended["processor_ref"].startswith("pi_")
    assert await till.journals(account) == [("payment", Decimal("30.00"))]


async def test_the_page_leads_back_to_a_word_of_thanks_that_says_nothing_else(till: Till) -> None:
    payment = (await link(till, await till.debt())).json()
    page = await till.caller.get(f"checkout/sessions/{await page_of(till, payment)}")
    back = page["success_url"].removeprefix(f"{till.world.settings.public_url}/api/v1")
    assert back.startswith("/")
    added = "payment_intent=pi_1&payment_intent_client_secret=pi_1_secret_2&redirect_status=succeeded"
    shown = await till.ask(None, "GET", f"{back}?{added}")
    assert (shown.status_code, shown.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert (shown.headers["cache-control"], shown.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert "pi_1" not in shown.text


async def test_without_an_amount_a_link_asks_for_all_that_is_owed(till: Till) -> None:
    account = await till.debt("80.00")
    await till.paid(account, "30.00")
    payment = (await link(till, account)).json()
    assert payment["amount"] == "50.00"
    other = await till.pay(account, "50.00")
    assert other.status_code == 201, "a page that nobody may ever pay on keeps nothing back"


async def test_a_debtor_who_is_declined_may_try_again_on_the_page(till: Till) -> None:
    account = await till.debt()
    payment = (await link(till, account)).json()
    page = await page_of(till, payment)
    process = till.process(payment, "link")
    await till.caller.client.post(
        f"/sandbox/checkout/{page}/pay", json={"payment_method": "pm_card_chargeDeclinedInsufficientFunds"}
    )
    await process.signal("provider_spoke")
    await till.caller.control(f"checkout/{page}/pay", payment_method="pm_card_visa")
    await process.signal("provider_spoke")
    assert (await till.ends(payment))["status"] == "succeeded"
    assert await till.balance(account) == "0.00"


async def test_a_decline_on_the_page_that_somebody_tells_of_ends_nothing(till: Till) -> None:
    """As a webhook does: it looks at the intent, not at the page."""
    payment = (await link(till, await till.debt())).json()
    books = PaymentBooks(till.world.database, builtin_scorecards(), lambda *_: None)
    ref = PaymentRef(agency_id=till.agency_id, payment_id=UUID(payment["id"]))
    facts = IntentFacts(
        intent_ref=f"pi_{payment['id']}",
        status="requires_payment_method",
        amount_received=Decimal(0),
        currency="USD",
        created=datetime.now(UTC),
        failure_code="insufficient_funds",
    )
    assert (await books.record_intent(ref, facts)).status == "requires_action"
    after = await till.get(payment)
    assert (after["status"], after["action_url"]) == ("requires_action", payment["action_url"])


async def test_a_page_that_nobody_paid_on_in_time_ends_the_payment(till: Till) -> None:
    account = await till.debt()
    payment = (await link(till, account)).json()
    await till.account.expire_checkout(await page_of(till, payment), key=payment["id"])
    await till.process(payment, "link").signal("provider_spoke")
    ended = await till.ends(payment)
    assert (ended["status"], ended["failure_code"]) == ("failed", "link_expired")
    assert await till.balance(account) == "100.00"


async def test_a_bank_debit_from_a_page_is_followed_to_its_end(till: Till) -> None:
    account = await till.debt()
    payment = (await link(till, account, method="bank_transfer")).json()
    page, process = await page_of(till, payment), till.process(payment, "link")
    await till.caller.control(f"checkout/{page}/pay", payment_method="pm_usBankAccount_processing")
    await process.signal("provider_spoke")
    waiting = await till.ends(payment, "processing")
    await till.caller.control(f"payment_intents/{waiting['processor_ref']}/settle", failure="no_account")
    await process.signal("provider_spoke")
    ended = await till.ends(payment)
    assert (ended["status"], ended["failure_code"]) == ("failed", "no_account")


@pytest.mark.parametrize("kind", ["timeout_after", "error_before", "error_after"])
async def test_a_page_whose_making_goes_wrong_is_made_after_all(till: Till, kind: str) -> None:
    account = await till.debt()
    till.breaks(kind, "/v1/checkout/sessions")
    payment = (await link(till, account)).json()
    made = await till.ends(payment, "requires_action")
    assert made["action_url"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"amount": "0.00"}, 422, "amount"),
        ({"method": "cash"}, 422, "method"),
        ({"expires_at": "2026-01-01T00:00:00Z"}, 422, "expires_at"),
        ({"expires_at": (datetime.now(UTC) + timedelta(days=2)).isoformat()}, 422, "expires_at"),
        ({"amount": "100.01"}, 409, None),
    ],
)
async def test_a_link_for_something_impossible_is_refused(
    till: Till, body: Json, status: int, field: str | None
) -> None:
    answer = await link(till, await till.debt(), **body)
    assert (answer.status_code, answer.json().get("field")) == (status, field)


async def test_a_disputed_account_gets_no_link(till: Till) -> None:
    answer = await link(till, await till.debt(status="disputed"))
    assert (answer.status_code, answer.json()["status_now"]) == (409, "disputed")


async def test_nor_does_one_whose_dispute_is_unanswered_whatever_status_was_set_by_hand(till: Till) -> None:
    account = await till.debt(status="in_contact")
    await till.dispute(account)
    answer = await link(till, account)
    assert answer.status_code == 409
    assert "12 CFR 1006.38(d)(2)" in answer.json()["detail"]


STOPS: dict[str, tuple[str, Json]] = {
    "disputed": ("disputes", {"reason": "not mine", "received_on": "today", "in_writing": True}),
    "held": ("holds", {"kind": "bankruptcy", "reason": "told by the court"}),
    "closed": ("close", {"reason": "by mistake"}),
}


@pytest.mark.parametrize("what", STOPS)
async def test_a_page_is_closed_when_its_account_takes_no_payments_any_more(till: Till, what: str) -> None:
    account = await till.debt()
    payment = (await link(till, account)).json()
    path, body = STOPS[what]
    today = {"received_on": datetime.now(UTC).date().isoformat()} if "received_on" in body else {}
    answer = await tell(till.world, account, path, body | today)
    assert answer.status_code in {200, 201}, answer.text
    ended = await till.ends(payment)
    assert (ended["status"], ended["failure_code"], ended["action_url"]) == (
        "failed",
        "no_longer_taken",
        None,
    )
    page = await till.caller.get(f"checkout/sessions/{await page_of(till, payment)}")
    assert page["status"] == "expired"


async def test_a_page_of_an_account_that_was_changed_in_silence_is_closed_by_the_sweep(till: Till) -> None:
    account = await till.debt()
    payment = (await link(till, account)).json()
    await till.dispute(account)
    await sweep(till)
    assert (await till.ends(payment))["failure_code"] == "no_longer_taken"


async def sweep(till: Till) -> None:
    async def started(*_: object) -> None:
        """Whatever else waits in the agency is none of this test's."""

    wake = ProcessWaker(till.temporal).wake
    activities = PaymentSweepActivities(till.world.database, started, started, started, wake=wake)
    await ActivityEnvironment().run(activities.sweep, SweepRequest(agency_id=till.agency_id))


async def cancel(till: Till, payment: Json, who: str = "acme.admin", **headers: str) -> Any:
    return await till.ask(who, "POST", f"/payments/{payment['id']}/cancel", **headers)


async def test_a_link_is_cancelled_and_its_page_closed(till: Till) -> None:
    account = await till.debt()
    payment = (await link(till, account)).json()
    key = {"Idempotency-Key": payment["id"]}
    for _ in range(2):
        answer = await cancel(till, payment, **key)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["status"], answer.json()["failure_code"]) == ("failed", "cancelled")
    page = await till.caller.get(f"checkout/sessions/{await page_of(till, payment)}")
    assert page["status"] == "expired"
    again = await cancel(till, payment)
    assert (again.status_code, again.json()["status_now"]) == (409, "failed")
    assert (await cancel(till, payment, who="rival.admin")).status_code == 404


async def test_what_nobody_was_asked_for_yet_is_cancelled(till: Till) -> None:
    account = await till.debt()
    till.breaks("unavailable", "/v1/*", method="*", count=None)
    async with till.in_haste() as hasty:
        payment = (await hasty.pay(account)).json()
        assert payment["status"] == "pending"
        assert (await cancel(hasty, payment)).status_code in {200, 202}
    till.stripe.faults.clear()
    ended = await till.ends(payment)
    assert (ended["status"], ended["failure_code"]) == ("failed", "cancelled")
    assert await till.charges(account) == []


async def test_what_is_paid_handed_in_or_on_its_way_is_not_cancelled(till: Till) -> None:
    account = await till.debt()
    debit = {"method": "bank_transfer", "payment_method": "pm_usBankAccount_processing"}
    for more in ({}, {"method": "cash", "payment_method": None}, debit):
        payment = (await till.pay(account, "10.00", **more)).json()
        answer = await cancel(till, payment)
        assert (answer.status_code, answer.json()["status_now"]) == (409, payment["status"])
    paid = (await link(till, account, amount="10.00")).json()
    await till.caller.control(f"checkout/{await page_of(till, paid)}/pay", payment_method="pm_card_visa")
    assert (await cancel(till, paid)).json()["status"] == "succeeded", "nobody has told us yet"
