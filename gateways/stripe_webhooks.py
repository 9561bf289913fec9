"""Webhooks of Stripe's: who sent them is told by their signature, before anything in them is looked at."""

import json
import re
import time
from typing import Final

import stripe

from domain.errors import Malformed
from gateways.stripe_errors import SignatureInvalid
from gateways.stripe_results import StripeEvent, read_event

TOLERANCE_S: Final = 300
"""How far from now a signature may be, as Stripe recommends: a webhook replayed later is refused, and so is
one that was signed in advance, to be replayed for long."""

MOST_SIGNATURES: Final = 1_000
"""Characters of the header: Stripe signs with two secrets at most, while one is rolled."""

_TIME = re.compile(r"(?:^|,)t=([0-9]{1,12})(?:,|$)")
_V1 = re.compile(r"(?:^|,)v1=[0-9a-f]{64}(?:,|$)")


def check_header(signature: str | None, *, tolerance_s: int = TOLERANCE_S) -> str:
    """The ``Stripe-Signature`` header, if it may be one: well-formed and of about now, whoever signed.

    Raises ``SignatureInvalid``.
    """
    header = signature or ""
    signed_at = _TIME.search(header) if header.isascii() and len(header) <= MOST_SIGNATURES else None
    if signed_at is None or _V1.search(header) is None:
        raise SignatureInvalid("the webhook's signature is not right: no Stripe-Signature of the scheme v1")
    if abs(time.time() - int(signed_at[1])) > tolerance_s:
        raise SignatureInvalid("the webhook's signature is not right: outside the tolerance of its time")
    return header


def signed_with(body: bytes, signature: str, secret: str, *, tolerance_s: int = TOLERANCE_S) -> bool:
    """Whether a body was signed with a secret, by the header that came with it; no part of it is read."""
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, tolerance_s)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return True


def read_body(body: bytes) -> StripeEvent:
    """The event of a body whose signature is right. ``Malformed`` where it is none at all; one about an
    object that cannot be read is an event, with its ``problem``.
    """
    try:
        return read_event(json.loads(body))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Malformed(
            "the webhook is signed as it should be, but its body is no event of Stripe's; nothing was stored"
        ) from error


def parse_event(
    body: bytes, signature: str | None, secret: str, *, tolerance_s: int = TOLERANCE_S
) -> StripeEvent:
    """The event of a webhook, by its raw body, its ``Stripe-Signature`` header and the endpoint's secret.

    Raises ``SignatureInvalid`` and, where it is no event, ``Malformed``; messages never quote the body.
    """
    header = check_header(signature, tolerance_s=tolerance_s)
    if not signed_with(body, header, secret, tolerance_s=tolerance_s):
        raise SignatureInvalid("the webhook's signature is not right: signed with another secret")
    return read_body(body)
