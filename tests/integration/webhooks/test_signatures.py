"""Who is believed at the webhooks' doors: whom Stripe has signed for, lately, and nobody else."""

import asyncio
import contextlib
import contextvars
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import event as event_of

from db.session import Database
from gateways.stripe import SignatureInvalid
from sandbox.stripe.webhooks import signature
from services.webhooks import WebhookService
from tests.integration.webhooks.office import Json, Office


def an_event(kind: str = "payment_intent.succeeded", intent: str | None = None) -> Json:
    """An event about an intent that nobody knows."""
    about = intent or f"pi_{uuid4().hex}"
    return {
        "id": f"evt_{uuid4().hex}",
        "object": "event",
        "type": kind,
        "created": int(time.time()),
        "data": {
            "object": {
                "id": about,
                "object": "payment_intent",
                "status": "succeeded",
                "amount": 100,
                "currency": "usd",
                "created": int(time.time()),
            }
        },
    }


def signed(body: bytes, secret: str, age_s: int = 0) -> str:
    return signature(secret, body, int(time.time()) - age_s)


async def nothing_stored(office: Office, event: Json) -> None:
    assert await office.inbox(event["data"]["object"]["id"]) == []


FORGERIES: dict[str, Callable[[bytes, str], str | None]] = {
    "no-signature": lambda body, secret: None,
    "empty": lambda body, secret: "",
    "nonsense": lambda body, secret: "t=now,v1=zero",
    "another-secret": lambda body, secret: signed(body, "whsec_another"),
    "another-body": lambda body, secret: signed(body + b" ", secret),
    "ten-minutes-old": lambda body, secret: signed(body, secret, 600),
    "a-year-ahead": lambda body, secret: signed(body, secret, -365 * 86_400),
    "v0-only": lambda body, secret: signed(body, secret).replace("v1=", "v0="),
}


@pytest.mark.parametrize("agency", ["acme", None])
@pytest.mark.parametrize("forgery", FORGERIES)
async def test_forged_and_replayed_webhooks_leave_nothing(
    office: Office, forgery: str, agency: str | None
) -> None:
    event = an_event()
    body = json.dumps(event).encode()
    answer = await office.send(body, FORGERIES[forgery](body, await office.secret()), agency)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:recoup:problem:webhook-signature-invalid"
    assert "evt_" not in answer.text
    await nothing_stored(office, event)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"id": "evt_1"}', b"{" * 3000])
async def test_what_is_signed_but_no_event_is_refused(office: Office, body: bytes) -> None:
    answer = await office.send(body, signed(body, await office.secret()))
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:recoup:problem:malformed")
    assert "no event of Stripe's" in answer.json()["detail"]


async def test_nobody_learns_which_agencies_there_are(office: Office) -> None:
    event = an_event()
    body = json.dumps(event).encode()
    said = set()
    for agency in ("acme", "rival", "atlantis", str(uuid4()), "'; DROP TABLE agency; --"):
        answer = await office.send(body, signed(body, "whsec_guessed"), httpx.URL(path=agency).path)
        said.add((answer.status_code, answer.json()["detail"]))
    assert len(said) == 1
    assert said.pop()[0] == 400


async def test_another_agency_s_secret_is_not_taken(office: Office) -> None:
    assert (await office.register("rival", key=f"sk_test_{uuid4().hex}")).status_code == 200
    event = an_event("payment_intent.created")
    body = json.dumps(event).encode()
    by_rival = signed(body, await office.secret("rival"))
    assert (await office.send(body, by_rival, "acme")).status_code == 400
    await nothing_stored(office, event)
    # Where the secret decides, it is the rival's event.
    assert (await office.send(body, by_rival, None)).status_code == 200
    await nothing_stored(office, event)
    mine = await office.ask("rival.admin", "GET", "/payments/inbox")
    assert event["id"] in [row["event_ref"] for row in mine.json()["results"]]


@pytest.mark.parametrize("agency", ["slug", "id", "any"])
async def test_each_address_stores_an_event_once(office: Office, agency: str) -> None:
    to = {"slug": "acme", "id": str(office.agency_id), "any": None}[agency]
    event = an_event("payment_intent.created")
    body = json.dumps(event).encode()
    by = signed(body, await office.secret())
    answers = await asyncio.gather(*(office.send(body, by, to) for _ in range(5)))
    assert [(one.status_code, one.json()) for one in answers] == [(200, {"received": True})] * 5
    [row] = await office.inbox(event["data"]["object"]["id"])
    assert (row["status"], row["attempts"]) == ("ignored", 0)


@pytest.mark.parametrize("agency", ["acme", "atlantis", None])
async def test_forged_webhooks_cost_one_reading_in_a_second(office: Office, agency: str | None) -> None:
    """However many agencies there are, and however many come at once."""
    database = office.world.database
    service = WebhookService(database, lambda *_: None)
    body = json.dumps(an_event()).encode()
    began = time.monotonic()
    with taken_from(database) as taken:
        for _ in range(4):
            await asyncio.gather(
                *(refused(service, agency, body, signed(body, "whsec_x")) for _ in range(10))
            )
    assert 1 <= len(taken) <= 1 + (time.monotonic() - began) // 1


