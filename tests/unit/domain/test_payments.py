"""What may be asked for: what is owed, less what is under way; said in figures that add up."""

from decimal import Decimal

import pytest

from domain.payments import PaymentRefused, check_amount

OWED, UNDER_WAY = Decimal("12412.95"), Decimal("12402.95")


def test_the_rest_of_a_balance_may_be_asked_for_and_no_more() -> None:
    check_amount(Decimal("10.00"), OWED, UNDER_WAY, credit_taken=False)
    check_amount(Decimal("10.01"), OWED, UNDER_WAY, credit_taken=True)
    with pytest.raises(PaymentRefused) as refused:
        check_amount(Decimal("10.01"), OWED, UNDER_WAY, credit_taken=False)
    assert refused.value.message == (
        "the payment is more than is left of the balance of 12412.95, of which 12402.95 are under way;"
        " ask for 10.00 at most"
    )
    assert refused.value.details == {"balance": "12412.95", "under_way": "12402.95", "left": "10.00"}


def test_where_nothing_is_under_way_nothing_is_said_of_it() -> None:
    with pytest.raises(
        PaymentRefused, match=r"^the payment is more than is left of the balance of 5.00; ask"
    ):
        check_amount(Decimal("6.00"), Decimal("5.00"), Decimal(0), credit_taken=False)
    with pytest.raises(PaymentRefused, match=r"5.00 are under way; wait for what is under way$"):
        check_amount(Decimal("1.00"), Decimal("5.00"), Decimal("5.00"), credit_taken=False)
