"""Which Stripe account is an agency's. Whoever imports this has the gateway at hand: no workflow does."""

from time import monotonic
from typing import TYPE_CHECKING

from domain.errors import Conflict
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from uuid import UUID

    from db.session import Database
    from gateways.stripe import StripeAccount, StripeGateway

ACTOR = "stripe-accounts"
LIFE_S = 10.0
"""How long credentials are kept in memory: a key that is replaced is used everywhere after this time, so
that the old one should work for as long (Stripe lets a rolled key live on for up to a week)."""


class NoStripeCredentials(Conflict):
    """The agency cannot take cards or bank debits yet: nobody has said which Stripe account is its."""

    type = "no-stripe-credentials"
    title = "No payment provider set up"

    def __init__(self) -> None:
        super().__init__(
            "no Stripe credentials are set up for this agency; an administrator of it puts them at"
            " /stripe-credentials"
        )


class StripeAccounts:
    """The agencies' accounts at Stripe, by credentials that are kept for ``life_s`` seconds."""

    def __init__(self, db: "Database", gateway: "StripeGateway", *, life_s: float = LIFE_S) -> None:
        self._db = db
        self._gateway = gateway
        self._life_s = life_s
        self._known: dict[UUID, tuple[float, StripeAccount]] = {}

    async def of(self, agency_id: "UUID") -> "StripeAccount":
        """The agency's Stripe account. ``NoStripeCredentials`` when none is set up."""
        known = self._known.get(agency_id)
        if known is not None and monotonic() < known[0]:
            return known[1]
        async with self._db.transaction(Tenant.system(agency_id, ACTOR)) as tx:
            secrets = await tx.stripe_credentials.secrets()
        if secrets is None:
            self._known.pop(agency_id, None)
            raise NoStripeCredentials
        account = self._gateway.account(secrets.secret_key)
        self._known[agency_id] = (monotonic() + self._life_s, account)
        return account

    def forget(self, agency_id: "UUID") -> None:
        """Read the agency's credentials again at the next call: they were just replaced."""
        self._known.pop(agency_id, None)
