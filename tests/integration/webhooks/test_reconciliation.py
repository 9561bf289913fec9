"""Reconciliation with the stand-in: what differs is mended through the books, what cannot be is a break."""

from tests.integration.webhooks.office import Office


async def test_books_that_agree_have_no_breaks(office: Office) -> None:
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    assert (await office.refund(payment, amount="15.00")).status_code in {201, 202}
    await office.ends(payment, "partially_refunded")
    run = await office.reconciled()
    assert (run["status"], run["mended"], run["breaks"]) == ("completed", 0, 0)
