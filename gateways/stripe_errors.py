"""The few ways in which a call to Stripe can end other than well, and the one place that tells them apart.

A decline is an answer. An outage may be tried again with the same idempotency key. An unknown outcome is
looked up first: the money may have moved. What is left is a mistake of ours or of the agency's settings.
"""

from collections.abc import Mapping
from typing import Any, Final

import httpx
import stripe

from domain.errors import Conflict, DomainError, Invalid, Malformed, NotFound, Unavailable
from gateways.stripe_results import Failure, IntentState, read_intent

_CONFLICT: Final = 409
_SERVER_ERROR: Final = 500
_NOT_FOUND: Final = "resource_missing"
_REPLAYED: Final = "idempotent-replayed"
_STATE_CODES: Final = frozenset(
    {
        "charge_already_refunded",
        "charge_disputed",
        "charge_not_refundable",
        "checkout_session_unexpected_state",
        "payment_intent_unexpected_state",
        "payment_method_unexpected_state",
    }
)
# Nothing was sent: no connection was made, or none was free.
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class PaymentDeclined(Conflict):
    """The issuer or the bank said no; ``intent`` is the payment intent after it. Not to be repeated."""

    type = "payment-declined"
    title = "Payment declined"
    status = 402

    def __init__(self, message: str, failure: Failure, intent: IntentState | None) -> None:
        super().__init__(message, code=failure.code, decline_code=failure.decline_code)
        self.failure = failure
        self.intent = intent


class StripeOutcomeUnknown(Unavailable):
    """Sent, but no answer of Stripe's came: nobody knows whether it was done. Look it up; never guess."""

    type = "stripe-outcome-unknown"
    title = "Outcome at the payment provider unknown"


class StripeOutage(Unavailable):
    """Stripe cannot be reached or does not work now; the same call with the same key may be tried again.

    ``indeterminate``: a command was answered with a server error or is still under way, so that it may have
    been done: look it up as well. ``under_way``: nobody knows yet what the key will answer. ``kept``: the key
    has kept the error and gives it again for 24 hours; only then may another key be tried.
    """

    type = "stripe-outage"
    title = "Payment provider unavailable"

    def __init__(
        self, message: str, *, indeterminate: bool = False, under_way: bool = False, kept: bool = False
    ) -> None:
        super().__init__(message)
        self.indeterminate = indeterminate
        self.under_way = under_way
        self.kept = kept


class StripeMisused(Invalid):
    """Stripe does not accept the request as it is; ``code`` and ``field`` are Stripe's code and parameter."""

    type = "stripe-request-refused"
    title = "Payment provider refused the request"

    def __init__(self, message: str, *, code: str | None = None, field: str | None = None) -> None:
        super().__init__(message, field=field, **({"code": code} if code else {}))
        self.code = code


class StripeWrongState(StripeMisused):
    """The object is past this: a confirmed intent, a charge refunded in full. Look at it."""

    type = "stripe-wrong-state"
    title = "Not possible in the present state at the payment provider"
    status = 409


class StripeKeyReused(StripeMisused):
    """The idempotency key was used with other parameters or for another endpoint."""

    type = "stripe-key-reused"
    title = "Idempotency key reused at the payment provider"


class StripeAuthenticationFailed(Conflict):
    """Stripe does not know the agency's secret key, or the key may not do this."""

    type = "stripe-authentication-failed"
    title = "Payment provider refused the credentials"


class StripeObjectMissing(NotFound):
    """No such object in this Stripe account."""

    type = "stripe-object-missing"
    title = "Not found at the payment provider"


class SignatureInvalid(Malformed):
    """A webhook that Stripe did not sign with this secret, or too long ago, or whose body is no event."""

    type = "webhook-signature-invalid"
    title = "Webhook not signed as it should be"


def domain_error(error: stripe.StripeError, what: str, *, command: bool) -> DomainError:
    """The domain error for what the library raised while doing ``what``; a ``command`` may change things."""
    if isinstance(error, stripe.APIConnectionError):
        return _no_answer(error, what, command=command)
    if isinstance(error, stripe.CardError):
        return _declined(error, what)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return StripeAuthenticationFailed(
            f"{what}: Stripe refused the agency's secret key; check it in the agency's settings"
        )
    if isinstance(error, stripe.IdempotencyError):
        return StripeKeyReused(f"{what}: {error.user_message}")
    if isinstance(error, stripe.InvalidRequestError):
        return _refused(error, what)
    return _not_working(error, what, command=command)


def _not_working(error: stripe.StripeError, what: str, *, command: bool) -> DomainError:
    status = error.http_status or _SERVER_ERROR
    if isinstance(error, stripe.RateLimitError):
        return StripeOutage(f"{what}: Stripe asks us to slow down")
    if status == _CONFLICT:
        return StripeOutage(
            f"{what}: the same command is still under way at Stripe", indeterminate=True, under_way=True
        )
    if status >= _SERVER_ERROR:
        kept = command and (error.headers or {}).get(_REPLAYED) == "true"
        return StripeOutage(f"{what}: Stripe answered with status {status}", indeterminate=command, kept=kept)
    if not _error_body(error):
        return _not_from_stripe(f"{what}: what came with status {status} is no answer of Stripe's", command)
    return StripeMisused(f"{what}: {error.user_message or f'status {status}'}", code=error.code)


def _not_from_stripe(said: str, command: bool) -> DomainError:
    """A proxy's page, or only a part of an answer: it says nothing of what Stripe has done."""
    return StripeOutcomeUnknown(f"{said}; it may have been done") if command else StripeOutage(said)


def _no_answer(error: stripe.APIConnectionError, what: str, *, command: bool) -> DomainError:
    cause = error.__cause__
    kind = type(cause).__name__ if cause else "no answer"
    if isinstance(cause, _NOT_SENT):
        return StripeOutage(f"{what}: Stripe cannot be reached ({kind})")
    if command:
        return StripeOutcomeUnknown(f"{what}: no answer came from Stripe ({kind}); it may have been done")
    return StripeOutage(f"{what}: no answer came from Stripe ({kind})")


def _declined(error: stripe.CardError, what: str) -> DomainError:
    body = _error_body(error)
    failure = Failure(error.code or "card_declined", body.get("decline_code"), error.user_message)
    intent = body.get("payment_intent")
    return PaymentDeclined(
        f"{what}: declined ({failure.decline_code or failure.code})",
        failure,
        read_intent(intent) if isinstance(intent, Mapping) else None,
    )


def _refused(error: stripe.InvalidRequestError, what: str) -> DomainError:
    message = f"{what}: {error.user_message}"
    if error.code == _NOT_FOUND:
        return StripeObjectMissing(message)
    kind = StripeWrongState if error.code in _STATE_CODES else StripeMisused
    return kind(message, code=error.code, field=error.param)


def _error_body(error: stripe.StripeError) -> Mapping[str, Any]:
    body = error.json_body
    found = body.get("error") if isinstance(body, Mapping) else None
    return found if isinstance(found, Mapping) else {}
