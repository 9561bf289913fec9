"""Payments over REST, with a worker and the Stripe stand-in: taken, declined, waited for, recorded."""

from decimal import Decimal

from tests.integration.payments.till import Till


async def test_a_card_is_charged_once_and_posted(till: Till) -> None:
    account = await till.debt()
    answer = await till.pay(account, "40.00")
    assert answer.status_code == 201, answer.text
    payment = answer.json()
    assert (payment["status"], payment["amount"], payment["refunded_amount"]) == ("succeeded", "40.00", "0.00")
    assert payment["processor_ref"].startswith("pi_")
    assert await till.balance(account) == "60.00"
    assert await till.journals(account) == [("payment", Decimal("40.00"))]
    assert [charge["amount"] for charge in await till.charges(account)] == [4000]
