"""Webhooks as the stand-in sends them: doubled, late, out of order; each payment ends in its true state."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment

from activities.payment_sweep import KEPT_DAYS, PaymentSweepActivities
from activities.reconciliation_messages import SweepRequest
from domain.tenancy import Tenant
from sandbox.ports import free_port
from sandbox.processes import until
from sandbox.temporal import TemporalServer
from tests.integration.webhooks.office import Office, listening, renewed
from workflows.payment_reconciliation import PaymentSweep
from workflows.queues import LIFECYCLE


async def test_what_a_payment_s_own_process_wrote_down_is_no_news(office: Office) -> None:
    debt = await office.debt("100.00")
    await office.caller.control("behaviour", hold_webhooks=True)
    payment = await office.paid(debt, "40.00")
    await office.caller.control("webhooks/release", order="created")
    [event] = await office.settled(payment["processor_ref"])
    assert (event["type"], event["status"], event["attempts"]) == ("payment_intent.succeeded", "handled", 0)
    assert await office.balance(debt) == "60.00"


async def test_a_refund_made_at_stripe_finds_its_payment(office: Office) -> None:
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    await office.caller.control("behaviour", duplicates=2)
    await office.caller.done("refunds", payment_intent=payment["processor_ref"], amount=1500)
    payment = await office.ends(payment, "partially_refunded")
    assert (payment["refunded_amount"], await office.balance(debt)) == ("15.00", "75.00")
    for event in await office.settled(payment["processor_ref"]):
        assert event["status"] == "handled"
    assert await office.journals(debt) == [("payment", Decimal("40.00")), ("refund", Decimal("15.00"))]


@pytest.mark.parametrize("order", ["reversed", "shuffled", "created"])
async def test_the_order_in_which_events_come_makes_no_difference(office: Office, order: str) -> None:
    debt = await office.debt("100.00")
    await office.caller.control("behaviour", hold_webhooks=True)
    made = await office.known_at_stripe_only(debt, "40.00")
    await office.caller.done("refunds", payment_intent=made["id"], amount=1000)
    dispute = await office.caller.control(f"charges/{made['latest_charge']}/dispute")
    await office.caller.control(f"disputes/{dispute['id']}/decide", won=True)
    await office.caller.control("behaviour", hold_webhooks=True, duplicates=1)
    await office.caller.control("webhooks/release", order=order)

    await office.settled(made["id"])

    payment = await office.payment_of(made["id"])
    assert (payment["status"], payment["refunded_amount"]) == ("partially_refunded", "10.00")
    assert await office.balance(debt) == "70.00"
    kinds = [kind for kind, _ in await office.journals(debt)]
    assert kinds.count("payment") == kinds.count("refund") == 1
    assert kinds.count("chargeback") == kinds.count("reinstatement") <= 1


async def test_a_failure_before_the_success_does_not_undo_it(office: Office) -> None:
    """The debtor's first card is declined, the second is taken; the news of the decline comes last."""
    debt = await office.debt("100.00")
    await office.caller.control("behaviour", hold_webhooks=True)
    made = await office.caller.done(
        "payment_intents", amount=4000, currency="usd", metadata__recoup_account=debt["id"]
    )
    await office.row_for(debt, made["id"], "40.00")
    declined = await office.caller.post(
        f"payment_intents/{made['id']}/confirm", payment_method="pm_card_visa_chargeDeclined"
    )
    assert declined.status_code == 402
    await office.caller.done(f"payment_intents/{made['id']}/confirm", payment_method="pm_card_visa")
    await office.caller.control("webhooks/release", order="reversed")
    await office.settled(made["id"])
    assert (await office.payment_of(made["id"]))["status"] == "succeeded"
    assert await office.balance(debt) == "60.00"


