"""Debtors who pay over REST, whatever happens to the API: each repeats a request until it has an answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random

from domain.money import CENT
from sandbox.processes import until

AT_ONCE = 8
PATIENCE_S = 300.0
_SERVER_ERROR = 500
_UNAUTHENTICATED = 401
_ACCEPTED = 202

WAYS = (
    ("card", "pm_card_visa", 50),
    ("card", "pm_card_chargeDeclinedInsufficientFunds", 10),
    ("card", "pm_card_createDispute", 5),
    ("card", "pm_card_pendingRefund", 5),
    ("bank_transfer", "pm_usBankAccount_success", 12),
    ("bank_transfer", "pm_usBankAccount_insufficientFunds", 6),
    ("cash", None, 7),
    ("check", None, 5),
)
"""How debtors pay: method, Stripe's test payment method, and how many of a hundred."""

PLANS = ("paid", "declined", "cancelled", "paid", "paid")
"""What becomes of plans, in turn: instalments are paid, the first is declined, the debtor wants no more."""

PLAN_METHODS = {"declined": "pm_card_chargeCustomerFail"}
"""Kept by Stripe and then declined at every charge; the others' is good."""

REFUNDED = 0.2
SENT_TWICE = 0.25


class NoAnswer(Exception):
    """The API was away, or could not say what became of a request: to be sent again, with its key."""


@dataclass
class Door:
    """The API, as a client with a login sees it; a login that ran out is renewed."""

    base_url: str
    credentials: dict[str, str]
    http: httpx.AsyncClient
    repeated: int = 0

    async def ask(self, method: str, path: str, *, key: str | None = None, **more: Any) -> httpx.Response:
        """The answer to a request, however long it takes: 2xx, or what is wrong with the request."""
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(NoAnswer),
            wait=wait_random(0.05, 0.5),
            stop=stop_after_delay(PATIENCE_S),
            reraise=True,
        )
        return await attempts(self._ask, method, path, key, more)

    async def _ask(self, method: str, path: str, key: str | None, more: dict[str, Any]) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        try:
            answer = await self.http.request(method, f"{self.base_url}{path}", headers=headers, **more)
            if answer.status_code == _UNAUTHENTICATED:
                await self.log_in()
                raise NoAnswer(path)
        except httpx.TransportError as error:
            self.repeated += 1
            raise NoAnswer(path) from error
        if answer.status_code >= _SERVER_ERROR:
            self.repeated += 1
            raise NoAnswer(f"{path}: {answer.status_code}")
        return answer

    async def log_in(self) -> None:
        """Get a token."""
        answer = await self.http.post(f"{self.base_url}/auth/token", json=self.credentials)
        if answer.status_code >= _SERVER_ERROR:
            raise NoAnswer("login")
        self.http.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access']}"


@asynccontextmanager
async def door(base_url: str, username: str, password: str) -> AsyncIterator[Door]:
    """A door that somebody is logged in at."""
    async with httpx.AsyncClient(timeout=30) as http:
        made = Door(base_url, {"username": username, "password": password}, http)
        await made.log_in()
        yield made


