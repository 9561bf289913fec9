"""Card payments from the request to the ledger, against workflows with as many activities that do nothing."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx

from benchmarks.bare import QUEUE, BareSteps
from benchmarks.placed import place
from benchmarks.turns import AT_ONCE, RoundTrips, Work, in_turn, warm_up
from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from domain.tenancy import Role
from sandbox.ports import LOOPBACK, free_port
from sandbox.postgres import APPLICATION
from sandbox.processes import until
from sandbox.stack import answers_http
from services.passwords import Passwords
from workflows import queues

if TYPE_CHECKING:
    from temporalio.api.history.v1 import HistoryEvent

    from benchmarks.world import Shop, World

LEAST_RATIO = 0.6
WARM_UP = 5
ACCOUNTS = 8
"""For each caller: so that no two payments at once wait for one account."""

AMOUNT = "0.50"
_USER = {"username": "bench.admin", "password": "only for the bench"}
_SECRET_KEY = "sk_test_bench_only_here"  # noqa: S105 - of the stand-in
_START_S = 60.0
_KEPT_S = 2.0
"""How long a connection may lie idle while it is the floor's turn: not until the API closes it."""

_CREATED, _ACCEPTED = 201, 202
_LOCAL_ACTIVITY = "core_local_activity"
"""The marker that the SDK leaves of one."""


@dataclass(frozen=True, slots=True)
class PaymentFigures:
    """Payments one after the other, and by ``AT_ONCE`` callers at once; each has ``activities``."""

    payments: int
    activities: int
    sequential: RoundTrips
    concurrent: RoundTrips


async def measure(world: "World", payments: int, report: Callable[[str], None]) -> PaymentFigures:
    """Take about ``payments`` payments in each of the two ways, in slices that take turns with the floor's.

    The provider is the sandbox's stand-in, which sends its webhooks to the API.
    """
    async with AsyncExitStack() as stack:
        # No limit of the provider's here: it is a stand-in.
        shop = await stack.enter_async_context(world.shop(stripe_rate=10_000))
        await world.until_polled(shop.worker, queues.MONEY)
        http = await stack.enter_async_context(_api(shop))
        bare = await stack.enter_async_context(world.child("bare", "benchmarks.bare_worker"))
        await world.until_polled(bare, QUEUE)
        pay = await _paying(shop, http)
        await warm_up(pay, WARM_UP, count=payments)
        steps = await _activities(shop)
        nothing = _nothing(world, steps)
        await warm_up(nothing, WARM_UP, count=payments)
        await world.checkpoint()
        report(f"{payments:,} payments and as many workflows with {steps} activities, one after the other")
        sequential = await in_turn(pay, nothing, payments, callers=1)
        report(f"{payments:,} of each, {AT_ONCE} at once")
        concurrent = await in_turn(pay, nothing, payments, callers=AT_ONCE)
    return PaymentFigures(len(sequential.ours), steps, sequential, concurrent)


@asynccontextmanager
async def _api(shop: "Shop") -> AsyncIterator[httpx.AsyncClient]:
    """A real ``recoup api`` with a login, which the agency's webhooks come to."""
    world, port = shop.world, free_port()
    url = world.postgres.url(APPLICATION, shop.database)
    await _login(world, url, shop.agency_id)
    settings = {
        "database_url": url,
        "api_port": port,
        "public_url": f"http://{LOOPBACK}:{port}",
        "access_token_minutes": 24 * 60,
    }
    async with world.child("api", "cli.main", "api", **settings) as api:
        await api.until(lambda: answers_http(port, "/health/live"), within_s=_START_S)
        base_url = f"http://{LOOPBACK}:{port}/api/v1"
        limits = httpx.Limits(
            max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE, keepalive_expiry=_KEPT_S
        )
        async with httpx.AsyncClient(base_url=base_url, timeout=60, limits=limits) as http:
            token = (await http.post("/auth/token", json=_USER)).raise_for_status().json()["access"]
            http.headers["Authorization"] = f"Bearer {token}"
            credentials = {"secret_key": _SECRET_KEY}
            (await http.put("/stripe-credentials", json=credentials)).raise_for_status()
            yield http


async def _login(world: "World", url: str, agency_id: UUID) -> None:
    database = Database(url, ColumnCipher(parse_keys(world.settings.column_keys.get_secret_value())))
    try:
        async with database.platform() as tx:
            await tx.users.add(
                {
                    "agency_id": agency_id,
                    "username": _USER["username"],
                    "full_name": "Bench",
                    "role": Role.AGENCY_ADMIN,
                    "password_hash": await Passwords().hash(_USER["password"]),
                }
            )
    finally:
        await database.close()


async def _paying(shop: "Shop", http: httpx.AsyncClient) -> Work:
    """Pays the least that a card can on an account of the caller's, by card."""
    await place(shop.query, shop.agency_id, AT_ONCE * ACCOUNTS)
    accounts = [str(row["id"]) for row in await shop.query("SELECT id FROM account ORDER BY id")]
    turns = count()

    async def pay(number: int) -> None:
        body = {
            "account_id": accounts[number * ACCOUNTS + next(turns) % ACCOUNTS],
            "amount": AMOUNT,
            "currency": "USD",
            "method": "card",
            "payment_method": "pm_card_visa",
            "idempotency_key": uuid4().hex,
        }
        answer = (await http.post("/payments", json=body)).raise_for_status()
        payment = answer.json()
        if answer.status_code == _ACCEPTED:
            payment = await _ended(http, payment["id"])
        if payment["status"] != "succeeded":
            raise RuntimeError(f"a payment {payment['status']}: {payment['failure_code']}")

    return pay


async def _ended(http: httpx.AsyncClient, payment_id: str) -> dict[str, Any]:
    """A payment that took longer than the API waits."""
    found: list[dict[str, Any]] = []

    async def over() -> bool:
        found[:] = [(await http.get(f"/payments/{payment_id}")).raise_for_status().json()]
        return found[0]["status"] not in {"pending", "processing"}

    await until(over, within_s=_START_S, what="a payment to end")
    return found[0]


async def _activities(shop: "Shop") -> int:
    """How many activities a payment's workflow has."""
    [row] = await shop.query("SELECT origin, idempotency_key FROM payment ORDER BY id DESC LIMIT 1")
    workflow_id = queues.payment_workflow_id(shop.agency_id, row["origin"], row["idempotency_key"])
    history = await shop.world.client.get_workflow_handle(workflow_id).fetch_history()
    return sum(_is_activity(event) for event in history.events)


def _is_activity(event: "HistoryEvent") -> bool:
    """Whether an event tells of another activity, be it a local one."""
    local = event.marker_recorded_event_attributes.marker_name == _LOCAL_ACTIVITY
    return local or event.HasField("activity_task_scheduled_event_attributes")


def _nothing(world: "World", steps: int) -> Work:
    async def work(number: int) -> None:
        await world.client.execute_workflow(BareSteps.run, steps, id=f"bare/{uuid4()}", task_queue=QUEUE)

    return work
