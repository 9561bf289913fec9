"""Events as Stripe sends them: signed, again until they are taken, doubled and out of order when wanted."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from time import time

import pytest

from domain.errors import Malformed
from gateways.stripe import (
    ChargeState,
    DisputeState,
    IntentState,
    IntentStatus,
    RefundState,
    SignatureInvalid,
    StripeGateway,
    parse_event,
)
from sandbox.processes import until
from sandbox.stripe.server import StripeServer
from sandbox.stripe.webhooks import signature
from tests.integration.sandbox.stripe_http import Caller, Json
from tests.integration.sandbox.stripe_receiver import Receiver


async def registered(caller: Caller, receiver: Receiver, *events: str) -> str:
    """The secret of an endpoint for these events, or for all."""
    wanted = {f"enabled_events__{at}": event for at, event in enumerate(events or ("*",))}
    endpoint = await caller.done("webhook_endpoints", url=receiver.url, **wanted)
    assert endpoint["secret"].startswith("whsec_")
    return str(endpoint["secret"])


async def pending(caller: Caller) -> list[Json]:
    """The events that are still on their way."""
    events = await caller.get("events", limit=100)
    return [event for event in events["data"] if event["pending_webhooks"]]


async def nothing_pending(caller: Caller) -> None:
    """Wait until every event was taken."""

    async def none() -> bool:
        return not await pending(caller)

    await until(none, within_s=60, what="every event to be taken")


async def test_events_are_signed_and_tell_what_happened(caller: Caller, receiver: Receiver) -> None:
    secret = await registered(caller, receiver)
    made = await caller.paid(2550, metadata__payment="p-1")
    await caller.done("refunds", payment_intent=made["id"], amount=50)
    await receiver.got(5)

    events = {
        event.type: event for event in (parse_event(body, sig, secret) for body, sig in receiver.requests)
    }

    assert set(events) == {
        "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "refund.created",
        "charge.refunded",
    }  # fmt: skip
    intent = events["payment_intent.succeeded"].subject
    assert isinstance(intent, IntentState)
    assert (intent.status, intent.amount_received) == (IntentStatus.SUCCEEDED, Decimal("25.50"))
    assert (intent.metadata, intent.charge_id) == ({"payment": "p-1"}, made["latest_charge"])
    charge = events["charge.refunded"].subject
    assert isinstance(charge, ChargeState)
    assert (charge.refunded, charge.intent_id) == (Decimal("0.50"), made["id"])
    assert isinstance(events["refund.created"].subject, RefundState)
    stored = await caller.get(f"events/{events['charge.refunded'].id}")
    assert stored["request"]["id"].startswith("req_")


async def test_the_gateway_registers_an_endpoint(
    stripe_gateway: StripeGateway, stripe_key: str, caller: Caller, receiver: Receiver
) -> None:
    account = stripe_gateway.account(stripe_key)
    _, secret = await account.create_webhook(receiver.url, ["charge.dispute.created"], key="webhook")
    made = await caller.paid(method="pm_card_createDispute")
    await caller.get("account")
    await receiver.got(1)

    (event,) = [parse_event(body, sig, secret) for body, sig in receiver.requests]

    assert isinstance(event.subject, DisputeState)
    assert (event.subject.intent_id, event.subject.amount) == (made["id"], Decimal("10.00"))
    assert not event.subject.inquiry
    assert event.subject.respond_by is not None
    assert event.subject.respond_by > datetime.now(UTC)


async def test_another_secret_or_body_or_no_signature_is_refused(caller: Caller, receiver: Receiver) -> None:
    secret = await registered(caller, receiver, "customer.created")
    await caller.done("customers", name="Ada Example")
    await receiver.got(1)
    ((body, signed),) = receiver.requests
    assert parse_event(body, signed, secret).object_kind == "customer"
    assert parse_event(body, signed, secret).subject is None

    for forged in (
        (body, signed, "whsec_another"),
        (body + b" ", signed, secret),
        (body, None, secret),
        (body, "", secret),
        (body, "t=now,v1=zero", secret),
        (body, signed, ""),
        (b"\xff\xfe", signed, secret),
    ):
        with pytest.raises(SignatureInvalid) as refused:
            parse_event(*forged)
        assert "Ada" not in str(refused.value)


async def test_an_old_signature_is_refused(caller: Caller, receiver: Receiver) -> None:
    secret = await registered(caller, receiver, "customer.created")
    await caller.control("behaviour", backdate_s=290)
    await caller.done("customers")
    await receiver.got(1)
    await caller.control("behaviour", backdate_s=600)
    await caller.done("customers")
    await receiver.got(2)

    (fresh, fresh_signature), (old, old_signature) = receiver.requests

    assert parse_event(fresh, fresh_signature, secret).type == "customer.created"
    with pytest.raises(SignatureInvalid, match="tolerance"):
        parse_event(old, old_signature, secret)
    assert parse_event(old, old_signature, secret, tolerance_s=700).type == "customer.created"


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b"no json", b'{"object": "event", "id": "evt_1"}'])
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_event(body, signature("whsec_x", body, int(time())), "whsec_x")


async def test_a_refused_event_comes_again(caller: Caller, receiver: Receiver) -> None:
    await registered(caller, receiver, "customer.created")
    receiver.answers = [500, 301, 404]
    made = await caller.done("customers")
    await receiver.got(4)
    await nothing_pending(caller)

    assert {event["data"]["object"]["id"] for event in receiver.events} == {made["id"]}
    assert len({event["id"] for event in receiver.events}) == 1
    assert len(receiver.requests) == 4


async def test_an_endpoint_that_was_away_gets_its_events(caller: Caller, receiver: Receiver) -> None:
    await registered(caller, receiver, "customer.created")
    await receiver.stop()
    made = [(await caller.done("customers"))["id"] for _ in range(5)]
    assert len(await pending(caller)) == 5

    await receiver.start()
    await receiver.got(5)

    assert sorted(event["data"]["object"]["id"] for event in receiver.events) == sorted(made)


async def test_events_come_twice_when_wanted(caller: Caller, receiver: Receiver) -> None:
    await registered(caller, receiver, "customer.created")
    await caller.control("behaviour", duplicates=2)
    await caller.done("customers")
    await receiver.got(3)
    assert len({event["id"] for event in receiver.events}) == 1
    sent = await caller.control(f"events/{receiver.events[0]['id']}/resend")
    assert sent["sent"] == 3
    await receiver.got(4)


@pytest.mark.parametrize("order", ["created", "reversed", "shuffled"])
async def test_held_events_come_in_the_order_wanted(caller: Caller, receiver: Receiver, order: str) -> None:
    await registered(
        caller, receiver, "payment_intent.created", "charge.succeeded", "payment_intent.succeeded"
    )
    await caller.control("behaviour", hold_webhooks=True)
    await caller.paid()
    assert receiver.requests == []

    assert (await caller.control("webhooks/release", order=order))["released"] == 3

    came = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    if order == "shuffled":
        assert sorted(receiver.types) == sorted(came)
    else:
        assert receiver.types == (came if order == "created" else came[::-1])
    await caller.done("payment_intents", amount=100, currency="usd")
    await receiver.got(4)


async def test_jitter_lets_events_overtake_each_other(caller: Caller, receiver: Receiver) -> None:
    await registered(caller, receiver, "customer.created")
    await caller.control("behaviour", jitter_s=0.2, hold_webhooks=True)
    made = [(await caller.done("customers"))["id"] for _ in range(20)]
    # All set out at once, however long it took to make them.
    await caller.control("behaviour", hold_webhooks=False)
    await receiver.got(20)
    came = [event["data"]["object"]["id"] for event in receiver.events]
    assert sorted(came) == sorted(made)
    assert came != made


async def test_endpoints_get_what_they_asked_for(caller: Caller, receiver: Receiver) -> None:
    first = await caller.done("webhook_endpoints", url=receiver.url, enabled_events__0="customer.deleted")
    changed = await caller.done(f"webhook_endpoints/{first['id']}", enabled_events__0="customer.created")
    assert "secret" not in changed
    await caller.done("customers")
    await receiver.got(1)
    await caller.done(f"webhook_endpoints/{first['id']}", disabled="true")
    await caller.done("customers")
    await caller.client.delete(f"/v1/webhook_endpoints/{first['id']}")
    await caller.done("customers")
    assert receiver.types == ["customer.created"]
    assert await pending(caller) == []


async def test_other_agencies_events_stay_theirs(
    stripe_server: StripeServer, stripe_key: str, caller: Caller, receiver: Receiver
) -> None:
    await registered(caller, receiver, "customer.created")
    other = Caller(stripe_server, f"{stripe_key}other")
    theirs = await other.done("customers")
    ours = await caller.done("customers")
    await receiver.got(1)
    await stripe_server.webhooks.idle()
    assert [event["data"]["object"]["id"] for event in receiver.events] == [ours["id"]]
    assert (await other.client.get(f"/v1/events/{receiver.events[0]['id']}")).status_code == 404
    assert theirs["id"] != ours["id"]
    await other.client.aclose()


async def test_many_events_at_once_are_all_taken(caller: Caller, receiver: Receiver) -> None:
    await registered(caller, receiver, "customer.created")
    made = await asyncio.gather(*(caller.done("customers") for _ in range(100)))
    await receiver.got(100)
    assert {event["data"]["object"]["id"] for event in receiver.events} == {c["id"] for c in made}