async def test_a_lost_dispute_ends_in_a_hold_whatever_comes_late(office: Office) -> None:
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    intent = payment["processor_ref"]
    await office.settled(intent)
    await office.caller.control("behaviour", hold_webhooks=True)
    charge = (await office.caller.get(f"payment_intents/{intent}"))["latest_charge"]
    dispute = await office.caller.control(f"charges/{charge}/dispute")
    await office.caller.control(f"disputes/{dispute['id']}/decide", won=False)
    await office.caller.control("webhooks/release", order="reversed")
    await office.settled(intent)
    assert (await office.get(payment))["status"] == "disputed"
    assert await office.balance(debt) == "100.00"
    holds = (await office.ask("acme.admin", "GET", f"/accounts/{debt['id']}/holds")).json()["results"]
    assert "chargeback" in [hold["kind"] for hold in holds]
    # The opening once more, long after the end.
    opened = await office.event("charge.dispute.created", dispute["id"])
    assert (await office.forward({**opened, "id": f"evt_{uuid4().hex}"})).status_code == 200
    await office.settled(intent)
    assert [kind for kind, _ in await office.journals(debt)] == ["payment", "chargeback"]


async def test_an_event_wakes_the_process_that_waits_for_it(office: Office) -> None:
    debt = await office.debt("100.00")
    await office.caller.control("behaviour", bank_delay_s=10_000)
    answer = await office.pay(
        debt, "40.00", method="bank_transfer", payment_method="pm_usBankAccount_success"
    )
    assert answer.status_code == 202, answer.text
    payment = await office.ends(answer.json(), "processing")
    await office.caller.control(f"payment_intents/{payment['processor_ref']}/settle")
    payment = await office.ends(payment, "succeeded", within_s=60)
    await asyncio.wait_for(office.process(payment).result(), 60)
    assert await office.balance(debt) == "60.00"


async def test_money_that_nobody_asked_for_is_kept_shown_and_matched(office: Office) -> None:
    made = await office.caller.paid(2500)
    row = await office.came("payment_intent.succeeded", made["id"], "unmatched")
    assert "match it to an account" in row["reason"]
    listed = await office.ask("acme.auditor", "GET", "/payments/inbox?status=unmatched&page_size=500")
    [shown] = [one for one in listed.json()["results"] if one["id"] == str(row["id"])]
    assert (shown["type"], shown["intent_ref"]) == ("payment_intent.succeeded", made["id"])
    assert "body" not in shown
    debt = await office.debt("100.00")
    path = f"/payments/inbox/{row['id']}/match"
    nobody = await office.ask("acme.admin", "POST", path, {"account_id": str(uuid4())})
    assert (nobody.status_code, nobody.json()["field"]) == (422, "account_id")
    assert (await office.ask("rival.admin", "POST", path, {"account_id": debt["id"]})).status_code == 404
    matched = await office.ask(
        "acme.admin", "POST", path, {"account_id": debt["id"]}, **{"Idempotency-Key": made["id"]}
    )
    assert matched.status_code == 202, matched.text
    await office.settled(made["id"])
    payment = await office.payment_of(made["id"])
    assert (payment["status"], payment["amount"]) == ("succeeded", "25.00")
    assert (payment["id"], await office.balance(debt)) == (matched.json()["payment_id"], "75.00")
    again = await office.ask("acme.admin", "POST", path, {"account_id": debt["id"]})
    assert again.status_code == 409
    assert (await office.ask("acme.auditor", "POST", path, {"account_id": debt["id"]})).status_code == 403


async def test_money_of_a_payment_that_is_on_record_elsewhere_is_not_matched(office: Office) -> None:
    made = await office.caller.done(
        "payment_intents",
        amount=2500,
        currency="usd",
        confirm="true",
        payment_method="pm_card_visa",
        metadata__recoup_payment=str(uuid4()),
    )
    row = await office.came("payment_intent.succeeded", made["id"], "unmatched")
    debt = await office.debt("100.00")
    path = f"/payments/inbox/{row['id']}/match"
    refused = await office.ask("acme.admin", "POST", path, {"account_id": debt["id"]})
    assert refused.status_code == 409
    assert made["metadata"]["recoup_payment"] in refused.json()["detail"]
    assert await office.journals(debt) == []


async def test_an_unmatched_event_is_brought_to_a_payment_that_appears_later(office: Office) -> None:
    made = await office.caller.paid(2500)
    await office.came("payment_intent.succeeded", made["id"], "unmatched")
    debt = await office.debt("100.00")
    await office.row_for(debt, made["id"], "25.00")
    await sweep(office, every=True)
    await office.settled(made["id"])
    assert await office.balance(debt) == "75.00"


