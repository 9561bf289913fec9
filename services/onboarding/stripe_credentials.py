"""An agency's way into its Stripe account: tried when it is set up, secrets going in and never out."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import structlog
from pydantic import AfterValidator, Field, SecretStr

from db.commands import Answer
from db.stripe_credentials import Webhook
from domain.errors import Conflict, Invalid, NotFound
from domain.provider_events import SUBSCRIBED
from gateways.stripe import (
    StripeAccount,
    StripeAuthenticationFailed,
    StripeGateway,
    StripeMisused,
    StripeObjectMissing,
    StripeOutage,
    StripeOutcomeUnknown,
)
from services.access import Principal, Right, require
from services.audit import record
from services.commands import CommandKey, answered, carry_out
from services.fields import Form, View

if TYPE_CHECKING:
    from db.models import StripeCredentials
    from db.session import Database, Transaction
    from db.stripe_credentials import StripeSecrets

WEBHOOK_PATH = "/api/v1/payments/webhook/stripe"
MAX_SECRET = 255
_SET = "(set)"
_Shown = Mapping[str, str | None]
_log = structlog.stdlib.get_logger("stripe-credentials")


def _like(pattern: str, what: str) -> Callable[[SecretStr], SecretStr]:
    """A check of how a secret looks; errors never quote it."""

    def check(value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) > MAX_SECRET:
            raise ValueError(f"must have at most {MAX_SECRET} characters")
        if not re.fullmatch(pattern, value.get_secret_value()):
            raise ValueError(f"must be {what}")
        return value

    return check


_SecretKey = Annotated[
    SecretStr,
    Field(json_schema_extra={"maxLength": MAX_SECRET}),
    AfterValidator(_like(r"(sk|rk)_(test|live)_[A-Za-z0-9_]+", "a secret or restricted key: sk_… or rk_…")),
]
_WebhookSecret = Annotated[
    SecretStr,
    Field(json_schema_extra={"maxLength": MAX_SECRET}),
    AfterValidator(_like(r"whsec_[A-Za-z0-9_+/=]+", "the signing secret of a webhook endpoint: whsec_…")),
]


class StripeCredentialsForm(Form):
    """An agency's secret (``sk_…``) or restricted (``rk_…``) key.

    ``webhook_secret`` (``whsec_…``) is that of an endpoint that was made by hand at Stripe; without it, one
    is registered from here.
    """

    secret_key: _SecretKey
    webhook_secret: _WebhookSecret | None = None


class StripeCredentialsView(View):
    """What is shown of an agency's Stripe credentials: of the secrets, only whether they are set.

    ``webhook_url`` is where Stripe is to send this agency's events; ``webhook_ref`` (we_…) the endpoint that
    was registered from here, null where that was done by hand.
    """

    agency_id: UUID
    account_ref: str
    has_secret_key: bool
    has_webhook_secret: bool
    webhook_url: str
    webhook_ref: str | None
    changed_by: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Where events come in: its signing secret, and what Stripe knows of it if it was made from here."""

    secret: str | None
    webhook: Webhook | None


