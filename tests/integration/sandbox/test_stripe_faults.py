"""Each fault switch, seen through the gateway: what was done, what is told, and what the key says after."""

from decimal import Decimal
from typing import Any

import httpx
import pytest

from gateways.stripe import (
    IntentState,
    IntentStatus,
    StripeAccount,
    StripeOutage,
    StripeOutcomeUnknown,
)
from sandbox.stripe.faults import KINDS, Fault
from sandbox.stripe.server import StripeServer
from tests.integration.sandbox.stripe_http import Caller

CONFIRM = "/v1/payment_intents/*/confirm"
# Whether the money was taken, what the caller is told, and what the same key gives afterwards.
WHAT_HAPPENS: dict[str, tuple[bool, type[Exception], bool, type[Exception] | None]] = {
    "timeout_before": (False, StripeOutcomeUnknown, False, None),
    "timeout_after": (True, StripeOutcomeUnknown, False, None),
    "reset_before": (False, StripeOutcomeUnknown, False, None),
    "reset_after": (True, StripeOutcomeUnknown, False, None),
    "error_before": (False, StripeOutage, True, StripeOutage),
    "error_after": (True, StripeOutage, True, StripeOutage),
    "unavailable": (False, StripeOutage, True, None),
    "rate_limit": (False, StripeOutage, False, None),
    "slow": (True, StripeOutcomeUnknown, False, None),
}


@pytest.fixture
async def made(stripe_account: StripeAccount) -> IntentState:
    """An intent to be confirmed."""
    return await stripe_account.create_intent(Decimal("10.00"), "usd", key="create", kinds=["card"])


def confirm(account: StripeAccount, made: IntentState) -> Any:
    return account.confirm(made.id, key="confirm", payment_method_id="pm_card_visa")


def test_the_table_names_every_fault() -> None:
    assert set(WHAT_HAPPENS) == set(KINDS)


@pytest.mark.parametrize("kind", [kind for kind in WHAT_HAPPENS if kind != "slow"])
async def test_each_fault_is_told_apart(
    stripe_server: StripeServer, stripe_account: StripeAccount, made: IntentState, kind: Any
) -> None:
    taken, told, indeterminate, told_again = WHAT_HAPPENS[kind]
    stripe_server.faults.add(Fault(kind, path=CONFIRM, seconds=5))

    with pytest.raises(told) as failure:
        await confirm(stripe_account, made)

    assert getattr(failure.value, "indeterminate", False) is indeterminate
    state = await stripe_account.retrieve(made.id)
    assert (state.status is IntentStatus.SUCCEEDED) is taken
    if told_again:
        with pytest.raises(told_again):
            await confirm(stripe_account, made)
    else:
        assert (await confirm(stripe_account, made)).status is IntentStatus.SUCCEEDED
    after = await stripe_account.retrieve(made.id)
    assert after.amount_received == (Decimal("10.00") if taken or not told_again else 0)


async def test_a_slow_answer_comes_after_the_callers_patience(
    stripe_server: StripeServer, stripe_account: StripeAccount, made: IntentState
) -> None:
    stripe_server.faults.add(Fault("slow", path=CONFIRM, seconds=60))
    with pytest.raises(StripeOutcomeUnknown):
        await confirm(stripe_account, made)
    with pytest.raises(StripeOutage, match="under way") as busy:
        await confirm(stripe_account, made)
    assert busy.value.indeterminate


async def test_a_question_without_an_answer_is_an_outage(
    stripe_server: StripeServer, stripe_account: StripeAccount, made: IntentState
) -> None:
    stripe_server.faults.add(Fault("reset_after", method="GET"))
    with pytest.raises(StripeOutage) as outage:
        await stripe_account.retrieve(made.id)
    assert not outage.value.indeterminate
    assert (await stripe_account.retrieve(made.id)).id == made.id


async def test_faults_are_counted_and_limited_to_an_endpoint(
    stripe_server: StripeServer, stripe_account: StripeAccount, made: IntentState
) -> None:
    fault = stripe_server.faults.add(Fault("rate_limit", path=CONFIRM, skip=1, count=2))

    async def answer(key: str) -> str:
        try:
            return (await stripe_account.confirm(made.id, key=key, payment_method_id="pm_card_visa")).status
        except Exception as error:  # noqa: BLE001 - the kind of error is the answer
            return type(error).__name__

    answers = [await answer(key) for key in "abcd"]

    assert answers == ["succeeded", "StripeOutage", "StripeOutage", "StripeWrongState"]
    assert (fault.hits, fault.count) == (2, 0)
    await stripe_account.create_intent(Decimal(1), "usd", key="elsewhere", kinds=["card"])


async def test_a_fault_may_be_one_accounts(stripe_server: StripeServer, caller: Caller) -> None:
    account = (await caller.get("account"))["id"]
    stripe_server.faults.add(Fault("rate_limit", account="acct_other", count=None))
    assert (await caller.post("customers")).status_code == 200
    stripe_server.faults.add(Fault("rate_limit", account=account, count=None))
    assert [(await caller.post("customers")).status_code for _ in range(3)] == [429, 429, 429]


async def test_faults_are_switched_over_http(caller: Caller) -> None:
    shown = await caller.control("faults", kind="unavailable", path="/v1/customers", count=1)
    assert (await caller.post("customers")).status_code == 503
    (listed,) = (await caller.client.get("/sandbox/faults")).json()
    assert listed == shown | {"hits": 1, "count": 0}
    assert (await caller.client.delete("/sandbox/faults")).json() == []
    for wrong in ({"kind": "explode"}, {"kind": "slow", "seconds": "long"}, {}):
        assert (await caller.client.post("/sandbox/faults", json=wrong)).status_code == 400


async def test_a_reset_is_a_reset(stripe_server: StripeServer, caller: Caller) -> None:
    stripe_server.faults.add(Fault("reset_before", path="/v1/customers"))
    with pytest.raises(httpx.ReadError):
        await caller.post("customers")


async def test_down_for_an_hour(
    stripe_server: StripeServer, stripe_account: StripeAccount, made: IntentState
) -> None:
    stripe_server.faults.add(Fault("unavailable", method="*", count=None))
    for _ in range(5):
        with pytest.raises(StripeOutage):
            await confirm(stripe_account, made)
    stripe_server.engine.advance(3600)
    stripe_server.faults.clear()
    assert (await confirm(stripe_account, made)).status is IntentStatus.SUCCEEDED
