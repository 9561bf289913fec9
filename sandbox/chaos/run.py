"""``recoup chaos``: payments and plans while the product is killed at random, and what the books then say."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import psycopg
from rich.table import Table

from api.composition import build_services, open_database
from db import migrate
from gateways.stripe import StripeGateway
from runtime import temporal
from runtime.settings import Settings, load_settings
from sandbox.chaos.customers import Customers, Door, door, some_at_once
from sandbox.chaos.killer import Killer
from sandbox.chaos.proof import Books, compare
from sandbox.errors import SandboxError
from sandbox.portfolios import write_portfolio
from sandbox.ports import free_port
from sandbox.postgres import SUPERUSER
from sandbox.processes import until
from sandbox.seed import STAFF_PASSWORD, STRIPE_KEY, seed
from sandbox.stack import Stack, product

if TYPE_CHECKING:
    from rich.console import Console

AGENCY, LOGIN = "demo", "demo.admin"
NOON = 12
SETTLED_WITHIN_S = 240.0
HEARD_WITHIN_S = 420.0
"""What the API had stored when it was killed is taken up by a sweep, five minutes later at most."""

BANK_DELAY_S = 2
FAULTS = {"timeout_after": 0.003, "error_after": 0.02, "reset_after": 0.02, "unavailable": 0.02}
"""How often a command to Stripe ends so. A time-out is as long as the product waits for an answer."""

_PORTS = ("api", "postgres", "temporal", "temporal_ui", "sftp", "stripe")
_UNENDED = ("pending", "processing", "requires_action")
_PAGE = 200

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to; ``took_s`` is from the first payment to the last one's end."""

    asked: int
    plans: int
    repeated: int
    kills: dict[str, int]
    answers: dict[int, int]
    took_s: float
    books: Books

    def json(self) -> dict[str, Any]:
        """For machines; amounts as strings."""
        books = self.books
        sums = {name: format(getattr(books, name), "f") for name in _SUMS}
        return {
            "payments": dict(books.payments),
            "asked": self.asked,
            "plans": self.plans,
            "instalments_paid": self.books.instalments,
            "requests_repeated": self.repeated,
            "answers": {str(status): count for status, count in sorted(self.answers.items())},
            "kills": self.kills,
            "took_s": round(self.took_s, 1),
            **sums,
            "differences": books.differences,
        }

    def table(self) -> Table:
        """For people."""
        table = Table("", "", title="payments under fire", show_header=False)
        killed = ", ".join(f"{name} {count} ×" for name, count in sorted(self.kills.items()))
        table.add_row("killed", killed or "nothing")
        table.add_row("asked for", f"{self.asked} payments, {self.plans} plans, {self.took_s:.0f} s")
        table.add_row("requests sent again", str(self.repeated))
        for status, count in sorted(self.books.payments.items()):
            table.add_row(f"  {status}", str(count))
        table.add_row("instalments paid", str(self.books.instalments))
        for name in _SUMS:
            table.add_row(name.replace("_", " "), f"{getattr(self.books, name):,.2f}")
        table.add_row("differences", str(len(self.books.differences)))
        return table


_SUMS = ("charged", "refunded", "disputed", "by_hand", "cash")


async def run(payments: int, plans: int, seed_number: int, console: "Console", *, as_json: bool) -> int:
    """Let debtors pay under fire and compare the books; 0 when they agree, 1 when not or nothing starts."""

    def report(words: str) -> None:
        if not as_json:
            console.print(words, highlight=False)

    try:
        outcome = await _outcome(payments, plans, Random(seed_number), report)  # noqa: S311 - a dice, no secret
    except SandboxError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    if as_json:
        console.print_json(json.dumps(outcome.json()))
    else:
        console.print(outcome.table())
        for difference in outcome.books.differences:
            console.print(difference, style="red", markup=False)
    return 1 if outcome.books.differences else 0


async def _outcome(payments: int, plans: int, random: Random, report: Report) -> Outcome:
    since = datetime.now(UTC) - timedelta(minutes=5)
    async with _stack(report) as stack:
        base_url = f"http://127.0.0.1:{stack.settings.api_port}/api/v1"
        agency_id = await _seeded(stack)
        await _behave(stack)
        async with door(base_url, LOGIN, STAFF_PASSWORD) as entrance:
            today = await _agency_noon(stack, agency_id)
            accounts = await _placed(entrance, stack.home, payments + plans)
            customers, killer = Customers(entrance, random), Killer(stack, random)
            began = monotonic()
            report(f"{payments} payments and {plans} plans, while processes are killed")
            async with killer.at_work():
                await some_at_once(_work(customers, accounts, payments, today))
            report("waiting until every payment has ended")
            await _all_ended(entrance)
            took = monotonic() - began
        books = await _books(stack, agency_id, customers, since)
    return Outcome(
        asked=len(customers.keys),
        plans=len(customers.plans),
        repeated=entrance.repeated,
        kills=dict(killer.kills),
        answers=dict(customers.answers),
        took_s=took,
        books=books,
    )


def _work(customers: Customers, accounts: list[dict[str, Any]], payments: int, today: Any) -> list[Any]:
    """Payments first by account, plans among them."""
    work = [lambda n=n, a=a: customers.pay(a, n) for n, a in enumerate(accounts[:payments])]
    work += [lambda n=n, a=a: customers.agree_on_plan(a, n, today) for n, a in enumerate(accounts[payments:])]
    customers.random.shuffle(work)
    return work


