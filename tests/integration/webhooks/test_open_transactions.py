"""While Stripe takes its time no transaction is open: nobody waits for a lock, or for a connection."""

import asyncio
from collections.abc import Awaitable
from uuid import uuid4

import httpx

from sandbox.processes import until
from sandbox.stripe.faults import Fault
from tests.integration.webhooks.office import Office

HELD_S = 60
"""Far longer than what a test looks at takes, which lets Stripe go on when it has seen it."""
IDLE = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND state = 'idle in transaction' AND pid <> pg_backend_pid()
"""


async def open_meanwhile(office: Office, path: str, ask: Awaitable[httpx.Response]) -> httpx.Response:
    """The answer to a request during which Stripe is slow; fails if a transaction is open meanwhile."""
    fault = office.stripe.faults.add(Fault("slow", method="*", path=path, seconds=HELD_S))
    answer = asyncio.ensure_future(ask)
    await met(fault)

    async def nothing_open() -> bool:
        return list(await office.query(IDLE)) == [(0,)] and not answer.done()

    await until(nothing_open, within_s=HELD_S / 2, what="no transaction to be open")
    office.stripe.faults.clear()
    return await answer


async def met(fault: Fault) -> None:
    async def asked() -> bool:
        return fault.hits > 0

    await until(asked, within_s=60, what="Stripe to be asked")


async def test_while_an_event_is_matched(office: Office) -> None:
    made = await office.caller.paid(2500)
    row = await office.came("payment_intent.succeeded", made["id"], "unmatched")
    debt = await office.debt("100.00")
    match = f"/payments/inbox/{row['id']}/match"
    ask = office.ask("acme.admin", "POST", match, {"account_id": debt["id"]}, **{"Idempotency-Key": "m-1"})
    answer = await open_meanwhile(office, f"/v1/payment_intents/{made['id']}", ask)
    assert answer.status_code == 202, answer.text
    await office.settled(made["id"])
    office.stripe.faults.add(Fault("unavailable", method="*", count=None))
    again = await office.ask(
        "acme.admin", "POST", match, {"account_id": debt["id"]}, **{"Idempotency-Key": "m-1"}
    )
    assert again.json() == answer.json(), "what was done is answered without Stripe"


async def test_while_credentials_are_tried(office: Office) -> None:
    body = {"secret_key": f"sk_test_{uuid4().hex}"}
    ask = office.ask("rival.admin", "PUT", "/stripe-credentials", body, **{"Idempotency-Key": "c-1"})
    answer = await open_meanwhile(office, "/v1/account", ask)
    assert answer.status_code == 200, answer.text
    office.stripe.faults.add(Fault("unavailable", method="*", count=None))
    again = await office.ask("rival.admin", "PUT", "/stripe-credentials", body, **{"Idempotency-Key": "c-1"})
    assert again.json() == answer.json()


async def test_of_credentials_put_at_once_one_has_the_last_word(office: Office) -> None:
    """The slower one is told so, and changes nothing."""
    slow, quick = ({"secret_key": f"sk_test_{uuid4().hex}"} for _ in range(2))
    account = await office.gateway.account(slow["secret_key"]).account_id()
    fault = Fault("slow", method="*", path="/v1/account", seconds=HELD_S, account=account)
    office.stripe.faults.add(fault)
    waits = asyncio.ensure_future(office.ask("rival.admin", "PUT", "/stripe-credentials", slow))
    await met(fault)
    first = await office.ask("rival.admin", "PUT", "/stripe-credentials", quick)
    office.stripe.faults.clear()
    second = await waits
    assert (first.status_code, second.status_code) == (200, 409)
    shown = (await office.ask("rival.admin", "GET", "/stripe-credentials")).json()
    assert shown["account_ref"] == first.json()["account_ref"]
