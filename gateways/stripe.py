"""Stripe: take a payment in steps of which each can be repeated, give it back, and look up what is true.

The library's own retries are off: the caller retries, with the same idempotency key, and knows why. Amounts
are exact decimals with two places; card numbers never come here.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import httpx
import stripe

from gateways.stripe_errors import (
    PaymentDeclined,
    SignatureInvalid,
    StripeAuthenticationFailed,
    StripeKeyReused,
    StripeMisused,
    StripeObjectMissing,
    StripeOutage,
    StripeOutcomeUnknown,
    StripeWrongState,
    domain_error,
)
from gateways.stripe_http import LOOPBACK, HttpClient
from gateways.stripe_results import (
    ChargeState,
    CheckoutLink,
    DisputeState,
    Failure,
    IntentState,
    IntentStatus,
    MethodState,
    RefundState,
    StripeEvent,
    Unreadable,
    attempt,
    read_charge,
    read_checkout,
    read_dispute,
    read_intent,
    read_method,
    read_refund,
    to_cents,
)
from gateways.stripe_webhooks import check_header, parse_event, read_body, signed_with

if TYPE_CHECKING:
    from stripe.params import PaymentIntentConfirmParams

__all__ = [
    "ChargeState",
    "CheckoutLink",
    "DisputeState",
    "Failure",
    "IntentState",
    "IntentStatus",
    "Mandate",
    "MethodState",
    "PaymentDeclined",
    "RefundState",
    "SignatureInvalid",
    "StripeAccount",
    "StripeAuthenticationFailed",
    "StripeEvent",
    "StripeGateway",
    "StripeKeyReused",
    "StripeMisused",
    "StripeObjectMissing",
    "StripeOutage",
    "StripeOutcomeUnknown",
    "StripeWrongState",
    "Unreadable",
    "check_header",
    "parse_event",
    "read_body",
    "signed_with",
]

API: Final = "https://api.stripe.com"
PAGE: Final = 100
RefundReason = Literal["duplicate", "fraudulent", "requested_by_customer"]

# What the library would tell Stripe of this machine is nobody's business.
stripe.enable_telemetry = False


@dataclass(frozen=True, slots=True)
class Mandate:
    """The debtor's authorisation of a bank debit, agreed to with us (Regulation E, 12 CFR 1005.10(b))."""

    accepted_at: datetime