@pytest.mark.parametrize("header", [None, "", "v1=1", "t=now,v1=zero", f"v0={'a' * 64}", "t=1,v1=é"])
async def test_what_is_not_signed_at_all_costs_nothing(office: Office, header: str | None) -> None:
    with taken_from(office.world.database) as taken:
        await refused(WebhookService(office.world.database, lambda *_: None), None, b"{}", header)
    assert taken == []


async def refused(service: WebhookService, agency: str | None, body: bytes, header: str | None) -> None:
    with pytest.raises(SignatureInvalid):
        await service.receive(agency, body, header)


@contextlib.contextmanager
def taken_from(database: Database) -> Iterator[list[str]]:
    """The connections that are taken from a database's pools by this task and those that it starts."""
    taken: list[str] = []
    watched = contextvars.ContextVar("watched", default=False)
    watched.set(True)

    def on_checkout(*_: object) -> None:
        if watched.get():
            taken.append("connection")

    engines = [database._engine.sync_engine, database._reading_engine.sync_engine]
    for engine in engines:
        event_of.listen(engine, "checkout", on_checkout)
    try:
        yield taken
    finally:
        for engine in engines:
            event_of.remove(engine, "checkout", on_checkout)


async def test_a_body_of_five_megabytes_is_too_large(office: Office) -> None:
    body = json.dumps({**an_event(), "padding": "x" * (5 << 20)}).encode()
    answer = await office.send(body, signed(body, await office.secret()))
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:recoup:problem:request-entity-too-large")


async def test_a_replaced_secret_is_believed_at_once_and_the_old_one_no_longer(office: Office) -> None:
    before = await office.secret()
    body = json.dumps(an_event("payment_intent.created")).encode()
    assert (await office.send(body, signed(body, before))).status_code == 200
    try:
        assert (await office.register(webhook_secret="whsec_by_hand_123")).json()["webhook_ref"] is None
        await office.soon(lambda: accepted(office, body, "whsec_by_hand_123"), within_s=60)
        assert (await office.send(body, signed(body, before))).status_code == 400
    finally:
        assert (await office.register()).status_code == 200
    secret = await office.secret()
    await office.soon(lambda: accepted(office, body, secret), within_s=60)


async def accepted(office: Office, body: bytes, secret: str) -> bool:
    return (await office.send(body, signed(body, secret))).status_code == 200


async def test_unknown_kinds_of_events_are_kept_and_ignored(office: Office) -> None:
    event: dict[str, Any] = an_event("customer.tax_id.created")
    event["data"]["object"] = {"id": f"txi_{uuid4().hex}", "object": "tax_id"}
    body = json.dumps(event).encode()
    assert (await office.send(body, signed(body, await office.secret()))).status_code == 200
    [row] = await office.query(
        "SELECT status, object_ref, intent_ref FROM inbox_event WHERE event_ref = :ref", ref=event["id"]
    )
    assert tuple(row) == ("ignored", event["data"]["object"]["id"], None)


ODD: dict[str, tuple[str, Json, str]] = {
    "status-unknown": ("payment_intent.succeeded", {"status": "succeeded_in_full"}, "failed"),
    "amount-no-number": ("payment_intent.succeeded", {"amount": {"minor": 100}}, "failed"),
    "kind-unknown": ("payment_intent.succeeded", {"object": "payment_intent_v2"}, "failed"),
    "time-no-time": ("payment_intent.succeeded", {"created": "today"}, "failed"),
    "kind-not-subscribed": ("payment_intent.partially_funded", {"status": "partly"}, "ignored"),
    "nothing-in-it": ("account.updated", {"object": None, "amount": None}, "ignored"),
}


@pytest.mark.parametrize("odd", ODD)
async def test_signed_events_that_cannot_be_read_are_kept(office: Office, odd: str) -> None:
    kind, changed, status = ODD[odd]
    event = an_event(kind)
    event["data"]["object"].update(changed)
    await kept_once(office, event, status)


@pytest.mark.parametrize("part", ["data", "object", "created"])
async def test_signed_events_without_a_part_are_kept(office: Office, part: str) -> None:
    event = an_event()
    if part == "object":
        event["data"] = {"object": ["a", "list"]}
    else:
        event[part] = None
    await kept_once(office, event, "received" if part == "created" else "failed")


async def kept_once(office: Office, event: Json, status: str) -> None:
    """An event is answered 200, twice, and stored as it came, with this status."""
    body = json.dumps(event).encode()
    for _ in range(2):
        answer = await office.send(body, signed(body, await office.secret()))
        assert answer.status_code == 200, answer.text
    [row] = await office.query(
        "SELECT status, reason, body FROM inbox_event WHERE event_ref = :ref", ref=event["id"]
    )
    # What was received has no payment here, as a look at it will have told by now, or will soon.
    assert row.status in ({"received", "unmatched"} if status == "received" else {status})
    assert (row.reason is not None and "cannot be understood" in row.reason) is (status == "failed")
    assert "Error" not in (row.reason or "")
    assert bytes(row.body) == body
