"""What differs from Stripe's books in the queue that people work, beside what differs from partners'."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from domain.tenancy import Tenant
from services.inbox_starts import InboxStarter
from tests.integration.webhooks.office import Json, Office


async def broken_about(office: Office, ref: str, **query: Any) -> list[Json]:
    """The breaks of the queue about something at Stripe."""
    wanted = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await office.ask("acme.auditor", "GET", f"/breaks?source=processor&page_size=500&{wanted}")
    assert answer.status_code == 200, answer.text
    return [row for row in answer.json()["results"] if row["subject"] == ref]


async def explain(office: Office, broken: Json, **body: Any) -> Json:
    sent = {"resolution": "explain", "note": "it belongs to the other shop", **body}
    answer = await office.ask("acme.admin", "POST", f"/breaks/{broken['id']}/resolve", sent)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_an_unmatched_event_is_in_the_queue_until_it_is_matched(office: Office) -> None:
    made = await office.caller.paid(2500)
    event = await office.came("payment_intent.succeeded", made["id"], "unmatched")
    [found] = await broken_about(office, made["id"], state="open")
    assert (found["kind"], found["ours"], found["theirs"], found["value"]) == (
        "missing_here", None, "25.00", "25.00",
    )  # fmt: skip
    assert (found["partner"], found["rule"], found["currency"]) == (None, "inbox", "USD")
    assert "match it to an account" in found["probable_cause"]
    await office.reconciled()
    [same] = await broken_about(office, made["id"])
    assert (same["id"], same["state"]) == (found["id"], "open"), "one break, whoever has found it"
    debt = await office.debt("100.00")
    path = f"/payments/inbox/{event['id']}/match"
    assert (await office.ask("acme.admin", "POST", path, {"account_id": debt["id"]})).status_code == 202
    await office.settled(made["id"])

    async def gone() -> bool:
        return bool(await broken_about(office, made["id"], state="resolved"))

    await office.soon(gone)
    [cured] = await broken_about(office, made["id"])
    assert (cured["id"], cured["resolution"]) == (found["id"], "cured")
    assert await office.balance(debt) == "75.00"


async def test_an_unmatched_event_is_set_aside_when_people_explain_it(office: Office) -> None:
    """As of euros, for which there is no account."""
    made = await office.caller.done(
        "payment_intents", amount=1700, currency="eur", confirm="true", payment_method="pm_card_visa"
    )
    event = await office.came("payment_intent.succeeded", made["id"], "unmatched")
    [found] = await broken_about(office, made["id"], state="open")
    assert (found["theirs"], found["currency"]) == ("17.00", "EUR")
    await explain(office, found)
    for _ in range(2):
        await InboxStarter(office.temporal).start(office.agency_id, event["id"])
        row = await office.came("payment_intent.succeeded", made["id"], "ignored")
    assert "explained" in row["reason"]
    await office.reconciled()
    assert [one["resolution"] for one in await broken_about(office, made["id"])] == ["explain"]


async def test_what_took_no_money_is_nobody_s_business(office: Office) -> None:
    made = await office.caller.done(
        "payment_intents", amount=1700, currency="usd", payment_method_types__0="card"
    )
    await office.caller.done(f"payment_intents/{made['id']}/cancel")
    row = await office.came("payment_intent.canceled", made["id"], "ignored")
    assert row["reason"].startswith("no money was taken")
    assert await broken_about(office, made["id"]) == []


async def test_what_was_explained_is_not_found_again_while_it_is_the_same(office: Office) -> None:
    await office.silence()
    made = await office.caller.paid(3300)
    await office.reconciled()
    [found] = await broken_about(office, made["id"])
    detail = (await office.ask("acme.auditor", "GET", f"/breaks/{found['id']}")).json()
    assert detail["resolutions"] == ["explain"]
    assert detail["approval_limit"] == "100.00"
    assert (await explain(office, found))["resolution"] == "explain"
    await office.reconciled()
    assert [one["state"] for one in await broken_about(office, made["id"])] == ["resolved"]
    await office.query("UPDATE reconciliation_break SET theirs = 32.00 WHERE id = :id", id=UUID(found["id"]))
    await office.reconciled()
    states = sorted(one["state"] for one in await broken_about(office, made["id"]))
    assert states == ["open", "resolved"], "another difference is another break"


async def test_money_that_stripe_never_had_is_written_off_the_house_s_cash(office: Office) -> None:
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    await office.query(
        "INSERT INTO reconciliation_break (agency_id, kind, payment_id, subject, ours, currency,"
        " probable_cause, value) VALUES (:agency, 'missing_there', :payment, :ref, 40, 'USD', 'test', 40)",
        agency=office.agency_id,
        payment=UUID(payment["id"]),
        ref=payment["processor_ref"],
    )
    [found] = await broken_about(office, payment["processor_ref"])
    refused = await office.ask(
        "acme.admin", "POST", f"/breaks/{found['id']}/resolve", {"resolution": "accept_theirs", "note": "x"}
    )
    assert refused.status_code == 409
    assert "matching its event" in refused.json()["detail"]
    written_off = await explain(office, found, resolution="write_off")
    rows = await office.query(
        "SELECT p.account_id, p.debit, p.credit, p.amount FROM posting p WHERE p.journal_id = :journal",
        journal=written_off["journal_id"],
    )
    assert [tuple(row) for row in rows] == [(None, "processor_losses", "cash", Decimal("40.00"))]
    async with office.world.database.transaction(Tenant.system(office.agency_id, "test")) as tx:
        assert not [one async for one in tx.ledger.breaches()]
        assert not [one async for one in tx.payment_audit.breaches()]
    filtered = await office.differences(payment["processor_ref"], state="resolved")
    assert [one["id"] for one in filtered] == [found["id"]], "the list of payments' breaks is a filter of it"
