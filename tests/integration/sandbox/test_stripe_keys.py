"""Idempotency keys as Stripe keeps them: the first answer again, whatever it was, for a day."""

import asyncio
from typing import Any

import pytest

from tests.integration.sandbox.stripe_http import Caller

INTENT: dict[str, Any] = {"amount": "500", "currency": "usd"}


async def test_the_same_key_and_body_give_the_first_answer(caller: Caller) -> None:
    first = await caller.post("payment_intents", "k", **INTENT)
    again = await caller.post("payment_intents", "k", **INTENT)

    assert again.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"] != again.headers["request-id"]
    assert again.headers["idempotency-key"] == "k"
    assert len((await caller.get("payment_intents"))["data"]) == 1


async def test_the_order_of_parameters_is_no_difference(caller: Caller) -> None:
    first = await caller.done(
        "payment_intents", "k", amount=500, currency="usd", metadata__a="1", metadata__b="2"
    )
    again = await caller.done(
        "payment_intents", "k", metadata__b="2", metadata__a="1", currency="usd", amount=500
    )
    assert again["id"] == first["id"]


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("payment_intents", {"amount": "501"}),
        ("payment_intents", {"metadata__a": "1"}),
        ("customers", {}),
    ],
)
async def test_another_body_or_endpoint_is_an_error(
    caller: Caller, path: str, change: dict[str, str]
) -> None:
    await caller.done("payment_intents", "k", **INTENT)

    status, error = await caller.refused(path, "k", **(INTENT | change if change else {}))

    assert (status, error["type"]) == (400, "idempotency_error")
    assert (await caller.get("customers"))["data"] == []


async def test_a_key_belongs_to_one_endpoint(caller: Caller) -> None:
    one, other = [(await caller.done("payment_intents", **INTENT))["id"] for _ in range(2)]
    await caller.done(f"payment_intents/{one}/cancel", "k")

    status, error = await caller.refused(f"payment_intents/{other}/cancel", "k")

    assert (status, error["type"]) == (400, "idempotency_error")
    assert (await caller.get(f"payment_intents/{other}"))["status"] == "requires_payment_method"


async def test_a_decline_is_kept(caller: Caller) -> None:
    made = await caller.done("payment_intents", **INTENT)
    confirm = f"payment_intents/{made['id']}/confirm"
    declined = await caller.refused(confirm, "k", payment_method="pm_card_visa_chargeDeclined")
    assert await caller.refused(confirm, "k", payment_method="pm_card_visa_chargeDeclined") == declined
    assert declined[0] == 402
    assert len((await caller.get("charges"))["data"]) == 1


async def test_a_stored_500_is_replayed(caller: Caller) -> None:
    await caller.control("faults", kind="error_before")
    failed = [await caller.post("payment_intents", "k", **INTENT) for _ in range(3)]

    assert [answer.status_code for answer in failed] == [500, 500, 500]
    assert failed[2].headers["idempotent-replayed"] == "true"
    assert failed[0].json()["error"]["type"] == "api_error"
    assert (await caller.get("payment_intents"))["data"] == []
    assert (await caller.post("payment_intents", "other", **INTENT)).status_code == 200


async def test_what_failed_validation_is_not_kept(caller: Caller) -> None:
    assert (await caller.refused("payment_intents", "k", amount="x", currency="usd"))[0] == 400
    assert (await caller.done("payment_intents", "k", **INTENT))["amount"] == 500


async def test_a_key_under_way_is_a_conflict(caller: Caller) -> None:
    await caller.control("faults", kind="slow", seconds=60)
    slow = asyncio.create_task(caller.post("payment_intents", "k", **INTENT))
    await caller.met_fault()

    status, error = await caller.refused("payment_intents", "k", **INTENT)

    assert (status, error["code"]) == (409, "idempotency_key_in_use")
    assert not slow.done()
    await caller.client.delete("/sandbox/faults")
    assert (await slow).status_code == 200
    assert (await caller.post("payment_intents", "k", **INTENT)).headers["idempotent-replayed"] == "true"


async def test_many_at_once_with_one_key_do_the_work_once(caller: Caller) -> None:
    async def pay() -> int:
        answer = await caller.post(
            "payment_intents", "k", **INTENT, confirm="true", payment_method="pm_card_visa"
        )
        return answer.status_code

    statuses = await asyncio.gather(*(pay() for _ in range(60)))

    assert set(statuses) <= {200, 409}
    assert len((await caller.get("charges", limit=100))["data"]) == 1


async def test_keys_are_forgotten_after_a_day(caller: Caller) -> None:
    first = await caller.done("payment_intents", "k", **INTENT)
    await caller.control("clock", advance_s=24 * 3600 - 60)
    assert (await caller.done("payment_intents", "k", **INTENT))["id"] == first["id"]

    await caller.control("clock", advance_s=120)

    assert (await caller.done("payment_intents", "k", **INTENT))["id"] != first["id"]


async def test_keys_are_for_commands_only(caller: Caller) -> None:
    headers = {"Idempotency-Key": "k"}
    assert (await caller.client.get("/v1/customers", headers=headers)).status_code == 200
    await caller.done("customers", "k")
    assert len((await caller.client.get("/v1/customers", headers=headers)).json()["data"]) == 1


async def test_a_key_has_a_length(caller: Caller) -> None:
    assert (await caller.refused("customers", "k" * 256))[0] == 400
    await caller.done("customers", "k" * 255)
