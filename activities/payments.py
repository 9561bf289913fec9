"""The steps of a payment at the provider: what they learn is brought to the books by its workflow."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.account_change import AccountChange
from activities.heartbeats import heartbeating
from activities.payment_books import ACTOR, view
from activities.payment_messages import IntentFacts, PaymentFailure, PaymentRef, PaymentView
from activities.plan_ends import forbidden
from activities.plan_following import is_still_wanted
from domain.errors import DomainError
from domain.payments import (
    CANCELLED,
    LINK_EXPIRED,
    NO_LONGER_TAKEN,
    NOT_ATTEMPTED,
    PaymentStatus,
)
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from activities.stripe_till import StripeTill
    from db.models import Payment
    from db.session import Database

GOOD_FOR = timedelta(days=3)
"""How long a payment may wait to be asked for, while Stripe or we are away. What a debtor agreed to before
that is not taken from them out of the blue."""

AT_ONCE = timedelta(seconds=10)
"""A payment that is not asked for within this time, and at the first try, is judged again before it is."""

ACTION_EXPIRED = "action_expired"


class PaymentActivities:
    """A payment at the provider. ``NotFound`` for one that is not there; otherwise as ``StripeTill``."""

    def __init__(self, db: "Database", till: "StripeTill") -> None:
        self._db = db
        self._till = till

    @activity.defn(name="payments.create_intent")
    async def create_intent(self, ref: PaymentRef) -> IntentFacts | PaymentFailure:
        """Make the payment's intent and store its id, or look up the one that it has."""
        payment = await self._read(ref)
        async with heartbeating():
            if payment.processor_ref is not None:
                return await self._till.look_up(payment)
            if (why := await self._past(payment)) is not None:
                return _not_asked_for(payment, why)
            try:
                made = await self._till.create(payment)
            except DomainError as refused:
                made = _refused(payment, refused)
            if isinstance(made, PaymentFailure):
                return made
            readings = self._db.readings(Tenant.system(ref.agency_id, ACTOR))
            stored = await readings.payments.note_intent(ref.payment_id, made.intent_ref)
            return made if stored == made.intent_ref else await self._till.look_up(await self._read(ref))

    @activity.defn(name="payments.confirm")
    async def confirm(self, ref: PaymentRef) -> IntentFacts | PaymentFailure:
        """Ask for the money of the stored intent, which is found confirmed where that was done before."""
        payment = await self._read(ref)
        async with heartbeating():
            if (why := await self._past(payment)) is not None:
                return await self._till.cancel(payment, why)
            return await self._till.confirm(payment, attempt=activity.info().attempt)

    @activity.defn(name="payments.open_link")
    async def open_link(self, ref: PaymentRef) -> PaymentView | PaymentFailure:
        """Have the page made on which the debtor pays, and store where it is."""
        payment = await self._read(ref)
        if payment.checkout_ref is not None:
            return view(payment)
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            title = f"Payment to {(await tx.agencies.get(ref.agency_id)).name}"
        async with heartbeating():
            if (why := await self._past(payment)) is not None:
                return _not_asked_for(payment, why)
            try:
                page = await self._till.open_page(payment, title)
            except DomainError as refused:
                page = _refused(payment, refused)
        if isinstance(page, PaymentFailure):
            return page
        async with self._db.transaction(Tenant.system(ref.agency_id, ACTOR)) as tx:
            payment = await tx.payments.lock(ref.payment_id)
            if payment.checkout_ref is None:
                await tx.payments.change(
                    payment,
                    status=PaymentStatus.REQUIRES_ACTION.value,
                    checkout_ref=page.id,
                    action_url=page.url,
                    action_until=page.expires_at,
                )
        return view(payment)

    @activity.defn(name="payments.look_up")
    async def look_up(self, ref: PaymentRef) -> IntentFacts | PaymentFailure | None:
        """What has become of the payment; None while its page waits for the debtor.

        A page is closed that nobody shall pay on any more.
        """
        payment = await self._read(ref)
        async with heartbeating():
            if payment.checkout_ref is None:
                return await self._till.look_up(payment)
            said = await self._till.look_at_page(payment)
            if said is not None or (why := await self._unwanted(payment)) is None:
                return said
            closed = await self._till.close_page(payment)
            unpaid = isinstance(closed, PaymentFailure) and closed.code == LINK_EXPIRED
            return _not_asked_for(payment, why) if unpaid else closed

    @activity.defn(name="payments.give_up")
    async def give_up(self, ref: PaymentRef) -> IntentFacts | PaymentFailure | None:
        """The debtor has had their time: take the request back, unless the money is on its way."""
        payment = await self._read(ref)
        async with heartbeating():
            if payment.checkout_ref is not None:
                return await self._till.close_page(payment)
            return await self._till.cancel(payment, ACTION_EXPIRED)

    async def _past(self, payment: "Payment") -> str | None:
        """Why a payment that waited is not to be asked for any more, as a code: it is too old, or its account
        takes no payments now, disputed or held meanwhile, or somebody took the request back. None where it
        still is.

        One that is tried again has waited, and one of a plan is judged however short it did: a plan may be
        cancelled at any time (12 CFR 1005.10(c)).
        """
        age = datetime.now(UTC) - payment.created_at
        if age > GOOD_FOR:
            return NOT_ATTEMPTED
        taken_back = payment.cancel_requested_at is not None
        at_once = age < AT_ONCE and activity.info().attempt == 1 and payment.instalment_id is None
        return None if at_once and not taken_back else await self._unwanted(payment)

    async def _unwanted(self, payment: "Payment") -> str | None:
        """Why a payment is not to be asked for now, as a code; None where it is."""
        if payment.cancel_requested_at is not None:
            return CANCELLED
        of_plan = payment.instalment_id is not None
        async with self._db.transaction(Tenant.system(payment.agency_id, ACTOR)) as tx:
            account = await AccountChange.begin(tx, payment.account_id, {})
            wanted = await (is_still_wanted(account, payment) if of_plan else _may_be_asked(account))
        return None if wanted else NO_LONGER_TAKEN

    async def _read(self, ref: PaymentRef) -> "Payment":
        return await self._db.readings(Tenant.system(ref.agency_id, ACTOR)).payments.get(ref.payment_id)


async def _may_be_asked(account: AccountChange) -> bool:
    return await forbidden(account) is None


def _refused(payment: "Payment", why: DomainError) -> PaymentFailure:
    """The end of a payment that nobody was asked for yet; raises what trying again may mend."""
    if why.retryable:
        raise why
    return PaymentFailure(
        agency_id=payment.agency_id, payment_id=payment.id, code=why.type, message=why.message
    )


def _not_asked_for(payment: "Payment", why: str) -> PaymentFailure:
    return PaymentFailure(
        agency_id=payment.agency_id, payment_id=payment.id, code=why, message=_IN_WORDS[why]
    )


_IN_WORDS = {
    NOT_ATTEMPTED: f"it could not be asked for within {GOOD_FOR.days} days",
    NO_LONGER_TAKEN: "before it could be asked for, the account or its plan had ceased to take payments",
    CANCELLED: "the request was taken back",
}
