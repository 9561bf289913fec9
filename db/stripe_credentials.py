"""Agencies' ways into their Stripe accounts. Secrets are ciphertext at rest."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy.dialects.postgresql import insert

from db.changes import unique
from db.cipher import place
from db.models import StripeCredentials
from db.store import Store

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from db.cipher import ColumnCipher
    from domain.tenancy import Tenant

SECRET_KEY_COLUMN = "stripe_credentials.secret_key"  # noqa: S105 - the place of a secret, not one
WEBHOOK_SECRET_COLUMN = "stripe_credentials.webhook_secret"  # noqa: S105 - likewise

_ONE_AGENCY_S = {
    "uq_stripe_credentials_account_ref": (
        "secret_key",
        "this Stripe account is in use here already; each agency needs an account of its own",
    )
}


@dataclass(frozen=True, slots=True)
class StripeSecrets:
    """What it takes to act for an agency at Stripe and to believe its webhooks; ``repr`` shows no secret."""

    agency_id: "UUID"
    account_ref: str
    secret_key: str = field(repr=False)
    webhook_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook endpoint at Stripe: its id (we_…) and where it sends events."""

    ref: str
    url: str


class StripeCredentialStore(Store):
    """The Stripe credentials of one agency."""

    def __init__(self, session: "AsyncSession", tenant: "Tenant", cipher: "ColumnCipher") -> None:
        super().__init__(session, tenant)
        self._cipher = cipher

    async def find(self, *, lock: bool = False) -> StripeCredentials | None:
        """The agency's credentials, as they are stored; locked against other changes if asked."""
        return await self._load(StripeCredentials, b"FOR UPDATE" if lock else b"", {}, anew=True)

    async def secrets(self) -> StripeSecrets | None:
        """The agency's secrets in the clear; None before any are set. Raises ``ColumnUnreadable``."""
        row = await self.find()
        if row is None:
            return None
        webhook = row.webhook_secret_encrypted
        return StripeSecrets(
            agency_id=row.agency_id,
            account_ref=row.account_ref,
            secret_key=self._decrypt(row.secret_key_encrypted, SECRET_KEY_COLUMN),
            webhook_secret=None if webhook is None else self._decrypt(webhook, WEBHOOK_SECRET_COLUMN),
        )

    async def put(
        self, *, secret_key: str, account_ref: str, webhook_secret: str | None, webhook: Webhook | None
    ) -> StripeCredentials:
        """Set the credentials, in place of those there were; the row as it is then. ``Conflict`` where the
        account is another agency's: two would take each other's money for theirs.

        ``webhook``: the endpoint that was registered from here, if one was.
        """
        values = {
            "secret_key_encrypted": self._encrypt(secret_key, SECRET_KEY_COLUMN),
            "webhook_secret_encrypted": (
                None if webhook_secret is None else self._encrypt(webhook_secret, WEBHOOK_SECRET_COLUMN)
            ),
            "account_ref": account_ref,
            "webhook_ref": webhook.ref if webhook else None,
            "webhook_url": webhook.url if webhook else None,
            "changed_by": self._tenant.actor.name,
            "updated_at": await self._now(),
        }
        statement = insert(StripeCredentials).values(agency_id=self._agency_id, **values)
        with unique(_ONE_AGENCY_S):
            await self._session.execute(
                statement.on_conflict_do_update(index_elements=["agency_id"], set_=values)
            )
        row = await self.find()
        if row is None:
            raise LookupError("the credentials that were just set are not there")
        return row

    def _encrypt(self, secret: str, column: str) -> bytes:
        return self._cipher.encrypt(secret, place(column, self._agency_id))

    def _decrypt(self, blob: bytes, column: str) -> str:
        return self._cipher.decrypt(blob, place(column, self._agency_id))
