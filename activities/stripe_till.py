"""Stripe, asked about one payment or refund at a time: each step can be repeated, and none guesses.

What Stripe keeps under our idempotency keys decides most repetitions. Keys expire after 24 hours, and a key
whose answer was a server error may give that error again until then; in both cases Stripe is searched first.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar
from uuid import UUID

from activities.payment_facts import ACCOUNT_ID, PAYMENT_ID, intent_facts
from activities.payment_messages import IntentFacts, PaymentFailure
from domain.errors import Conflict, Unavailable
from domain.payments import LINK_EXPIRED, PaymentMethod
from gateways.stripe import (
    CheckoutLink,
    IntentState,
    IntentStatus,
    Mandate,
    PaymentDeclined,
    StripeAccount,
    StripeAuthenticationFailed,
    StripeKeyReused,
    StripeMisused,
    StripeObjectMissing,
    StripeOutage,
    StripeOutcomeUnknown,
    StripeWrongState,
)

if TYPE_CHECKING:
    from db.models import Payment

KEYS_LAST = timedelta(hours=20)
"""Stripe forgets keys after 24 hours: what is older is searched for before it is asked for again."""

MISSING = "resource_missing"
"""Stripe's code for a payment method or customer that it does not know."""

CLOCKS_DIFFER = timedelta(minutes=5)

MOST_KEYS = 8
"""Under how many keys one attempt asks. Those that keep an error are forgotten after a day and free again."""

_KIND: dict[str, Literal["card", "us_bank_account"]] = {
    PaymentMethod.CARD: "card",
    PaymentMethod.BANK_TRANSFER: "us_bank_account",
}
_UNDER_WAY = frozenset({IntentStatus.SUCCEEDED, IntentStatus.PROCESSING})

_Found = TypeVar("_Found")


class StripeNotReady(Unavailable):
    """The agency's Stripe account cannot be used as it is set up: what waits for it goes on once it can."""

    type = "stripe-not-ready"
    title = "Payment provider not set up"


class StripeAccountReplaced(StripeNotReady):
    """What was made is not to be found under today's credentials, and trying at once does not change that."""

    type = "stripe-account-replaced"
    title = "Payment provider account replaced"
    retryable = False


class StripeAccounts(Protocol):
    """Whoever knows the Stripe accounts of agencies."""

    async def of(self, agency_id: UUID) -> StripeAccount:
        """An agency's account. ``Conflict`` when none is set up."""
        ...


