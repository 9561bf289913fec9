"""A post office: the application on a port of its own, to which the Stripe stand-in delivers."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import uvicorn
from temporalio.client import Client

from api.app import create_app
from api.composition import Services, build_services
from db.session import Transaction
from domain.tenancy import Tenant
from sandbox.ports import LOOPBACK, free_port
from sandbox.processes import until
from sandbox.stripe.webhooks import signature
from tests.applications import application
from tests.integration.payments.till import Till

Json = dict[str, Any]
WAITING = ("received", "unmatched", "failed")


@dataclass
class Office(Till):
    """The payments of an agency, and the webhooks about them."""

    port: int = 0

    @property
    def url(self) -> str:
        """The API, from outside."""
        return f"http://{LOOPBACK}:{self.port}/api/v1"

    async def register(self, agency: str = "acme", key: str | None = None, **more: Any) -> httpx.Response:
        """Set an agency's Stripe credentials as its administrator does."""
        body = {"secret_key": key or self.key, **more}
        return await self.ask(f"{agency}.admin", "PUT", "/stripe-credentials", body)

    async def put_key(self, agency: str, secret_key: str) -> None:
        """Another key in the database, without Stripe being asked; workers know it within ten seconds."""
        async with self.world.database.transaction(Tenant.system(self.world.agencies[agency], "test")) as tx:
            await tx.stripe_credentials.put(
                secret_key=secret_key, account_ref="acct_x", webhook_secret=None, webhook=None
            )

    async def other_currency(self) -> Json:
        """Euros that Stripe took, for a payment here in dollars: the books refuse it; its intent."""
        debt = await self.debt("100.00")
        await self.caller.control("behaviour", hold_webhooks=True)
        made = await self.caller.done(
            "payment_intents", amount=1000, currency="eur", confirm="true", payment_method="pm_card_visa"
        )
        await self.row_for(debt, made["id"], "10.00")
        await self.caller.control("webhooks/release", order="created")
        return made

    async def secret(self, agency: str = "acme") -> str:
        """The signing secret of an agency's endpoint."""
        async with self.world.database.transaction(Tenant.system(self.world.agencies[agency], "test")) as tx:
            found = await tx.stripe_credentials.secrets()
        assert found is not None
        assert found.webhook_secret is not None
        return str(found.webhook_secret)

    async def send(
        self, body: bytes, signed: str | None, agency: str | None = "acme", **headers: str
    ) -> httpx.Response:
        """Bring a webhook, as anybody can."""
        path = "/payments/webhook/stripe" + (f"/{agency}" if agency else "")
        if signed is not None:
            headers["Stripe-Signature"] = signed
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            return await client.post(f"{self.url}{path}", content=body, headers=headers)

    async def forward(self, event: Json, *, port: int | None = None) -> httpx.Response:
        """Bring an event, signed with the agency's secret; to another API's ``port``, if it is there."""
        body = json.dumps(event).encode()
        signed = signature(await self.secret(), body, int(time.time()))
        return await replace(self, port=port or self.port).send(body, signed)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction of the agency."""
        async with self.world.database.transaction(Tenant.system(self.agency_id, "test")) as tx:
            yield tx

    async def soon(self, condition: Callable[[], Awaitable[bool]], within_s: float = 60) -> None:
        await until(condition, within_s=within_s, what="what the test waits for")

    async def payment_of(self, intent: str) -> Json:
        """Our payment that an intent is for."""
        async with self.transaction() as tx:
            payment = await tx.payments.by_processor_ref(intent)
        assert payment is not None
        return await self.get({"id": str(payment.id)})

    async def row_for(self, debt: Json, intent: str | None, amount: str, currency: str = "USD") -> UUID:
        """A payment's row, as whoever made it left it: without a process, with or without the intent."""
        async with self.transaction() as tx:
            payment = await tx.payments.add(
                UUID(debt["id"]),
                origin="provider",
                key=uuid4().hex,
                amount=Decimal(amount),
                currency=currency,
                method="card",
                processor_ref=intent,
            )
        return UUID(str(payment.id))

    async def known_at_stripe_only(self, debt: Json, amount: str) -> Json:
        """An intent that took money for a payment whose row knows nothing of that yet."""
        made = await self.caller.paid(int(Decimal(amount) * 100))
        await self.row_for(debt, made["id"], amount)
        return made

    async def silence(self) -> None:
        """Have no webhook sent for the rest of the test."""
        await self.caller.control("behaviour", hold_webhooks=True)

    async def charge(self, intent: str) -> str:
        """The charge of an intent."""
        return str((await self.caller.get(f"payment_intents/{intent}"))["latest_charge"])

    async def without_webhooks(self, endpoint: Json) -> None:
        """Have nothing sent but to ``endpoint``."""
        others = (await self.caller.get("webhook_endpoints", limit=100))["data"]
        for other in others:
            if other["id"] != endpoint["id"]:
                await self.caller.done(f"webhook_endpoints/{other['id']}", disabled="true")

    @asynccontextmanager
    async def endpoint_secret(self, secret: str) -> AsyncIterator[None]:
        """Another endpoint's secret for as long as the block runs; then one is registered again."""
        assert (await self.register(webhook_secret=secret)).status_code == 200
        yield
        assert (await self.register()).status_code == 200

    async def event(self, kind: str, about: str) -> Json:
        """The event that the stand-in has made of this type about an object."""
        found = await self.caller.get("events", type=kind, limit=100)
        [event] = [one for one in found["data"] if one["data"]["object"]["id"] == about]
        return dict(event)

    async def inbox(self, intent: str, kind: str | None = None) -> list[Json]:
        """The rows of an intent, of any type or one, the oldest first."""
        rows = await self.query(
            "SELECT id, event_ref, type, object_ref, intent_ref, status, attempts, reason FROM inbox_event"
            " WHERE intent_ref = :intent AND (CAST(:kind AS text) IS NULL OR type = :kind) ORDER BY id",
            intent=intent,
            kind=kind,
        )
        return [dict(row._mapping) for row in rows]

    async def settled(self, intent: str, within_s: float = 60) -> list[Json]:
        """The inbox's rows of an intent, once none waits to be handled."""

        async def none_waits() -> bool:
            rows = await self.inbox(intent)
            return bool(rows) and not any(row["status"] in WAITING for row in rows)

        await until(none_waits, within_s=within_s, what="every event of the intent to be handled")
        return await self.inbox(intent)

    async def came(self, kind: str, intent: str, status: str | None = None, within_s: float = 60) -> Json:
        """The inbox's row of a type about an intent, once it is there (with this status)."""

        async def there() -> bool:
            rows = await self.inbox(intent, kind)
            return any(status in {None, row["status"]} for row in rows)

        await until(there, within_s=within_s, what=f"{kind} to be {status or 'there'}")
        return (await self.inbox(intent, kind))[-1]

    async def reconciled(self, agency: str = "acme", **body: Any) -> Json:
        """A reconciliation that was asked for, once it has ended."""
        answer = await self.ask(f"{agency}.admin", "POST", "/payments/reconciliations", body)
        assert answer.status_code == 202, answer.text
        path = f"/payments/reconciliations/{answer.json()['id']}"

        async def ended() -> bool:
            return bool((await self.ask(f"{agency}.auditor", "GET", path)).json()["status"] != "running")

        await until(ended, within_s=30, what="the reconciliation to end")
        return dict((await self.ask(f"{agency}.auditor", "GET", path)).json())

    async def differences(self, ref: str, state: str = "open") -> list[Json]:
        """The breaks about something at Stripe."""
        answer = await self.ask("acme.auditor", "GET", f"/payments/breaks?state={state}&page_size=500")
        assert answer.status_code == 200, answer.text
        return [row for row in answer.json()["results"] if row["processor_ref"] == ref]