class StripeGateway:
    """The way to Stripe's API, shared by all agencies; ``account`` gives one agency's.

    Args:
        base_url: where the API is; the sandbox's stand-in or Stripe itself.
        timeout_s: the longest wait for an answer. Stripe's own limit of a request is 80 s.
        connect_timeout_s: the longest wait for a connection.
        connections: how many requests can be under way at once.
    """

    def __init__(
        self,
        *,
        base_url: str = API,
        timeout_s: float = 80,
        connect_timeout_s: float = 5,
        connections: int = 50,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._http = HttpClient(
            httpx.Timeout(timeout_s, connect=connect_timeout_s),
            httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            proxies=urlsplit(base_url).hostname not in LOOPBACK,
        )

    def account(self, secret_key: str) -> "StripeAccount":
        """The Stripe account of one agency, by its secret key; costs nothing to make."""
        addresses: Any = {"api": self._base_url, "files": self._base_url}
        return StripeAccount(
            stripe.StripeClient(
                secret_key, base_addresses=addresses, http_client=self._http, max_network_retries=0
            )
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close_async()


class StripeAccount:
    """One agency's Stripe account. Every command takes an idempotency key of ours.

    All methods raise the errors of ``gateways.stripe_errors``: ``StripeOutage`` and, from commands,
    ``StripeOutcomeUnknown``; ``StripeMisused`` and its kinds, ``StripeAuthenticationFailed``,
    ``StripeObjectMissing``; ``PaymentDeclined`` where money is asked for.
    """

    def __init__(self, client: stripe.StripeClient) -> None:
        self._v1 = client.v1

    async def account_id(self) -> str:
        """Whose secret key it is: a cheap way to try credentials."""
        with _translated("look up the account"):
            return str((await self._v1.accounts.retrieve_current_async()).id)

    async def create_intent(
        self,
        amount: Decimal,
        currency: str,
        *,
        key: str,
        kinds: Sequence[Literal["card", "us_bank_account"]],
        customer_id: str | None = None,
        payment_method_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> IntentState:
        """Create an unconfirmed payment intent: no money moves before ``confirm``."""
        params: Any = _given(
            amount=to_cents(amount, currency),
            currency=currency.lower(),
            payment_method_types=list(kinds),
            customer=customer_id,
            payment_method=payment_method_id,
            metadata=dict(metadata or {}),
            description=description,
        )
        with _translated("create the payment intent", command=True):
            made = await self._v1.payment_intents.create_async(params, {"idempotency_key": key})
        return read_intent(made.to_dict())

    async def confirm(
        self,
        intent_id: str,
        *,
        key: str,
        payment_method_id: str | None = None,
        off_session: bool = False,
        mandate: Mandate | None = None,
        return_url: str | None = None,
    ) -> IntentState:
        """Ask for the money. A bank debit needs a ``mandate``; ``off_session``: the debtor is not there.

        Raises ``PaymentDeclined`` with the intent as it is then.
        """
        params: PaymentIntentConfirmParams = {}
        if payment_method_id:
            params["payment_method"] = payment_method_id
        if off_session:
            params["off_session"] = True
        if return_url:
            params["return_url"] = return_url
        if mandate:
            accepted = int(mandate.accepted_at.timestamp())
            params["mandate_data"] = {"customer_acceptance": {"type": "offline", "accepted_at": accepted}}
        with _translated(f"confirm {intent_id}", command=True):
            confirmed = await self._v1.payment_intents.confirm_async(
                intent_id, params, {"idempotency_key": key}
            )
        return read_intent(confirmed.to_dict())

    async def retrieve(self, intent_id: str) -> IntentState:
        """The payment intent as it is now."""
        with _translated(f"look up {intent_id}"):
            return read_intent((await self._v1.payment_intents.retrieve_async(intent_id)).to_dict())

    async def cancel(self, intent_id: str, *, key: str) -> IntentState:
        """Cancel a payment intent that has taken no money. Raises ``StripeWrongState`` for one that has."""
        with _translated(f"cancel {intent_id}", command=True):
            cancelled = await self._v1.payment_intents.cancel_async(intent_id, {}, {"idempotency_key": key})
        return read_intent(cancelled.to_dict())

    async def refund(
        self,
        intent_id: str,
        amount: Decimal,
        currency: str,
        *,
        key: str,
        reason: RefundReason | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> RefundState:
        """Give back a part or all of what an intent took; never more than is left (``StripeMisused``)."""
        params: Any = _given(
            payment_intent=intent_id,
            amount=to_cents(amount, currency),
            reason=reason,
            metadata=dict(metadata or {}),
        )
        with _translated(f"refund {intent_id}", command=True):
            made = await self._v1.refunds.create_async(params, {"idempotency_key": key})
        return read_refund(made.to_dict())

    async def retrieve_refund(self, refund_id: str) -> RefundState:
        """A refund as it is now."""
        with _translated(f"look up {refund_id}"):
            return read_refund((await self._v1.refunds.retrieve_async(refund_id)).to_dict())

    async def refunds_of(self, intent_id: str) -> list[RefundState]:
        """Every refund of an intent, newest first: so one whose answer was lost is found, by metadata."""
        with _translated(f"look up the refunds of {intent_id}"):
            page = await self._v1.refunds.list_async({"payment_intent": intent_id, "limit": PAGE})
            return [read_refund(refund.to_dict()) async for refund in page.auto_paging_iter()]

    async def create_customer(self, *, key: str, metadata: Mapping[str, str] | None = None) -> str:
        """Make a customer that methods are kept for, without personal data; its id."""
        with _translated("create the customer", command=True):
            made = await self._v1.customers.create_async(
                {"metadata": dict(metadata or {})}, {"idempotency_key": key}
            )
        return str(made.id)

    async def customer_metadata(self, customer_id: str) -> dict[str, str]:
        """What was noted with a customer when it was made; nothing for one that is deleted."""
        with _translated(f"look up {customer_id}"):
            found = (await self._v1.customers.retrieve_async(customer_id)).to_dict()
        return dict(found.get("metadata") or {})

    async def attach(self, payment_method_id: str, customer_id: str, *, key: str) -> MethodState:
        """Keep a payment method for a customer, so that it can be used again."""
        with _translated(f"attach {payment_method_id}", command=True):
            attached = await self._v1.payment_methods.attach_async(
                payment_method_id, {"customer": customer_id}, {"idempotency_key": key}
            )
        return read_method(attached.to_dict())

    async def detach(self, payment_method_id: str, *, key: str) -> MethodState:
        """Forget a payment method; it cannot be used again."""
        with _translated(f"detach {payment_method_id}", command=True):
            detached = await self._v1.payment_methods.detach_async(
                payment_method_id, {}, {"idempotency_key": key}
            )
        return read_method(detached.to_dict())

    async def payment_method(self, payment_method_id: str) -> MethodState:
        """A payment method as it is now."""
        with _translated(f"look up {payment_method_id}"):
            return read_method((await self._v1.payment_methods.retrieve_async(payment_method_id)).to_dict())

    async def create_checkout(
        self,
        amount: Decimal,
        currency: str,
        *,
        key: str,
        title: str,
        success_url: str,
        cancel_url: str | None = None,
        kinds: Sequence[Literal["card", "us_bank_account"]] = ("card", "us_bank_account"),
        customer_id: str | None = None,
        reference: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expires_at: datetime | None = None,
    ) -> CheckoutLink:
        """Make a hosted page on which a debtor pays; its intent carries the same metadata.

        ``expires_at`` is at most 24 hours ahead, the default.
        """
        price = {
            "currency": currency.lower(),
            "unit_amount": to_cents(amount, currency),
            "product_data": {"name": title},
        }
        params: Any = _given(
            mode="payment",
            line_items=[{"price_data": price, "quantity": 1}],
            success_url=success_url,
            cancel_url=cancel_url,
            payment_method_types=list(kinds),
            customer=customer_id,
            client_reference_id=reference,
            metadata=dict(metadata or {}),
            payment_intent_data={"metadata": dict(metadata)} if metadata else None,
            expires_at=int(expires_at.timestamp()) if expires_at else None,
        )
        with _translated("create the payment page", command=True):
            made = await self._v1.checkout.sessions.create_async(params, {"idempotency_key": key})
        return read_checkout(made.to_dict())

    async def retrieve_checkout(self, session_id: str) -> CheckoutLink:
        """A payment page as it is now."""
        with _translated(f"look up {session_id}"):
            return read_checkout((await self._v1.checkout.sessions.retrieve_async(session_id)).to_dict())

    async def expire_checkout(self, session_id: str, *, key: str) -> CheckoutLink:
        """Close a payment page that nobody has paid on. Raises ``StripeWrongState`` when somebody has."""
        with _translated(f"expire {session_id}", command=True):
            expired = await self._v1.checkout.sessions.expire_async(session_id, {}, {"idempotency_key": key})
        return read_checkout(expired.to_dict())

    async def intents(self, since: datetime, until: datetime) -> AsyncIterator[IntentState]:
        """Every payment intent created in ``[since, until)``, newest first."""
        with _translated("list payment intents"):
            page = await self._v1.payment_intents.list_async(
                {"created": _window(since, until), "limit": PAGE}
            )
            async for intent in page.auto_paging_iter():
                yield read_intent(intent.to_dict())

    async def intent_with(
        self, name: str, value: str, since: datetime, until: datetime
    ) -> IntentState | None:
        """The newest payment intent created in ``[since, until)`` that has ``value`` in its metadata.

        Others are not read: what is odd about one keeps nobody from finding another. ``StripeOutcomeUnknown``
        where the one that is looked for cannot be read.
        """
        window: Any = {"created": _window(since, until), "limit": PAGE}
        with _translated("look for a payment intent"):
            async for intent in (await self._v1.payment_intents.list_async(window)).auto_paging_iter():
                body = intent.to_dict()
                metadata = body.get("metadata")
                if isinstance(metadata, Mapping) and metadata.get(name) == value:
                    found = attempt(read_intent, "payment intent", body)
                    if isinstance(found, Unreadable):
                        raise StripeOutcomeUnknown(f"{found.id} cannot be read: {found.problem}")
                    return found
        return None

    async def charges(self, since: datetime, until: datetime) -> AsyncIterator[ChargeState]:
        """Every charge created in ``[since, until)``, newest first."""
        with _translated("list charges"):
            page = await self._v1.charges.list_async({"created": _window(since, until), "limit": PAGE})
            async for charge in page.auto_paging_iter():
                yield read_charge(charge.to_dict())

    async def refunds(self, since: datetime, until: datetime) -> AsyncIterator[RefundState]:
        """Every refund created in ``[since, until)``, newest first."""
        with _translated("list refunds"):
            page = await self._v1.refunds.list_async({"created": _window(since, until), "limit": PAGE})
            async for refund in page.auto_paging_iter():
                yield read_refund(refund.to_dict())

    async def disputes(self, since: datetime, until: datetime) -> AsyncIterator[DisputeState]:
        """Every dispute created in ``[since, until)``, newest first."""
        with _translated("list disputes"):
            page = await self._v1.disputes.list_async({"created": _window(since, until), "limit": PAGE})
            async for dispute in page.auto_paging_iter():
                yield read_dispute(dispute.to_dict())

    async def listed(
        self, since: datetime, until: datetime
    ) -> AsyncIterator[ChargeState | RefundState | DisputeState | Unreadable]:
        """Every charge, then every refund, then every dispute created in ``[since, until)``, newest first."""
        window: Any = {"created": _window(since, until), "limit": PAGE}
        with _translated("list charges, refunds and disputes"):
            async for charge in (await self._v1.charges.list_async(window)).auto_paging_iter():
                yield attempt(read_charge, "charge", charge.to_dict())
            async for refund in (await self._v1.refunds.list_async(window)).auto_paging_iter():
                yield attempt(read_refund, "refund", refund.to_dict())
            async for dispute in (await self._v1.disputes.list_async(window)).auto_paging_iter():
                yield attempt(read_dispute, "dispute", dispute.to_dict())

    async def disputes_of(self, intent_id: str) -> list[DisputeState]:
        """Every dispute of an intent, newest first."""
        with _translated(f"look up the disputes of {intent_id}"):
            page = await self._v1.disputes.list_async({"payment_intent": intent_id, "limit": PAGE})
            return [read_dispute(dispute.to_dict()) async for dispute in page.auto_paging_iter()]

    async def create_webhook(self, url: str, events: Sequence[str], *, key: str) -> tuple[str, str]:
        """Have events sent to ``url``; the endpoint's id and its signing secret, which is told only here."""
        params: Any = {"url": url, "enabled_events": list(events)}
        with _translated("register the webhook", command=True):
            made = await self._v1.webhook_endpoints.create_async(params, {"idempotency_key": key})
        return str(made.id), str(made.secret)

    async def delete_webhook(self, webhook_id: str) -> None:
        """Have no more events sent to an endpoint. Raises ``StripeObjectMissing`` when it is gone."""
        with _translated(f"remove {webhook_id}", command=True):
            await self._v1.webhook_endpoints.delete_async(webhook_id)


@contextlib.contextmanager
def _translated(what: str, *, command: bool = False) -> Iterator[None]:
    try:
        yield
    except stripe.StripeError as error:
        raise domain_error(error, what, command=command) from error


def _given(**params: Any) -> dict[str, Any]:
    """The parameters that have a value."""
    return {name: value for name, value in params.items() if value is not None and value != {}}


def _window(since: datetime, until: datetime) -> Any:
    return {"gte": int(since.timestamp()), "lt": int(until.timestamp())}