class StripeTill:
    """The only one who asks Stripe for money.

    Raises ``StripeOutage``, ``StripeOutcomeUnknown`` and ``StripeNotReady``, after each of which the same
    step may be tried again, after ``StripeAccountReplaced`` with long pauses. Declines are answers.

    Args:
        return_url: where the browser of a debtor goes from Stripe's or their bank's page.
    """

    def __init__(self, accounts: StripeAccounts, *, return_url: str) -> None:
        self._accounts = accounts
        self._return_url = return_url

    async def create(self, payment: "Payment") -> IntentFacts | PaymentFailure:
        """Make the intent of a payment, unconfirmed: no money moves. A failure when Stripe refuses it."""

        async def ask(key: str) -> IntentState:
            return await stripe.create_intent(
                payment.amount,
                payment.currency,
                key=key,
                kinds=[_KIND[payment.method]],
                customer_id=payment.customer_ref,
                payment_method_id=payment.payment_method,
                metadata=metadata_of(payment),
            )

        async def look() -> IntentState | None:
            return await _search(stripe, payment)

        async with self._account(payment.agency_id) as stripe:
            if datetime.now(UTC) - payment.created_at > KEYS_LAST and (found := await look()):
                return intent_facts(found)
            try:
                return intent_facts(await once(f"intent/{payment.id}", ask, look))
            except (PaymentDeclined, StripeMisused, StripeObjectMissing) as refused:
                return failure(payment, refused)

    async def confirm(self, payment: "Payment", *, attempt: int) -> IntentFacts | PaymentFailure:
        """Ask for the money, unless that was done before: who tries again (``attempt`` > 1), looks first.

        Where Stripe does not accept the request as it is, the intent is cancelled, so that it never takes
        anything, and the failure answered.
        """
        intent = _intent_of(payment)
        mandate = _mandate(payment)

        async def ask(key: str) -> IntentState:
            try:
                return await stripe.confirm(
                    intent,
                    key=key,
                    off_session=payment.off_session,
                    mandate=mandate,
                    return_url=None if payment.off_session else self._return_url,
                )
            except PaymentDeclined as declined:
                return declined.intent or await stripe.retrieve(intent)
            except StripeWrongState:
                return await stripe.retrieve(intent)

        async def look() -> IntentState | None:
            state = await stripe.retrieve(intent)
            return None if state.status is IntentStatus.REQUIRES_CONFIRMATION else state

        async with self._account(payment.agency_id) as stripe:
            if attempt > 1 and (state := await look()):
                return intent_facts(state)
            try:
                return intent_facts(await once(f"confirm/{payment.id}", ask, look))
            except (StripeMisused, StripeObjectMissing) as refused:
                state = await self._cancelled(stripe, payment)
                return failure(payment, refused) if _nothing_taken(state) else intent_facts(state)

    async def look_up(self, payment: "Payment") -> IntentFacts:
        """What has become of the intent of a payment."""
        async with self._account(payment.agency_id) as stripe:
            return intent_facts(await stripe.retrieve(_intent_of(payment)))

    async def cancel(self, payment: "Payment", why: str) -> IntentFacts:
        """Cancel the intent of a payment for ``why``, a code, unless it is past that: it as it then is."""
        async with self._account(payment.agency_id) as stripe:
            facts = intent_facts(await self._cancelled(stripe, payment))
            return facts.model_copy(update={"failure_code": why}) if facts.status == "canceled" else facts

    async def open_page(self, payment: "Payment", title: str) -> CheckoutLink | PaymentFailure:
        """Make the page on which a debtor pays, open until ``action_until``."""

        async def ask(key: str) -> CheckoutLink:
            return await stripe.create_checkout(
                payment.amount,
                payment.currency,
                key=key,
                title=title,
                success_url=self._return_url,
                kinds=[_KIND[payment.method]],
                reference=str(payment.id),
                metadata=metadata_of(payment),
                expires_at=payment.action_until,
            )

        async def look() -> None:
            """A page that nobody knows the address of takes no money: another one may be made."""

        async with self._account(payment.agency_id) as stripe:
            try:
                return await once(f"checkout/{payment.id}", ask, look)
            except (StripeMisused, StripeObjectMissing) as refused:
                return failure(payment, refused)

    async def look_at_page(self, payment: "Payment") -> IntentFacts | PaymentFailure | None:
        """What became of a payment's page; None while it is open: a debtor who was declined may try again."""
        async with self._account(payment.agency_id) as stripe:
            page = await stripe.retrieve_checkout(_page_of(payment))
            state = await stripe.retrieve(page.intent_id) if page.intent_id else None
        if state is not None and state.status in _UNDER_WAY:
            return intent_facts(state)
        if page.status == "complete" and state is not None:
            facts = intent_facts(state)
            return _ended(payment, facts.failure_code or facts.status, facts.failure_message or "")
        if page.status == "expired":
            return _ended(payment, LINK_EXPIRED, "nobody paid on the page while it was open")
        return None

    async def close_page(self, payment: "Payment") -> IntentFacts | PaymentFailure | None:
        """Close a payment's page, unless somebody has paid on it; what became of it."""
        page = _page_of(payment)

        async def ask(key: str) -> CheckoutLink:
            try:
                return await stripe.expire_checkout(page, key=key)
            except StripeWrongState:
                return await stripe.retrieve_checkout(page)

        async def look() -> CheckoutLink | None:
            now = await stripe.retrieve_checkout(page)
            return None if now.status == "open" else now

        async with self._account(payment.agency_id) as stripe:
            await once(f"expire/{payment.id}", ask, look)
        return await self.look_at_page(payment)

    @asynccontextmanager
    async def _account(self, agency_id: UUID) -> AsyncIterator[StripeAccount]:
        async with account_of(self._accounts, agency_id) as stripe:
            yield stripe

    async def _cancelled(self, stripe: StripeAccount, payment: "Payment") -> IntentState:
        """The intent cancelled, or as it is where it cannot be any more."""
        intent = _intent_of(payment)

        async def ask(key: str) -> IntentState:
            try:
                return await stripe.cancel(intent, key=key)
            except StripeWrongState:
                return await stripe.retrieve(intent)

        async def look() -> IntentState | None:
            state = await stripe.retrieve(intent)
            return state if state.final else None

        return await once(f"cancel/{payment.id}", ask, look)


