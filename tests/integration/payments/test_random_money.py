"""Whatever debtors, people, banks and bad days do: Stripe, journals and balances agree to the cent.

Each example is some accounts that live side by side, round after round: one step of each at once, and
something that happens to the world meanwhile. A model in memory (``money_model``) says what must come of it.

The suite takes a few examples, always the same. For more, and others each time::

    RECOUP_TEST_LIVES=200 python -m pytest tests/integration/payments/test_random_money.py --timeout=0
"""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from httpx import HTTPError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.tenancy import Tenant
from sandbox.errors import NotReadyError
from sandbox.stripe.server import StripeServer
from sandbox.temporal import TemporalServer
from tests.integration.payments.money_events import EVENTS, happen, within
from tests.integration.payments.money_house import House, open_house
from tests.integration.payments.money_machine import Lives, Step
from tests.integration.payments.money_model import Account
from tests.integration.payments.money_steps import events, steps

ASKED = int(os.environ.get("RECOUP_TEST_LIVES", "0"))
LIVES, ROUNDS, SIDE_BY_SIDE = ASKED or 2, 16, 4
ROUND_S = 60
"""So long takes no round: one that does, hangs."""


@pytest.fixture(scope="module")
async def house(
    world: Any, temporal_server: TemporalServer, temporal_namespace: str, running_stripe: StripeServer
) -> AsyncIterator[House]:
    async with open_house(world, temporal_server.address, temporal_namespace, running_stripe) as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers end at once; what nobody has started is started by the next sweep."""
    monkeypatch.setattr("workers.worker.GRACE", timedelta(0))
    monkeypatch.setattr("db.payment_reconciliations.LEFT_ALONE", timedelta(0))


async def lives_of(house: House, *, credit_taken: bool) -> Lives:
    policy = "credit" if credit_taken else "refuse"
    await house.office.query(
        "UPDATE agency SET overpayments = :policy WHERE id = :id", policy=policy, id=house.office.agency_id
    )
    await house.office.caller.control("behaviour", refund_delay_s=1e8, bank_delay_s=1e8)
    accounts = [Account((await house.office.debt("100.00"))["id"], Decimal(100)) for _ in range(SIDE_BY_SIDE)]
    return Lives(house, accounts, credit_taken)


class LifeFailed(BaseException):
    """Ends the test at once: lived again, a life meets other moments, and Hypothesis would call it flaky."""


@pytest.mark.timeout(0 if ASKED else 180)
@settings(
    max_examples=LIVES,
    deadline=None,
    derandomize=not ASKED,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(data=st.data())
async def test_books_and_stripe_agree_whatever_happens(
    house: House, stripe_server: StripeServer, data: st.DataObject
) -> None:
    assert house.office.stripe is stripe_server
    lives = await lives_of(house, credit_taken=data.draw(st.booleans()))
    story: list[str] = []
    try:
        for lives.rounds in range(ROUNDS):
            await one_round(lives, data, story)
        async with asyncio.timeout(2 * ROUND_S):
            await lives.end()
        await agrees_with_stripe(lives)
    except (AssertionError, TimeoutError, NotReadyError, KeyError, ValueError, HTTPError) as error:
        raise LifeFailed("\n".join([*story, str(error)])) from error


async def one_round(lives: Lives, data: st.DataObject, story: list[str]) -> None:
    """One step of each account, all at once, and something that happens meanwhile."""
    event = data.draw(events(lives))
    story.append(f"{lives.rounds}: {event}")
    async with asyncio.timeout(ROUND_S):
        await happen(lives, event)
    steps_ = [data.draw(steps(lives, number)) for number in range(SIDE_BY_SIDE)]
    story.extend(f"    {step}" for step in steps_)
    async with asyncio.timeout(ROUND_S):
        await within(lives, event, steps_)


CARD = ("pay", 0, "card", Decimal(30), 1)
STORIES: dict[str, list[Step]] = {
    "won, then refunded, before either is heard": [
        CARD,
        ("dispute", 0, 0, False),
        ("settle",),
        ("hold",),
        ("decide", 0, 0, True),
        ("there", 0, 0, Decimal(20)),
    ],
    "a refund that came back, then a dispute, before either is heard": [
        CARD,
        ("there", 0, 0, Decimal(20)),
        ("settle",),
        ("hold",),
        ("finish", 0, 0, 0, False),
        ("dispute", 0, 0, True),
    ],
    "one of two disputes is won, the other lost": [
        CARD,
        CARD,
        ("dispute", 0, 0, False),
        ("dispute", 0, 1, False),
        ("settle",),
        ("decide", 0, 0, False),
        ("settle",),
        ("decide", 0, 1, True),
    ],
    "a lost dispute that somebody has looked at, then one that is won": [
        CARD,
        CARD,
        ("dispute", 0, 0, False),
        ("decide", 0, 0, False),
        ("settle",),
        ("lift", 0),
        ("dispute", 0, 1, False),
        ("settle",),
        ("decide", 0, 1, True),
    ],
}
"""Which are rare among random ones, and have gone wrong."""


@pytest.mark.parametrize("name", STORIES)
async def test_a_story_ends_as_the_model_says(house: House, stripe_server: StripeServer, name: str) -> None:
    assert house.office.stripe is stripe_server
    lives = await lives_of(house, credit_taken=False)
    for step in STORIES[name]:
        if step[0] in EVENTS:
            await happen(lives, step)
        else:
            await lives.take(step)
    await lives.settle()
    await agrees_with_stripe(lives)


async def agrees_with_stripe(lives: Lives) -> None:
    """What Stripe has is what the model has, and no more; each key has one payment, and no break is left."""
    office, since = lives.house.office, lives.began - timedelta(seconds=2)
    until = datetime.now(UTC) + timedelta(minutes=1)
    charges = [one async for one in office.account.charges(since, until) if one.status == "succeeded"]
    refunds = [one async for one in office.account.refunds(since, until) if one.status == "succeeded"]
    disputes = [one async for one in office.account.disputes(since, until)]
    payments = {one.intent: one for account in lives.accounts for one in account.payments if one.intent}
    lives.house.known.update(payments)
    for intent, payment in payments.items():
        taken = [one.amount for one in charges if one.intent_id == intent]
        assert taken == ([payment.amount] if payment.state == "succeeded" else []), payment
        paid_back = sum((one.amount for one in refunds if one.intent_id == intent), Decimal(0))
        assert paid_back == payment.refunded("succeeded"), payment
        disputed = sorted((one.amount, one.status) for one in disputes if one.intent_id == intent)
        assert disputed == sorted((one.amount, one.status) for one in payment.disputes), payment
    assert {one.intent_id for one in charges} <= lives.house.known
    query = "SELECT idempotency_key, count(*) FROM payment WHERE idempotency_key = ANY(:keys) GROUP BY 1"
    found = {row[0]: row[1] for row in await office.query(query, keys=[*lives.keys, *lives.refused])}
    assert found == dict.fromkeys(lives.keys, 1)
    run = await office.reconciled()
    assert (run["status"], run["breaks"], run["mended"]) == ("completed", 0, 0)
    async with office.world.database.transaction(Tenant.system(office.agency_id, "test")) as tx:
        assert [breach async for breach in tx.ledger.breaches()] == []
