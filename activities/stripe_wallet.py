"""Payment methods that Stripe keeps for plans, so that they can be used again without their owner."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from activities.plan_messages import METHOD_REFUSED, KeptMethod, RefusedMethod
from activities.stripe_till import KEYS_LAST, StripeAccounts, account_of, once
from domain.payments import PaymentMethod
from gateways.stripe import (
    MethodState,
    PaymentDeclined,
    StripeAccount,
    StripeMisused,
    StripeObjectMissing,
)

if TYPE_CHECKING:
    from db.models import PaymentPlan

PLAN_ID = "recoup_plan"
_METHOD = {"card": PaymentMethod.CARD, "us_bank_account": PaymentMethod.BANK_TRANSFER}


class StripeWallet:
    """Keeps the payment methods of plans at the agency's Stripe account.

    Raises as ``StripeTill``: after each error the same may be tried again.
    """

    def __init__(self, accounts: StripeAccounts) -> None:
        self._accounts = accounts

    async def keep(
        self, plan: "PaymentPlan", plans_of_debtor: Collection[UUID]
    ) -> KeptMethod | RefusedMethod:
        """Make a customer for the plan, without personal data, and keep its method for them; once.

        A method that is kept already for a customer of one of the debtor's plans stays theirs: Stripe keeps
        one for a single customer.
        """
        async with account_of(self._accounts, plan.agency_id) as stripe:
            customer = plan.customer_ref or await _customer(stripe, plan)
            try:
                kept = await _attached(stripe, plan, customer)
            except (PaymentDeclined, StripeMisused, StripeObjectMissing) as refused:
                found = await _kept_already(stripe, plan, plans_of_debtor)
                if found is None:
                    return _refused(plan, refused.message)
                kept = found
        method = _METHOD.get(kept.kind)
        if method is None:
            return _refused(plan, f"a payment method of the kind {kept.kind} cannot be charged here")
        return KeptMethod(
            agency_id=plan.agency_id,
            plan_id=plan.id,
            customer_ref=kept.customer_id or customer,
            payment_method=kept.id,
            method=method.value,
        )


async def _customer(stripe: StripeAccount, plan: "PaymentPlan") -> str:
    async def ask(key: str) -> str:
        return await stripe.create_customer(key=key, metadata={PLAN_ID: str(plan.id)})

    async def look() -> None:
        """A customer that nobody uses does no harm: another one may be made."""

    return await once(f"customer/{plan.id}", ask, look)


async def _attached(stripe: StripeAccount, plan: "PaymentPlan", customer: str) -> MethodState:
    wanted = plan.payment_method or ""

    async def ask(key: str) -> MethodState:
        return await stripe.attach(wanted, customer, key=key)

    async def look() -> MethodState | None:
        method = await stripe.payment_method(wanted)
        return method if method.customer_id == customer else None

    if datetime.now(UTC) - plan.created_at > KEYS_LAST and (found := await look()):
        return found
    return await once(f"attach/{plan.id}", ask, look)


async def _kept_already(
    stripe: StripeAccount, plan: "PaymentPlan", plans: Collection[UUID]
) -> MethodState | None:
    """The plan's method, if it is kept for a customer that was made for one of ``plans``."""
    try:
        method = await stripe.payment_method(plan.payment_method or "")
        if method.customer_id is None:
            return None
        made_for = (await stripe.customer_metadata(method.customer_id)).get(PLAN_ID)
    except (StripeMisused, StripeObjectMissing):
        return None
    return method if made_for in {str(plan_id) for plan_id in plans} else None


def _refused(plan: "PaymentPlan", message: str) -> RefusedMethod:
    return RefusedMethod(
        agency_id=plan.agency_id,
        plan_id=plan.id,
        reason=f"{METHOD_REFUSED}: {message}",
    )