@asynccontextmanager
async def account_of(accounts: StripeAccounts, agency_id: UUID) -> AsyncIterator[StripeAccount]:
    """An agency's Stripe account; what can only be mended in its settings is ``StripeNotReady``, and
    ``StripeAccountReplaced`` where that may take long or never happen.
    """
    try:
        stripe = await accounts.of(agency_id)
    except Conflict as error:
        raise StripeNotReady(error.message) from error
    try:
        yield stripe
    except StripeAuthenticationFailed as error:
        raise StripeNotReady(error.message) from error
    except StripeObjectMissing as error:
        raise StripeAccountReplaced(
            f"{error.message}; was another Stripe account set up for the agency meanwhile?"
        ) from error


async def once(
    key: str,
    ask: Callable[[str], Awaitable[_Found]],
    look: Callable[[], Awaitable[_Found | None]],
) -> _Found:
    """Ask under ``key``. Where that has kept an error, ``look`` whether it was done all the same, and only if
    it was not, ask under the next: ``key/2``, ``key/3`` and so on, every time in this order.

    Any other outage goes on to the caller, a timeout and an error that is told for the first time as well:
    nobody knows whether what was asked is still being done, and only the same key keeps it from being done
    twice. So no key is passed over before it has said, to a later request, that it is done with.
    """
    for number in range(1, MOST_KEYS + 1):
        try:
            return await ask(key if number == 1 else f"{key}/{number}")
        except StripeOutage as error:
            if not error.kept:
                raise
            kept: Unavailable | StripeKeyReused = error
        except StripeKeyReused as error:
            kept = error
        found = await look()
        if found is not None:
            return found
    raise StripeOutcomeUnknown(kept.message) from kept


def metadata_of(payment: "Payment") -> dict[str, str]:
    """What tells our payment from Stripe's objects."""
    return {PAYMENT_ID: str(payment.id), ACCOUNT_ID: str(payment.account_id)}


def failure(
    payment: "Payment", refused: PaymentDeclined | StripeMisused | StripeObjectMissing
) -> PaymentFailure:
    """Stripe's refusal as the end of a payment."""
    if isinstance(refused, PaymentDeclined):
        why = refused.failure
        return _ended(payment, why.decline_code or why.code, why.message or refused.message)
    code = refused.code if isinstance(refused, StripeMisused) else MISSING
    return _ended(payment, code or refused.type, refused.message)


async def _search(stripe: StripeAccount, payment: "Payment") -> IntentState | None:
    """An intent that was made for a payment and whose id nobody has stored."""
    since, until = payment.created_at - CLOCKS_DIFFER, datetime.now(UTC) + CLOCKS_DIFFER
    return await stripe.intent_with(PAYMENT_ID, str(payment.id), since, until)


def _ended(payment: "Payment", code: str, message: str) -> PaymentFailure:
    return PaymentFailure(agency_id=payment.agency_id, payment_id=payment.id, code=code, message=message)


def _nothing_taken(state: IntentState) -> bool:
    return state.status is IntentStatus.CANCELED and state.charge_id is None


def _mandate(payment: "Payment") -> Mandate | None:
    if payment.method != PaymentMethod.BANK_TRANSFER:
        return None
    return Mandate(payment.authorised_at or payment.created_at)


def _intent_of(payment: "Payment") -> str:
    if payment.processor_ref is None:
        raise LookupError(f"no intent was made for payment {payment.id} yet")
    return payment.processor_ref


def _page_of(payment: "Payment") -> str:
    if payment.checkout_ref is None:
        raise LookupError(f"no page was made for payment {payment.id} yet")
    return payment.checkout_ref