class _Server(uvicorn.Server):
    """Leaves signals to the test run."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(services: Services, settings: Any, port: int) -> AsyncIterator[None]:
    """The application at a port, for as long as the block runs; then its services are closed."""
    config = uvicorn.Config(
        application(create_app, settings, services),
        host=LOOPBACK,
        port=port,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())

    async def up() -> bool:
        return server.started

    try:
        await until(up, within_s=60, what="the API to listen")
        yield
    finally:
        server.should_exit = True
        await task
        await services.close()


@asynccontextmanager
async def open_office(till: Till, **changed: Any) -> AsyncIterator[Office]:
    """The till's application once more, listening, and sent webhooks by the stand-in."""
    port = free_port()
    settings = till.world.settings.model_copy(
        update={
            "stripe_url": till.stripe.url,
            "public_url": f"http://{LOOPBACK}:{port}",
            "inbox_settle_seconds": 0.1,
            **changed,
        }
    )
    services = build_services(settings, till.world.database, till.temporal)
    world = replace(
        till.world, app=application(create_app, settings, services), services=services, settings=settings
    )
    named = {name: getattr(till, name) for name in ("temporal", "stripe", "key", "stripe_id", "caller")}
    office = Office(world=world, gateway=till.gateway, port=port, **named)
    async with listening(services, settings, port):
        answer = await office.register()
        assert answer.status_code == 200, answer.text
        yield office


def renewed(office: Office, client: Client) -> Services:
    """The services of another process of the API, over ``client``; closed by ``listening``."""
    return build_services(office.world.settings, office.world.database, client)
