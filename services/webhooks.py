"""Webhooks: believed by their signature alone, stored, acknowledged; what comes of them is decided after."""

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from domain.tenancy import Tenant
from gateways.stripe import SignatureInvalid, StripeEvent, parse_event
from services.stripe_events import incoming, told

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from db.inbox import Told
    from db.models import Agency
    from db.session import Database

ACTOR = "webhooks"
LIFE_S = 10.0
"""How long secrets are kept in memory. One that was replaced since is found when a signature does not fit."""

_FRESH_S = 1.0
"""Younger secrets are not read again: whoever sends forged webhooks must not keep the database busy."""


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Where one agency's events come in; ``secret`` is None before one is set."""

    agency_id: "UUID"
    secret: str | None
    read_at: float


class WebhookService:
    """What comes to the webhooks' addresses. ``news`` is handed what is left to be handled."""

    def __init__(self, database: "Database", news: "Callable[[UUID, Told], None]") -> None:
        self._database = database
        self._news = news
        self._endpoints: dict[str, _Endpoint] = {}

    async def receive(self, agency: str | None, body: bytes, signature: str | None) -> None:
        """Store an event of Stripe's, once, and have it handled soon.

        ``agency`` is an id or a slug; without it, every agency's secret is tried. ``SignatureInvalid``, in
        the same words whatever is wrong, for what no agency's Stripe has signed within five minutes.
        """
        references = [agency] if agency is not None else await self._every_agency()
        for reference in references:
            if (found := await self._believed(reference, body, signature)) is not None:
                await self._store(*found, body)
                return
        raise SignatureInvalid(
            "this is no event that was signed with the secret of this address within the last five minutes;"
            " nothing was stored"
        )

    def forget(self, agency_id: "UUID") -> None:
        """Read the agency's secret again: it was just replaced."""
        for reference, endpoint in list(self._endpoints.items()):
            if endpoint.agency_id == agency_id:
                del self._endpoints[reference]

    async def _store(self, agency_id: "UUID", event: StripeEvent, body: bytes) -> None:
        readings = self._database.readings(Tenant.system(agency_id, ACTOR))
        stored = await readings.inbox.store(incoming(event, body))
        if stored is not None and stored.status == "received":
            self._news(agency_id, told(stored.id, event))

    async def _believed(
        self, reference: str, body: bytes, signature: str | None
    ) -> "tuple[UUID, StripeEvent] | None":
        endpoint = await self._endpoint(reference, LIFE_S)
        event = _event(endpoint, body, signature)
        if event is None and (fresh := await self._endpoint(reference, _FRESH_S)) is not endpoint:
            endpoint, event = fresh, _event(fresh, body, signature)
        return None if endpoint is None or event is None else (endpoint.agency_id, event)

    async def _endpoint(self, reference: str, life_s: float) -> _Endpoint | None:
        known = self._endpoints.get(reference)
        if known is not None and monotonic() - known.read_at < life_s:
            return known
        async with self._database.platform() as platform:
            agency = await platform.agencies.find(reference)
        if agency is None:
            return None
        found = self._endpoints[reference] = await self._read(agency)
        return found

    async def _read(self, agency: "Agency") -> _Endpoint:
        async with self._database.transaction(Tenant.system(agency.id, ACTOR)) as tx:
            secrets = await tx.stripe_credentials.secrets()
        return _Endpoint(agency.id, secrets.webhook_secret if secrets else None, monotonic())

    async def _every_agency(self) -> list[str]:
        async with self._database.platform() as platform:
            return [agency.slug for agency in await platform.agencies.every()]


def _event(endpoint: _Endpoint | None, body: bytes, signature: str | None) -> StripeEvent | None:
    if endpoint is None or endpoint.secret is None:
        return None
    try:
        return parse_event(body, signature, endpoint.secret)
    except SignatureInvalid:
        return None
