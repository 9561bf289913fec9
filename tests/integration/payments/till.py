"""A till: payments over REST, as an agency's people take them, and what became of them everywhere."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text
from temporalio.client import Client, WorkflowHandle

from api.app import create_app
from api.composition import build_services
from domain.tenancy import Tenant
from gateways.storage import ObjectStorage
from gateways.stripe import StripeAccount, StripeGateway
from sandbox.processes import until
from sandbox.stripe.faults import Fault
from sandbox.stripe.server import StripeServer
from tests.applications import application
from tests.integration.api.people import make, place, set_account
from tests.integration.sandbox.stripe_http import Caller
from workers.deployment import make_current
from workers.worker import serving
from workflows import queues
from workflows.queues import payment_workflow_id, refund_workflow_id

Json = dict[str, Any]
ENDED = {"succeeded", "failed", "refunded", "partially_refunded", "disputed"}
HASTE_S = 2.0


@dataclass
class Till:
    """Payments of one agency."""

    world: Any
    temporal: Client
    stripe: StripeServer
    key: str
    stripe_id: str
    caller: Caller
    gateway: StripeGateway
    agency: str = "acme"

    @property
    def agency_id(self) -> UUID:
        found: UUID = self.world.agencies[self.agency]
        return found

    @property
    def account(self) -> StripeAccount:
        """The agency's account at the stand-in."""
        return self.gateway.account(self.key)

    async def debt(self, amount: str = "100.00", **columns: Any) -> Json:
        """A new account of somebody new."""
        account = await place(self.world, await make(self.world), amount)
        if columns:
            await set_account(self.world, account, **columns)
        return dict(account)

    async def dispute(self, account: Mapping[str, Any]) -> None:
        """Have the debt disputed in writing within the validation period; its status stays as it is."""
        await self.query(
            "INSERT INTO dispute (agency_id, account_id, reason, received_on, in_writing, in_period,"
            " recorded_by) VALUES (:agency, :account, 'not mine', current_date, true, true, 'test')",
            agency=self.agency_id,
            account=account["id"],
        )

    async def ask(
        self, who: str | None, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        answer: httpx.Response = await self.world.call(who, method, path, body, **headers)
        return answer

    async def pay(
        self, account: Mapping[str, Any], amount: str = "40.00", who: str = "acme.admin", **more: Any
    ) -> httpx.Response:
        """Ask for a payment: by card, unless it is said otherwise."""
        body = {
            "account_id": account["id"],
            "amount": amount,
            "currency": "USD",
            "method": "card",
            "payment_method": "pm_card_visa",
            "idempotency_key": uuid4().hex,
        } | more
        return await self.ask(who, "POST", "/payments", {k: v for k, v in body.items() if v is not None})

    async def paid(self, account: Mapping[str, Any], amount: str = "40.00", **more: Any) -> Json:
        """A payment that came in."""
        answer = await self.pay(account, amount, **more)
        assert answer.status_code in {201, 202}, answer.text
        return await self.ends(answer.json(), "succeeded")

    async def refund(self, payment: Json, who: str = "acme.admin", **body: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if (key := body.pop("key", None)) else {}
        return await self.ask(who, "POST", f"/payments/{payment['id']}/refund", body, **headers)

    async def get(self, payment: Json) -> Json:
        answer = await self.ask("acme.admin", "GET", f"/payments/{payment['id']}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def ends(self, payment: Json, *statuses: str, within_s: float = 60) -> Json:
        """The payment once it stands so, or has ended."""
        wanted = set(statuses) or ENDED

        async def there() -> bool:
            return (await self.get(payment))["status"] in wanted

        await until(there, within_s=within_s, what=f"the payment to be {' or '.join(sorted(wanted))}")
        return await self.get(payment)

    async def balance(self, account: Mapping[str, Any]) -> str:
        answer = await self.ask("acme.admin", "GET", f"/accounts/{account['id']}")
        return str(answer.json()["current_balance"])

    async def status(self, account: Mapping[str, Any]) -> str:
        answer = await self.ask("acme.admin", "GET", f"/accounts/{account['id']}")
        return str(answer.json()["status"])

    async def journals(self, account: Mapping[str, Any]) -> list[tuple[str, Decimal]]:
        """Kinds and amounts of what was posted on an account since it was placed, in order."""
        rows = await self.query(
            "SELECT j.kind, sum(p.amount) FROM journal j JOIN posting p ON p.journal_id = j.id"
            " WHERE p.account_id = :account AND j.kind <> 'placement' GROUP BY j.id, j.kind ORDER BY j.id",
            account=account["id"],
        )
        return [(kind, amount) for kind, amount in rows]

    async def query(self, statement: str, **values: Any) -> list[Any]:
        async with self.world.database.transaction(Tenant.system(self.agency_id, "test")) as tx:
            found = await tx.session.execute(text(statement), values)
            return list(found.all()) if found.returns_rows else []

    async def charges(self, account: Mapping[str, Any]) -> list[Json]:
        """What Stripe has charged for an account."""
        found = await self.caller.get("charges", limit=100)
        mine = [one for one in found["data"] if one["metadata"].get("recoup_account") == account["id"]]
        return [one for one in mine if one["status"] == "succeeded"]

    async def intents(self, account: Mapping[str, Any]) -> list[Json]:
        found = await self.caller.get("payment_intents", limit=100)
        return [one for one in found["data"] if one["metadata"].get("recoup_account") == account["id"]]

    def process(self, payment: Mapping[str, Any], origin: str = "request") -> WorkflowHandle[Any, Any]:
        """The workflow of a payment."""
        return self.temporal.get_workflow_handle(
            payment_workflow_id(self.agency_id, origin, payment["idempotency_key"])
        )

    def refund_process(self, refund: Mapping[str, Any]) -> WorkflowHandle[Any, Any]:
        return self.temporal.get_workflow_handle(refund_workflow_id(UUID(refund["id"])))

    def breaks(self, kind: Any, path: str, **more: Any) -> Fault:
        """Have requests of this agency fail."""
        return self.stripe.faults.add(
            Fault(kind=kind, path=path, account=self.stripe_id, **{"seconds": 0.3} | more)
        )

    @asynccontextmanager
    async def in_haste(self) -> AsyncIterator["Till"]:
        """The same till, where callers wait for something that does not come soon."""
        async with waiting(self.world, self.temporal, HASTE_S) as world:
            yield replace(self, world=world)

    async def close(self) -> None:
        await self.caller.client.aclose()
        await self.gateway.close()


@asynccontextmanager
async def waiting(world: Any, temporal: Client, seconds: float) -> AsyncIterator[Any]:
    """The same application, where callers are kept waiting for payments and refunds for so long."""
    settings = world.settings.model_copy(update={"payment_patience_seconds": seconds})
    services = build_services(settings, world.database, temporal)
    app = application(create_app, settings, services)
    try:
        yield replace(world, app=app, services=services, settings=settings)
    finally:
        await services.close()


async def opened(world: Any, temporal: Client, stripe: StripeServer) -> Till:
    """A till whose agency has an account of its own at the stand-in."""
    key = f"sk_test_{uuid4().hex}"
    gateway = StripeGateway(base_url=stripe.url)
    stripe_id = await gateway.account(key).account_id()
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        await tx.stripe_credentials.put(
            secret_key=key, account_ref=stripe_id, webhook_secret=None, webhook=None
        )
    return Till(world, temporal, stripe, key, stripe_id, Caller(stripe, key), gateway)


@asynccontextmanager
async def at_work(till: Till, wanted: Sequence[str] = queues.ALL, **changed: Any) -> AsyncIterator[None]:
    """A worker as `recoup worker` builds it, that admits no accounts."""
    settings = till.world.settings.model_copy(
        update={"lifecycle_capacity": 0, "stripe_url": till.stripe.url, "stripe_rate": 200.0, **changed}
    )
    await make_current(till.temporal, settings.build_id)
    storage = ObjectStorage(settings.storage_url)
    async with serving(settings, till.world.database, till.temporal, storage, wanted):
        yield