@asynccontextmanager
async def _stack(report: Report) -> AsyncIterator[Stack]:
    """The product on free ports in a folder of its own; gone at the end."""
    with TemporaryDirectory(prefix="recoup-chaos-", ignore_cleanup_errors=True) as folder:
        settings = _settings(Path(folder))
        stack = Stack(
            settings,
            migrate=migrate.upgrade,
            apps=product(settings),
            report=lambda name, where: report(f"{name}: {where}"),
        )
        try:
            await stack.start()
            yield stack
        finally:
            await stack.stop()


def _settings(folder: Path) -> Settings:
    ports: set[int] = set()
    while len(ports) < len(_PORTS):
        ports.add(free_port())
    chosen = {f"{name}_port": number for name, number in zip(_PORTS, sorted(ports), strict=True)}
    # Nothing of the caller's environment: it may name the databases of a running system.
    plain = Settings.model_construct().model_dump()
    return Settings(
        _env_file=None,
        **{
            **plain,
            **chosen,
            "home": folder,
            "log_level": "WARNING",
            "postgres_bin": load_settings().postgres_bin,
        },
    )


async def _seeded(stack: Stack) -> UUID:
    client = await temporal.connect(stack.settings)
    async with open_database(stack.settings, "recoup-chaos") as database:
        services = build_services(stack.settings, database, client)
        try:
            agencies = await seed(stack.settings, services, sftp_host_key=stack.sftp_host_key)
        finally:
            await services.close()
    return agencies[AGENCY]


async def _behave(stack: Stack) -> None:
    """Quick banks, webhooks twice and late, and calls that end in nothing though the work was done."""
    control = f"http://127.0.0.1:{stack.settings.stripe_port}/sandbox"
    async with httpx.AsyncClient(timeout=10) as http:
        behaviour = {"bank_delay_s": BANK_DELAY_S, "refund_delay_s": 1, "dispute_delay_s": 1}
        noise = {"duplicates": 1, "jitter_s": 0.5}
        (await http.post(f"{control}/behaviour", json={**behaviour, **noise})).raise_for_status()
        for kind, probability in FAULTS.items():
            fault = {"kind": kind, "path": "/v1/", "count": 1_000_000, "method": "POST"}
            fault["probability"] = probability
            (await http.post(f"{control}/faults", json=fault)).raise_for_status()


async def _agency_noon(stack: Stack, agency_id: UUID) -> Any:
    """Put the agency where it is about noon, when instalments of the day are due; the date there."""
    offset = NOON - datetime.now(UTC).hour
    zone = f"Etc/GMT{-offset:+d}" if offset else "Etc/GMT"
    async with await psycopg.AsyncConnection.connect(stack.postgres.url(SUPERUSER)) as connection:
        await connection.execute("UPDATE agency SET time_zone = %s WHERE id = %s", [zone, agency_id])
    return datetime.now(ZoneInfo(zone)).date()


async def _placed(entrance: Door, home: Path, count: int) -> list[dict[str, Any]]:
    """Upload a portfolio of so many accounts, and find them."""
    file = home / "chaos.csv"
    with file.open("wb") as target:
        write_portfolio(target, rows=count, seed=count)
    content = file.read_bytes()
    await entrance.ask(
        "POST", "/imports", key="chaos-portfolio", files={"file": ("chaos.csv", content, "text/csv")}
    )
    accounts: list[dict[str, Any]] = []

    async def there() -> bool:
        found = await _all(entrance, f"/accounts?page_size={_PAGE}")
        accounts[:] = found
        return len(found) >= count

    await until(there, within_s=SETTLED_WITHIN_S, what=f"{count} accounts")
    return accounts[:count]


async def _all(entrance: Door, path: str) -> list[dict[str, Any]]:
    """Every row of a list, page by page."""
    found: list[dict[str, Any]] = []
    following: str | None = path
    while following:
        page = (await entrance.ask("GET", following.removeprefix("/api/v1"))).raise_for_status().json()
        found += page["results"]
        following = page["next"] and httpx.URL(page["next"]).raw_path.decode()
    return found


async def _all_ended(entrance: Door) -> None:
    async def ended() -> bool:
        await asyncio.sleep(0.5)
        pages = [await entrance.ask("GET", f"/payments?status={status}&page_size=1") for status in _UNENDED]
        return not any(page.json()["results"] for page in pages)

    await until(ended, within_s=SETTLED_WITHIN_S, what="every payment to end")


async def _books(stack: Stack, agency_id: UUID, customers: Customers, since: datetime) -> Books:
    """What the books say, once what Stripe is about to tell has been heard."""
    gateway = StripeGateway(base_url=stack.settings.stripe_url)
    found: list[Books] = []

    async def agree() -> bool:
        account = gateway.account(STRIPE_KEY.format(slug=AGENCY))
        url = stack.postgres.url(SUPERUSER)
        found[:] = [await compare(url, agency_id, account, list(customers.keys), customers.plans, since)]
        await asyncio.sleep(0.5)
        return not found[0].differences

    try:
        await until(agree, within_s=HEARD_WITHIN_S, what="the books to agree")
    except SandboxError:
        return found[0]
    finally:
        await gateway.close()
    return found[0]