async def test_what_the_books_refuse_is_kept_with_the_reason_and_tried_again(office: Office) -> None:
    intent = (await office.other_currency())["id"]
    row = await office.came("payment_intent.succeeded", intent, "failed")
    assert (row["attempts"], row["reason"]) == (1, "Stripe took EUR, the payment is in USD")
    # Tried again after five minutes, then ten: not at once.
    assert str(row["id"]) not in await due(office)
    await office.query(
        "UPDATE inbox_event SET received_at = now() - interval '11 minutes' WHERE id = :id", id=row["id"]
    )
    assert str(row["id"]) in await due(office)
    await sweep(office)

    async def tried() -> bool:
        return bool((await office.inbox(intent))[0]["attempts"] == 2)

    await until(tried, within_s=60, what="another try")
    assert str(row["id"]) not in await due(office)


async def test_an_api_that_was_away_gets_every_event_later(office: Office) -> None:
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    await office.settled(payment["processor_ref"])
    port, services, settings = free_port(), renewed(office, office.temporal), office.world.settings
    endpoint = await office.caller.done(
        "webhook_endpoints",
        url=f"http://127.0.0.1:{port}/api/v1/payments/webhook/stripe/acme",
        enabled_events__0="refund.created",
    )
    await office.without_webhooks(endpoint)
    refund = await office.caller.done("refunds", payment_intent=payment["processor_ref"], amount=500)
    assert (await office.get(payment))["status"] == "succeeded"
    async with office.endpoint_secret(endpoint["secret"]), listening(services, settings, port):
        await office.came("refund.created", payment["processor_ref"], "handled", within_s=30)
    assert (await office.get(payment))["refunded_amount"] == "5.00"
    assert refund["status"] == "succeeded"


async def test_while_temporal_is_away_events_are_stored_and_handled_later(
    office: Office, tmp_path: Path
) -> None:
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    intent = payment["processor_ref"]
    await office.settled(intent)
    leaving = TemporalServer(free_port(), log=tmp_path / "temporal.log")
    await leaving.start()
    nowhere = await Client.connect(leaving.address, data_converter=pydantic_data_converter)
    await leaving.stop()
    port, services = free_port(), renewed(office, nowhere)
    await office.caller.control("behaviour", hold_webhooks=True)
    refund = await office.caller.done("refunds", payment_intent=intent, amount=500)
    event = await office.event("refund.created", refund["id"])
    async with listening(services, office.world.settings, port):
        answer = await office.forward(event, port=port)
    assert answer.status_code == 200
    [row] = await office.inbox(intent, "refund.created")
    assert (row["status"], await office.balance(debt)) == ("received", "60.00")
    await sweep(office, every=True)
    await office.settled(intent)
    assert await office.balance(debt) == "65.00"


async def test_an_event_of_ours_names_its_payment_before_the_intent_s_id_is_stored(office: Office) -> None:
    """The worker died between Stripe's answer and the note of it; the webhook knows all the same."""
    debt = await office.debt("100.00")
    row_id = await office.row_for(debt, None, "40.00")
    made = await office.caller.paid(4000, metadata__recoup_payment=str(row_id))
    await office.settled(made["id"])
    payment = await office.payment_of(made["id"])
    assert (payment["id"], payment["status"]) == (str(row_id), "succeeded")
    # A second intent for the same payment took money, too: nobody guesses what that is.
    again = await office.caller.paid(4000, metadata__recoup_payment=str(row_id))
    row = await office.came("payment_intent.succeeded", again["id"], "unmatched")
    assert made["id"] in row["reason"]
    assert await office.balance(debt) == "60.00"


