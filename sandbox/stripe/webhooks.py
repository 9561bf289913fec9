"""Delivery of events: signed as Stripe signs, tried again for three days, doubled and reordered on demand."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import random
import time
from typing import Final, Literal

import httpx
from tenacity import AsyncRetrying, RetryError, retry_if_result, stop_after_delay, wait_exponential_jitter

from sandbox.stripe.events import SECRET
from sandbox.stripe.store import Delivery, Json, Store
from sandbox.stripe.world import Behaviour

Order = Literal["created", "reversed", "shuffled"]
_FOR_S: Final = 3 * 86_400
_TIMEOUT_S: Final = 10.0
_AT_ONCE: Final = 16
_SUCCESS: Final = range(200, 300)


def signature(secret: str, body: bytes, at: int) -> str:
    """The ``Stripe-Signature`` header of a body signed at ``at`` (seconds): HMAC-SHA256 of both."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def payload(event: Json) -> bytes:
    """An event as it is sent."""
    return json.dumps(event).encode()


class Webhooks:
    """Sends what is pending in the store; ``first_wait_s`` is the wait before the first further try."""

    def __init__(
        self, store: Store, behaviour: Behaviour, *, first_wait_s: float = 0.5, longest_wait_s: float = 60
    ) -> None:
        self._store = store
        self._behaviour = behaviour
        self._waits = wait_exponential_jitter(
            multiplier=first_wait_s, max=longest_wait_s, jitter=first_wait_s
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = 0
        self._slots = asyncio.Semaphore(_AT_ONCE)
        # Endpoints are on this machine: no proxy takes part.
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False)
        # How long a delivery waits is no secret.
        self._dice = random.Random()  # noqa: S311

    def send(self) -> None:
        """Start what is pending and not under way, unless events are held back."""
        if self._behaviour.hold_webhooks:
            return
        for delivery in self._store.pending_deliveries(after=self._begun):
            self._begun = delivery.seq
            task = asyncio.create_task(self._deliver(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def release(self, order: Order) -> int:
        """Send what was held back, one by one in this order, then let all go on; how many there were."""
        held = self._store.pending_deliveries(after=self._begun)
        if order == "reversed":
            held.reverse()
        elif order == "shuffled":
            self._dice.shuffle(held)
        for delivery in held:
            await self._try(delivery)
        self._behaviour.hold_webhooks = False
        self.send()
        return len(held)

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        """Stop sending; what is pending is sent after the next start."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _deliver(self, delivery: Delivery) -> None:
        if self._behaviour.jitter_s:
            await asyncio.sleep(self._dice.uniform(0, self._behaviour.jitter_s))
        retrying = AsyncRetrying(
            retry=retry_if_result(lambda done: not done), stop=stop_after_delay(_FOR_S), wait=self._waits
        )
        with contextlib.suppress(RetryError):
            await retrying(self._try, delivery)

    async def _try(self, delivery: Delivery) -> bool:
        """Whether nothing is left to do: delivered, or its endpoint is gone."""
        endpoint = self._store.get(delivery.account, delivery.endpoint, "webhook_endpoint")
        event = self._store.get(delivery.account, delivery.event, "event")
        if endpoint is None or event is None or endpoint["status"] != "enabled":
            self._store.record_attempt(delivery.seq, None, pending=False)
            return True
        body = payload(event | {"pending_webhooks": 1})
        at = int(time.time()) - self._behaviour.backdate_s
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(endpoint[SECRET], body, at),
            "User-Agent": "Recoup sandbox; not Stripe",
        }
        status = None
        async with self._slots:
            with contextlib.suppress(httpx.HTTPError):
                status = (await self._client.post(endpoint["url"], content=body, headers=headers)).status_code
        delivered = status in _SUCCESS
        self._store.record_attempt(delivery.seq, status, pending=not delivered)
        return delivered
