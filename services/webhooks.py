"""Webhooks: believed by their signature alone, stored, acknowledged; what comes of them is decided after."""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING
from uuid import UUID

from domain.errors import Unavailable
from domain.tenancy import Tenant
from gateways.stripe import SignatureInvalid, StripeEvent, check_header, read_body, signed_with
from services.stripe_events import incoming, told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from db.inbox import Told
    from db.session import Database
    from db.webhook_secrets import WebhookSecret

ACTOR = "webhooks"
LIFE_S = 10.0
"""How long secrets are kept in memory. One that was replaced since is found when a signature does not fit."""

_FRESH_S = 1.0
"""Younger secrets are not read again: whoever sends forged webhooks must not keep the database busy."""


class WebhookService:
    """What comes to the webhooks' addresses. ``news`` is handed what is left to be handled."""

    def __init__(self, database: "Database", news: "Callable[[UUID, Told], None]") -> None:
        self._database = database
        self._news = news
        self._secrets: dict[str, WebhookSecret] = {}
        self._read_at = self._tried_at = float("-inf")
        self._away: Unavailable | None = None
        self._replaced = False
        self._reading = asyncio.Lock()

    async def receive(self, agency: str | None, body: bytes, signature: str | None) -> None:
        """Store an event of Stripe's, once, and have it handled soon.

        ``agency`` is an id or a slug; without it, every agency's secret is tried. ``SignatureInvalid``, in
        the same words whatever is wrong, for what no agency's Stripe has signed within five minutes;
        ``Malformed`` for what it has signed and is no event.
        """
        try:
            header = check_header(signature)
            agency_id = await self._signer(agency, body, header)
        except SignatureInvalid:
            raise SignatureInvalid(
                "this is no event that was signed with the secret of this address within the last five"
                " minutes; nothing was stored"
            ) from None
        await self._store(agency_id, read_body(body), body)

    def forget(self, agency_id: "UUID") -> None:
        """Read the secrets again: the agency's was just replaced."""
        self._secrets = {name: one for name, one in self._secrets.items() if one.agency_id != agency_id}
        self._replaced = True

    async def _store(self, agency_id: "UUID", event: StripeEvent, body: bytes) -> None:
        readings = self._database.readings(Tenant.system(agency_id, ACTOR))
        stored = await readings.inbox.store(incoming(event, body))
        if stored is not None and stored.status == "received":
            self._news(agency_id, told(stored.id, event))

    async def _signer(self, agency: str | None, body: bytes, header: str) -> "UUID":
        """The agency whose Stripe has signed, by the secrets at hand, or else by what they are now."""
        for life_s in (LIFE_S, _FRESH_S):
            await self._refresh(life_s)
            for one in self._candidates(agency):
                if one.secret is not None and signed_with(body, header, one.secret):
                    return one.agency_id
        raise SignatureInvalid("no agency's secret fits")

    def _candidates(self, agency: str | None) -> "Sequence[WebhookSecret]":
        if agency is None:
            return tuple({one.agency_id: one for one in self._secrets.values()}.values())
        found = self._secrets.get(_name(agency))
        return () if found is None else (found,)

    async def _refresh(self, life_s: float) -> None:
        """Read all secrets again, unless they are younger than ``life_s``: one request for all that wait."""
        async with self._reading:
            if not self._replaced and monotonic() - self._read_at < life_s:
                return
            if self._away is not None and monotonic() - self._tried_at < _FRESH_S:
                raise self._away
            self._replaced, self._away = False, None
            try:
                secrets = await self._database.webhook_secrets.every()
            except BaseException as error:
                self._replaced = True
                self._away = error if isinstance(error, Unavailable) else None
                raise
            finally:
                self._tried_at = monotonic()
            self._read_at = self._tried_at
            self._secrets = {name: one for one in secrets for name in (str(one.agency_id), one.slug)}


def _name(reference: str) -> str:
    """An id as it is written here, or a slug."""
    try:
        return str(UUID(reference))
    except ValueError:
        return reference
