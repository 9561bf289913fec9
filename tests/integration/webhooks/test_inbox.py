"""Webhooks as the stand-in sends them: doubled, late, out of order; each payment ends in its true state."""

from tests.integration.webhooks.office import Office


async def test_what_a_payment_s_own_process_wrote_down_is_no_news(office: Office) -> None:
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    [event] = await office.settled(payment["processor_ref"])
    assert (event["type"], event["status"], event["attempts"]) == ("payment_intent.succeeded", "handled", 0)
    assert await office.balance(debt) == "60.00"
