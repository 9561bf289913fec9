"""What a settlement may be offered for, and by whom."""

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from domain.errors import Forbidden, Invalid
from domain.money import CENT

if TYPE_CHECKING:
    from activities.account_change import AccountChange
    from activities.account_messages import OfferSettlement


def offered(command: "OfferSettlement", balance: Decimal) -> Decimal:
    """The amount of an offer: as it is given, or so much percent of the balance."""
    if (command.amount is None) == (command.percent is None):
        raise Invalid("give either an amount or a percent of the balance", field="amount")
    if command.amount is not None:
        return command.amount
    amount = _part_of(balance, command.percent or Decimal(0))
    if amount < CENT:
        raise Invalid(
            f"{command.percent} percent of the balance of {balance} is less than {CENT}", field="percent"
        )
    return amount


async def within_authority(change: "AccountChange", amount: Decimal) -> None:
    """``Forbidden`` for an offer that is lower than a collector may make; administrators may make any."""
    agency = await change.tx.agencies.get(change.tx.tenant.agency_id)
    percent = agency.least_settlement_percent
    least = _part_of(change.account.balance, Decimal(percent))
    if amount < least:
        raise Forbidden(
            f"a collector may offer to settle for {least} {change.account.currency} at least, {percent}"
            " percent of the balance; an administrator may offer less",
            least_amount=format(least, "f"),
            least_percent=percent,
        )


def _part_of(balance: Decimal, percent: Decimal) -> Decimal:
    return (balance * percent / 100).quantize(CENT, ROUND_HALF_UP)
