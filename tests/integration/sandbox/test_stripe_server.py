"""The stand-in as a server: what it keeps over a restart, and as a process of its own."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from sandbox.errors import SandboxError
from sandbox.ports import free_port
from sandbox.stripe.server import StripeServer
from sandbox.stripe.world import Behaviour
from tests.integration.sandbox.stripe_http import Caller
from tests.integration.sandbox.stripe_receiver import Receiver


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[StripeServer]:
    """A stand-in with a file of its own."""
    made = StripeServer(free_port(), file=tmp_path / "stripe" / "stripe.db", first_wait_s=0.01)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def agency(server: StripeServer) -> AsyncIterator[Caller]:
    """An agency at that stand-in."""
    made = Caller(server, "sk_test_0123456789")
    yield made
    await made.client.aclose()


async def test_a_restart_keeps_objects_keys_and_clock(server: StripeServer, agency: Caller) -> None:
    await agency.control("clock", advance_s=5000)
    made = await agency.done("payment_intents", "k", amount=500, currency="usd")
    debit = await agency.debited("pm_usBankAccount_success")
    before = (await agency.client.get("/sandbox/clock")).json()["now"]

    await server.restart()

    again = await agency.post("payment_intents", "k", amount=500, currency="usd")
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (made["id"], "true")
    assert await agency.get(f"payment_intents/{made['id']}") == made
    assert (await agency.client.get("/sandbox/clock")).json()["now"] >= before
    await agency.control("clock", advance_s=60)
    assert (await agency.get(f"payment_intents/{debit['id']}"))["status"] == "succeeded"


async def test_a_restart_sends_what_was_not_taken(
    server: StripeServer, agency: Caller, receiver: Receiver
) -> None:
    await agency.done("webhook_endpoints", url=receiver.url, enabled_events__0="customer.created")
    await receiver.stop()
    made = await agency.done("customers")
    await server.stop()
    await receiver.start()

    await server.start()

    await receiver.got(1)
    assert receiver.events[0]["data"]["object"]["id"] == made["id"]


async def test_a_debit_settles_by_itself(server: StripeServer, agency: Caller, receiver: Receiver) -> None:
    server.behaviour.bank_delay_s = 0.1
    await agency.done("webhook_endpoints", url=receiver.url, enabled_events__0="payment_intent.succeeded")
    await agency.debited("pm_usBankAccount_success")
    await receiver.got(1)


async def test_the_clock_is_the_callers(tmp_path: Path) -> None:
    now = [1_700_000_000.0]
    made = StripeServer(free_port(), clock=lambda: now[0], behaviour=Behaviour(bank_delay_s=86_400))
    await made.start()
    agency = Caller(made, "sk_test_0123456789")
    debit = await agency.debited("pm_usBankAccount_success")
    assert debit["created"] == 1_700_000_000
    now[0] += 86_399
    assert (await agency.get(f"payment_intents/{debit['id']}"))["status"] == "processing"
    now[0] += 1
    assert (await agency.get(f"payment_intents/{debit['id']}"))["status"] == "succeeded"
    charge = await agency.get(f"charges/{debit['latest_charge']}")
    assert charge["created"] == 1_700_000_000
    events = await agency.get("events", types__0="payment_intent.succeeded")
    assert events["data"][0]["created"] == 1_700_086_400
    await agency.client.aclose()
    await made.stop()


async def test_a_busy_port_gets_one_clear_line(server: StripeServer) -> None:
    second = StripeServer(server.port)
    with pytest.raises(SandboxError, match=rf"port {server.port} of Stripe is taken by .*RECOUP_STRIPE_PORT"):
        await second.start()


async def test_a_stop_lets_go_of_what_hangs(server: StripeServer, agency: Caller) -> None:
    await agency.control("faults", kind="timeout_before", seconds=60)
    hanging = asyncio.create_task(agency.post("customers"))
    await agency.met_fault()
    async with asyncio.timeout(30):
        await server.stop()
        with pytest.raises(httpx.HTTPError):
            await hanging


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_a_process_keeps_what_it_answered(tmp_path: Path, end: signal.Signals) -> None:
    port, file = free_port(), tmp_path / "stripe.db"
    made = ""
    for turn in range(2):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sandbox.stripe", "--file", str(file), "--port", str(port)
        )
        agency = Caller(StripeServer(port), "sk_test_0123456789")
        await agency.listens()
        if turn == 0:
            made = (await agency.done("customers"))["id"]
        else:
            assert [c["id"] for c in (await agency.get("customers"))["data"]] == [made]
        await agency.client.aclose()
        process.send_signal(end)
        assert await process.wait() == (0 if end is signal.SIGTERM else -signal.SIGKILL)