@dataclass
class Customers:
    """Who pays what; ``keys`` are those of all payments that were asked for, with the last answer, ``plans``
    what becomes of each (``PLANS``).
    """

    door: Door
    random: Random
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    plans: dict[str, str] = field(default_factory=dict)

    async def pay(self, account: dict[str, Any], number: int) -> None:
        """One payment of a part of the balance; perhaps sent twice at once, perhaps refunded after."""
        method, name, _ = self.random.choices(WAYS, weights=[share for _, _, share in WAYS])[0]
        twice, refunded = self.random.random() < SENT_TWICE, self.random.random() < REFUNDED
        part = Decimal(self.random.randint(5, 60)) / 100
        amount = max(CENT, (Decimal(account["current_balance"]) * part).quantize(CENT))
        key = f"chaos-{number}"
        body = {
            "account_id": account["id"],
            "amount": format(amount, "f"),
            "currency": account["currency"],
            "method": method,
            "idempotency_key": key,
            **({"payment_method": name} if name else {}),
        }
        sent = [self.door.ask("POST", "/payments", json=body) for _ in range(1 + twice)]
        found = await asyncio.gather(*sent)
        for answer in found:
            self.answers[answer.status_code] += 1
        ids = {answer.json().get("id") for answer in found}
        if len(ids) != 1:
            raise AssertionError(f"one key made {len(ids)} payments")
        self.keys[key] = found[-1].json()
        if refunded and self.keys[key].get("status") == "succeeded":
            await self._refund(self.keys[key], amount, key)

    async def _refund(self, payment: dict[str, Any], amount: Decimal, key: str) -> None:
        back = max(CENT, (amount / 3).quantize(CENT))
        path = f"/payments/{payment['id']}/refund"
        answer = await self.door.ask("POST", path, key=f"{key}-back", json={"amount": format(back, "f")})
        self.answers[answer.status_code] += 1

    async def agree_on_plan(self, account: dict[str, Any], number: int, today: date) -> None:
        """A plan of four instalments, the first due today: two of the others are paid early, or one is
        declined, or one is asked for and the plan cancelled at once.
        """
        kind = PLANS[number % len(PLANS)]
        path = f"/accounts/{account['id']}"
        for status in ("assigned", "in_contact", "negotiating"):
            await self.door.ask(
                "POST", f"{path}/transition", key=f"move-{number}-{status}", json={"new_status": status}
            )
        body = {
            "instalments": 4,
            "frequency": "weekly",
            "first_due": today.isoformat(),
            "payment_method": PLAN_METHODS.get(kind, "pm_card_visa"),
            "agreed_on": today.isoformat(),
            "copy_sent_on": today.isoformat(),
        }
        answer = await self.door.ask("POST", f"{path}/plans", key=f"plan-{number}", json=body)
        self.answers[answer.status_code] += 1
        answer.raise_for_status()
        plan = str(answer.json()["id"])
        self.plans[plan] = kind
        if kind == "declined":
            declined = partial(self._was_declined, plan, account["id"], f"early-{number}")
            await until(declined, within_s=PATIENCE_S, what="an instalment to be declined")
            return
        for turn in range(1 if kind == "cancelled" else 2):
            await until(partial(self._collected, plan, turn), within_s=PATIENCE_S, what="an instalment")
            early = partial(self._pays_early, plan, f"early-{number}-{turn}")
            await until(early, within_s=PATIENCE_S, what="an instalment to be taken early")
        if kind == "cancelled":
            ended = await self.door.ask("POST", f"/plans/{plan}/cancel", key=f"cancel-{number}", json={})
            self.answers[ended.status_code] += 1
            ended.raise_for_status()

    async def _pays_early(self, plan: str, key: str) -> bool:
        """Whether the plan takes the next instalment now: not before its payment method is kept at Stripe."""
        early = await self.door.ask("POST", f"/plans/{plan}/pay-early", key=key, json={})
        self.answers[early.status_code] += 1
        if early.status_code != _ACCEPTED:
            await asyncio.sleep(0.5)
        return early.status_code == _ACCEPTED

    async def _was_declined(self, plan: str, account_id: str, key: str) -> bool:
        """Whether a payment of the plan has failed; one is asked for where none is by itself today."""
        await self.door.ask("POST", f"/plans/{plan}/pay-early", key=key, json={})
        failed = await self.door.ask("GET", f"/payments?account={account_id}&status=failed")
        await asyncio.sleep(0.5)
        return bool(failed.raise_for_status().json()["results"])

    async def _collected(self, plan: str, before: int) -> bool:
        """Whether so many instalments are paid at least and none is being asked for.

        The first is asked for at once only where banks work today.
        """
        shown = (await self.door.ask("GET", f"/plans/{plan}")).raise_for_status().json()
        statuses = [instalment["status"] for instalment in shown["instalments"]]
        return statuses.count("paid") >= before and "collecting" not in statuses


async def some_at_once(work: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Do all of it, ``AT_ONCE`` at a time; the first failure ends it, and is raised as itself."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(part: Callable[[], Awaitable[None]]) -> None:
        async with gate:
            await part()

    try:
        async with asyncio.TaskGroup() as tasks:
            for part in work:
                tasks.create_task(one(part))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