class StripeCredentialsService:
    """The Stripe credentials of an agency.

    ``public_url`` is where Stripe reaches this API; ``changed`` are told of an agency whose credentials were
    replaced.
    """

    def __init__(
        self,
        database: "Database",
        gateway: StripeGateway,
        public_url: str,
        changed: Sequence[Callable[[UUID], None]],
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._public_url = public_url.rstrip("/")
        self._changed = changed

    async def put(self, who: Principal, command: CommandKey, form: StripeCredentialsForm) -> Answer:
        """Set the agency's credentials, once Stripe has accepted the key.

        ``Invalid`` (field ``secret_key``) when Stripe refuses it; ``StripeOutage`` (503) when Stripe does not
        answer: nothing is changed. ``Conflict`` when Stripe does not take our address for webhooks, or the
        key may not register any, when the account is another agency's, and when somebody else has set
        credentials while Stripe was asked. No transaction is open meanwhile.
        """
        require(who, Right.MANAGE_SETTINGS)
        key = form.secret_key.get_secret_value()
        account = self._gateway.account(key)

        if known := await answered(self._database, who.tenant, command):
            return known
        async with self._database.transaction(who.tenant) as tx:
            url = await self._url(tx)
            found = await tx.stripe_credentials.find()
            secrets = await tx.stripe_credentials.secrets()
        account_ref = await _account_of(account)
        endpoint = await _endpoint(account, account_ref, url, form, found, secrets)
        replaced: list[tuple[_Shown, _Shown]] = []

        async def effect(tx: "Transaction") -> StripeCredentialsView:
            before = await tx.stripe_credentials.find(lock=True)
            present = await tx.stripe_credentials.secrets()
            if before and present and (present.secret_key, present.webhook_secret) == (key, endpoint.secret):
                return _view(before, url)
            if _version(before) != _version(found):
                raise Conflict("the credentials were changed by somebody else at the same moment; look again")
            old = None if before is None else _shown(before)
            row = await tx.stripe_credentials.put(
                secret_key=key,
                account_ref=account_ref,
                webhook_secret=endpoint.secret,
                webhook=endpoint.webhook,
            )
            new = _shown(row)
            await record(tx, "stripe_credentials.set", "stripe_credentials", row.agency_id, old=old, new=new)
            if old is not None:
                replaced.append((old, new))
            return _view(row, url)

        try:
            answer = await carry_out(self._database, who.tenant, command, effect)
        except Conflict:
            await self._leave(who, account, endpoint)
            raise
        for tell in self._changed:
            tell(who.tenant.agency_id)
        for old, new in replaced:
            await _drop_endpoint(account, old, new)
        return answer

    async def get(self, who: Principal) -> StripeCredentialsView:
        """The agency's credentials, without secrets. ``NotFound`` before any are set."""
        require(who, Right.READ_SETTINGS)
        async with self._database.transaction(who.tenant) as tx:
            row = await tx.stripe_credentials.find()
            if row is None:
                raise NotFound("no Stripe credentials are set up for this agency; put them here")
            return _view(row, await self._url(tx))

    async def _leave(self, who: Principal, account: StripeAccount, made: _Endpoint) -> None:
        """Have no events sent to an endpoint that was registered for credentials that are not taken."""
        if made.webhook is None:
            return
        async with self._database.transaction(who.tenant) as tx:
            present = await tx.stripe_credentials.find()
        if present is None or present.webhook_ref != made.webhook.ref:
            await _remove(account, made.webhook.ref)

    async def _url(self, tx: "Transaction") -> str:
        agency = await tx.agencies.get(tx.tenant.agency_id)
        return f"{self._public_url}{WEBHOOK_PATH}/{agency.slug}"


async def _account_of(account: StripeAccount) -> str:
    try:
        return await account.account_id()
    except (StripeAuthenticationFailed, StripeMisused):
        raise Invalid("Stripe does not accept this key", field="secret_key") from None


async def _endpoint(
    account: StripeAccount,
    account_ref: str,
    url: str,
    form: StripeCredentialsForm,
    before: "StripeCredentials | None",
    present: "StripeSecrets | None",
) -> _Endpoint:
    """The endpoint that is named, or the one that was registered before, or a new one."""
    if form.webhook_secret is not None:
        return _Endpoint(form.webhook_secret.get_secret_value(), None)
    known = before is not None and before.account_ref == account_ref and before.webhook_url == url
    if known and before and before.webhook_ref and present and present.webhook_secret:
        return _Endpoint(present.webhook_secret, Webhook(before.webhook_ref, url))
    # Tried again, it is the same endpoint. After a change it is another: the one that this key made before
    # may have been removed, and Stripe would answer as if it were there.
    since = before.updated_at.isoformat() if before else ""
    wanted = "\n".join((account_ref, url, since, *SUBSCRIBED))
    key = f"webhook/{hashlib.sha256(wanted.encode()).hexdigest()}"
    try:
        ref, secret = await account.create_webhook(url, SUBSCRIBED, key=key)
    except StripeAuthenticationFailed:
        raise Conflict(
            "Stripe accepts this key, but it may not register webhooks; give it that right at Stripe, or"
            " make the endpoint there and send its webhook_secret"
        ) from None
    except StripeMisused as error:
        raise Conflict(
            f"Stripe does not take {url} for webhooks ({error.message}); have the operator set"
            " RECOUP_PUBLIC_URL to an address that Stripe reaches, or make the endpoint at Stripe and"
            " send its webhook_secret"
        ) from None
    return _Endpoint(secret, Webhook(ref, url))


async def _drop_endpoint(account: StripeAccount, old: _Shown, new: _Shown) -> None:
    """Have events no longer sent to an endpoint that was registered from here and has been replaced.

    The new one is in place already: one that cannot be removed now is left to people at Stripe.
    """
    if old["account_ref"] != new["account_ref"]:
        return
    if (replaced := old["webhook_ref"]) and replaced != new["webhook_ref"]:
        await _remove(account, replaced)


async def _remove(account: StripeAccount, endpoint_ref: str) -> None:
    try:
        await account.delete_webhook(endpoint_ref)
    except StripeObjectMissing:
        return
    except (StripeOutage, StripeOutcomeUnknown, StripeAuthenticationFailed, StripeMisused) as error:
        _log.warning("a webhook endpoint is to be removed at Stripe", ref=endpoint_ref, error_type=error.type)


def _version(row: "StripeCredentials | None") -> datetime | None:
    return None if row is None else row.updated_at


def _shown(row: "StripeCredentials") -> _Shown:
    """What an audit record says of credentials."""
    return {
        "account_ref": row.account_ref,
        "secret_key": _SET,
        "webhook_secret": _SET if row.webhook_secret_encrypted else None,
        "webhook_ref": row.webhook_ref,
    }


def _view(row: "StripeCredentials", url: str) -> StripeCredentialsView:
    return StripeCredentialsView(
        agency_id=row.agency_id,
        account_ref=row.account_ref,
        has_secret_key=True,
        has_webhook_secret=row.webhook_secret_encrypted is not None,
        webhook_url=url,
        webhook_ref=row.webhook_ref,
        changed_by=row.changed_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
