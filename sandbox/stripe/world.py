"""One agency's world inside the stand-in: its objects, its events and what will happen to them."""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.stripe.refusals import missing
from sandbox.stripe.store import Json, Store

API_VERSION: Final = "2026-10-28.endive"
"""The version of Stripe's API whose shapes these are."""
_ALPHABET: Final = (string.ascii_letters + string.digits).encode()
_LETTERS: Final = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))


@dataclass
class Behaviour:
    """What the sandbox decides in place of banks and card holders; delays are in seconds of its clock.

    ``bank_delay_s``: until a bank debit succeeds or fails. ``dispute_delay_s``: from a success to its
    dispute. ``refund_delay_s``: until a refund that is not immediate ends. ``duplicates``: further copies of
    each event. ``hold_webhooks``: events wait until they are released. ``jitter_s``: the longest random wait
    before a delivery, so that events overtake each other. ``backdate_s``: how old signatures pretend to be.
    """

    bank_delay_s: float = 10.0
    dispute_delay_s: float = 0.0
    refund_delay_s: float = 10.0
    duplicates: int = 0
    hold_webhooks: bool = False
    jitter_s: float = 0.0
    backdate_s: int = 0


@dataclass(frozen=True)
class Request:
    """What an event says about the request that caused it; both None for what happens by itself."""

    id: str | None = None
    idempotency_key: str | None = None


def new_id(prefix: str) -> str:
    """An id such as ``pi_3Rk…``."""
    return f"{prefix}_{secrets.token_bytes(24).translate(_LETTERS).decode()}"


@dataclass
class World:
    """One account's objects at one moment, inside a transaction of the store."""

    store: Store
    account: str
    now: float
    behaviour: Behaviour
    base_url: str
    request: Request = field(default_factory=Request)

    @property
    def created(self) -> int:
        """The present moment in whole seconds, as objects have it."""
        return int(self.now)

    def get(self, kind: str, object_id: str, param: str = "id", *, status: int = 404) -> Json:
        """An object of this account. Raises ``Refusal`` (``resource_missing``)."""
        found = self.store.get(self.account, object_id, kind)
        if found is None:
            raise missing(kind.replace(".", " "), object_id, param, status=status)
        return found

    def named(self, kind: str, object_id: str | None, param: str) -> Json | None:
        """An object that a parameter names. Raises ``Refusal`` (``resource_missing``, 400)."""
        return None if object_id is None else self.get(kind, object_id, param, status=400)

    def save(self, body: Json) -> Json:
        """Write an object."""
        self.store.put(self.account, body)
        return body

    def emit(self, kind: str, body: Json, previous: Mapping[str, Any] | None = None) -> None:
        """Write an event about an object as it is now, and send it to the endpoints that want it."""
        data: Json = {"object": body}
        if previous:
            data["previous_attributes"] = dict(previous)
        event = self.save(
            {
                "id": new_id("evt"),
                "object": "event",
                "account": None,
                "api_version": API_VERSION,
                "context": None,
                "created": self.created,
                "data": data,
                "livemode": False,
                "pending_webhooks": 0,
                "request": {"id": self.request.id, "idempotency_key": self.request.idempotency_key},
                "type": kind,
            }
        )
        for endpoint in self.store.page(self.account, "webhook_endpoint", limit=100):
            wanted = set(endpoint["enabled_events"])
            if endpoint["status"] == "enabled" and wanted & {"*", kind}:
                for _ in range(1 + self.behaviour.duplicates):
                    self.store.add_delivery(self.account, event["id"], endpoint["id"])

    def later(self, delay_s: float, name: str, object_id: str) -> None:
        """Let a task of ``sandbox.stripe.tasks`` happen to an object after a while."""
        self.store.plan(self.now + delay_s, self.account, name, object_id)
