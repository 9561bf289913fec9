"""What a debtor agreed to, and when: what is needed before their account is charged."""

from datetime import date, timedelta

from domain.errors import Invalid
from domain.payments import MOST_DAYS_BACK


def check_agreement(
    agreed_on: date | None,
    copy_sent_on: date | None,
    *,
    today: date,
    charged: bool,
    not_before: date | None = None,
) -> date:
    """The day on which the debtor agreed, with a copy sent of it where their account will be ``charged``
    (12 CFR 1005.10(b)).

    ``not_before``: of what they agreed to before. ``Invalid`` where either is missing, or no day for it.
    """
    if agreed_on is None:
        raise Invalid("say when the debtor agreed to it", field="agreed_on")
    earliest = max(today - timedelta(days=MOST_DAYS_BACK), not_before or date.min)
    if not earliest <= agreed_on <= today:
        raise Invalid(f"must lie between {earliest} and {today}", field="agreed_on")
    if charged and copy_sent_on is None:
        raise Invalid(
            "the debtor must have been sent a copy of what they agreed to before their account is"
            " charged (12 CFR 1005.10(b)); say when",
            field="copy_sent_on",
        )
    if copy_sent_on is not None and not agreed_on <= copy_sent_on <= today:
        raise Invalid("a copy is sent after the agreement, and not in the future", field="copy_sent_on")
    return agreed_on