async def test_a_sweep_goes_on_where_the_last_one_stopped(office: Office) -> None:
    """So that what can never be handled does not keep all that comes behind it from being tried."""
    rival = office.world.agencies["rival"]
    tenant = Tenant.system(rival, "test")
    async with office.world.database.transaction(tenant) as tx:
        made = await tx.session.scalars(_FAILED_LONG_AGO, {"rival": rival})
        ids = set(made.all())
    started: list[UUID] = []

    async def start(_: UUID, event_id: UUID) -> None:
        started.append(event_id)

    async def none(*_: object) -> None:
        raise AssertionError("there are no payments")

    sweeps = PaymentSweepActivities(office.world.database, none, none, start, most=200)
    numbers = []
    for _ in range(4):
        swept = await ActivityEnvironment().run(sweeps.sweep, SweepRequest(agency_id=rival))
        numbers.append(swept.events)
        if len(numbers) == 3:
            assert set(started) >= ids
    assert max(numbers) < 500
    async with office.world.database.transaction(tenant) as tx:
        await tx.session.execute(text("UPDATE inbox_event SET status = 'ignored' WHERE type = 'of.long.ago'"))


async def test_bodies_are_kept_for_their_time_and_the_rest_for_good(office: Office) -> None:
    rival = office.world.agencies["rival"]
    tenant = Tenant.system(rival, "test")

    async def none(*_: object) -> None:
        return

    async def bodies() -> list[tuple[str, int]]:
        async with office.world.database.transaction(tenant) as tx:
            found = await tx.session.execute(_BODIES)
            return [(kind, count) for kind, count in found]

    async with office.world.database.transaction(tenant) as tx:
        for kind, days in (("of.old", KEPT_DAYS + 1), ("of.late", KEPT_DAYS - 1)):
            await tx.session.execute(_AGED, {"rival": rival, "kind": kind, "days": days})
    sweeps = PaymentSweepActivities(office.world.database, none, none, none, most=400)
    left = [await bodies()]
    for _ in range(3):
        await ActivityEnvironment().run(sweeps.sweep, SweepRequest(agency_id=rival))
        left.append(await bodies())
    assert left[0] == left[-1] + [("of.old", 500)]
    assert left[1][-1][1] < 500, "not all at once"
    assert ("of.late", 500) in left[-1]
    async with office.world.database.transaction(tenant) as tx:
        kept = await tx.session.scalar(text("SELECT count(*) FROM inbox_event WHERE type = 'of.old'"))
        assert kept == 500
        await tx.session.execute(text("UPDATE inbox_event SET body = '' WHERE type = 'of.late'"))


_AGED = text("""
    INSERT INTO inbox_event (id, agency_id, provider, event_ref, type, body, occurred_at, received_at, status,
                             handled_at)
    SELECT uuidv7(make_interval(days => -:days)), :rival, 'stripe', 'evt_' || :kind || n, :kind, 'told',
           now(), now() - make_interval(days => :days), 'handled', now()
      FROM generate_series(1, 500) n
""")
_BODIES = text("""
    SELECT type, count(*) FROM inbox_event
     WHERE type IN ('of.old', 'of.late') AND octet_length(body) > 0 GROUP BY type ORDER BY type
""")

_FAILED_LONG_AGO = text("""
    INSERT INTO inbox_event (agency_id, provider, event_ref, type, body, occurred_at, received_at, status)
    SELECT :rival, 'stripe', 'evt_' || n, 'of.long.ago', '', now(), now() - interval '1 hour', 'failed'
      FROM generate_series(1, 500) n RETURNING id
""")


async def test_what_a_listing_refuses(office: Office) -> None:
    for path, field in (
        ("/payments/inbox?status=lost", "status[0]"),
        ("/payments/inbox?state=open", "state"),
        ("/payments/breaks?kind=odd", "kind[0]"),
    ):
        answer = await office.ask("acme.admin", "GET", path)
        assert (answer.status_code, answer.json()["field"]) == (422, field)


async def sweep(office: Office, **more: Any) -> None:
    await office.temporal.execute_workflow(
        PaymentSweep.run,
        SweepRequest(agency_id=office.agency_id, **more),
        id=f"sweep-{uuid4()}",
        task_queue=LIFECYCLE,
    )


async def due(office: Office) -> list[str]:
    async with office.transaction() as tx:
        return [str(one) for one in await tx.inbox.due(500, after=None, every=False)]
