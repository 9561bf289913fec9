"""Messages of partners: what is taken, and what is said of one that is not."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from domain.partner_messages import judge_account, judge_payment
from domain.statement_profiles import StatementProfile

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ACCOUNT = {"account_ref": "A-1", "status": "UNPAID", "processed_at": "2026-11-20T10:00:00Z"}
PAYMENT = {"payment_ref": "P-1", "paid_on": "2026-11-20"}


@pytest.mark.parametrize(
    ("judge", "message", "field"),
    [(judge_account, ACCOUNT, "balance"), (judge_payment, PAYMENT, "amount")],
)
@pytest.mark.parametrize("sign", ["", "-"])
def test_an_amount_that_no_account_can_have_is_refused(
    judge: Any, message: dict[str, str], field: str, sign: str
) -> None:
    profile = StatementProfile()
    largest = judge(message | {field: f"{sign}999999999.99"}, NOW, profile)
    assert getattr(largest.line, field) == Decimal(f"{sign}999999999.99")
    beyond = judge(message | {field: f"{sign}1000000000.00"}, NOW, profile)
    assert (beyond.line, beyond.field) == (None, field)
    assert beyond.error == "must be between -999999999.99 and 999999999.99"
