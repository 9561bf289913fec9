"""Several things go wrong one after the other with one request: it is done once, under whatever keys."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from activities.stripe_refunds import StripeRefunds
from activities.stripe_till import MOST_KEYS, StripeTill
from domain.errors import Unavailable
from gateways.stripe import StripeGateway
from sandbox.processes import until
from tests.integration.payments.test_payment_faults import Fixed, pending, tenant, with_intent
from tests.integration.payments.till import Till

REFUNDS, INTENTS, CONFIRM = "/v1/refunds", "/v1/payment_intents", "/v1/payment_intents/*/confirm"

SERIES: dict[str, list[tuple[str, int]]] = {
    "an error, then no answer while it is done": [("error_before", 0), ("slow", 1)],
    "an error, then a reset after it was done": [("error_before", 0), ("reset_after", 1)],
    "two errors": [("error_before", 0), ("error_before", 1)],
    "two errors, then no answer while it is done": [("error_before", 0), ("error_before", 1), ("slow", 3)],
    "an error, then done and called an error": [("error_before", 0), ("error_after", 1)],
    "resets, then no answer while it is done": [("reset_before", 0), ("reset_before", 0), ("slow", 0)],
}
"""Kinds of faults, each after how many further requests that go through."""


@pytest.fixture
async def hasty(till: Till) -> AsyncIterator[Fixed]:
    """The agency's account, by a way to it that gives up waiting long before Stripe is ready."""
    gateway = StripeGateway(base_url=till.stripe.url, timeout_s=0.15)
    yield Fixed(gateway.account(till.key))
    await gateway.close()


def break_in_turn(till: Till, series: str, path: str) -> None:
    for kind, skip in SERIES[series]:
        till.breaks(kind, path, skip=skip, seconds=0.6)


async def persist(till: Till, step: Callable[[int], Awaitable[Any]]) -> Any:
    """Take a step until it answers, as its workflow does; then wait for what is still under way."""
    tried, answers = 0, []

    async def answered() -> bool:
        nonlocal tried
        tried += 1
        with suppress(Unavailable):
            answers.append(await step(tried))
        return bool(answers)

    async def idle() -> bool:
        return till.stripe.engine.under_way == 0

    await until(answered, within_s=60, what="an answer")
    await until(idle, within_s=60, what="the stand-in to have done its work")
    return answers[0]


@pytest.mark.parametrize("series", SERIES)
async def test_a_refund_is_paid_out_once(till: Till, hasty: Fixed, series: str) -> None:
    paid = await till.paid(await till.debt())
    async with till.world.database.transaction(tenant(till)) as tx:
        payment = await tx.payments.get(UUID(paid["id"]))
        refund = await tx.refunds.add(payment, Decimal("15.00"), origin="request", reason=None)
    break_in_turn(till, series, REFUNDS)
    refunds = StripeRefunds(hasty)
    facts = await persist(till, lambda attempt: refunds.refund(payment, refund, attempt=attempt))
    made = await till.caller.get("refunds", payment_intent=payment.processor_ref)
    assert [(one["id"], one["amount"]) for one in made["data"]] == [(facts.refund_ref, 1500)]


@pytest.mark.parametrize("series", SERIES)
async def test_a_payment_is_charged_once(till: Till, hasty: Fixed, series: str) -> None:
    account = await till.debt()
    payment = await pending(till, account)
    intent = await with_intent(till, payment)
    async with till.world.database.transaction(tenant(till)) as tx:
        payment = await tx.payments.get(payment.id)
    break_in_turn(till, series, CONFIRM)
    at = StripeTill(hasty, return_url=till.stripe.url)
    facts = await persist(till, lambda attempt: at.confirm(payment, attempt=attempt))
    charges = await till.caller.get("charges", payment_intent=intent)
    assert (facts.status, len(charges["data"])) == ("succeeded", 1)


@pytest.mark.parametrize("series", SERIES)
async def test_one_intent_is_made(till: Till, hasty: Fixed, series: str) -> None:
    account = await till.debt()
    payment = await pending(till, account)
    break_in_turn(till, series, INTENTS)
    at = StripeTill(hasty, return_url=till.stripe.url)
    facts = await persist(till, lambda attempt: at.create(payment))
    assert [one["id"] for one in await till.intents(account)] == [facts.intent_ref]


async def test_a_cancellation_outlasts_an_error_that_its_key_keeps(till: Till) -> None:
    payment = await pending(till, await till.debt())
    await with_intent(till, payment)
    async with till.world.database.transaction(tenant(till)) as tx:
        payment = await tx.payments.get(payment.id)
    till.breaks("error_before", "/v1/payment_intents/*/cancel")
    at = StripeTill(Fixed(till.account), return_url=till.stripe.url)
    facts = await persist(till, lambda attempt: at.cancel(payment, "action_expired"))
    assert (facts.status, facts.failure_code) == ("canceled", "action_expired")


async def test_a_page_is_closed_though_its_key_keeps_an_error(till: Till) -> None:
    link = await till.ask(
        "acme.admin", "POST", f"/accounts/{(await till.debt())['id']}/payment-links", {"amount": "10.00"}
    )
    async with till.world.database.transaction(tenant(till)) as tx:
        payment = await tx.payments.get(UUID(link.json()["id"]))
    till.breaks("error_before", "/v1/checkout/sessions/*/expire")
    at = StripeTill(Fixed(till.account), return_url=till.stripe.url)
    failure = await persist(till, lambda attempt: at.close_page(payment))
    assert failure.code == "link_expired"


async def test_keys_that_all_keep_errors_are_waited_for(till: Till) -> None:
    """No attempt asks without end; who tries later finds keys that were forgotten meanwhile."""
    payment = await pending(till, await till.debt())
    broken = till.breaks("error_before", INTENTS, count=None)
    at = StripeTill(Fixed(till.account), return_url=till.stripe.url)
    for _ in range(MOST_KEYS + 1):
        with pytest.raises(Unavailable):
            await at.create(payment)
    before = broken.hits
    with pytest.raises(Unavailable):
        await at.create(payment)
    assert broken.hits - before == MOST_KEYS
