"""The endpoints that the stand-in has, by method and path."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sandbox.stripe import balance, charges, checkout, customers, disputes, events, intents, methods, refunds
from sandbox.stripe.store import Json

Work = Callable[..., Json]


@dataclass(frozen=True)
class Operation:
    """An endpoint; ``work`` takes the world, the form and the parts of the path by name."""

    method: str
    path: str
    work: Work

    @property
    def pattern(self) -> re.Pattern[str]:
        """What matches the path, its parts as named groups."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))


def _resource(path: str, part: str, *works: tuple[str, Work]) -> list[Operation]:
    """The usual five endpoints of a resource, those of them that it has."""
    one = f"{path}/{{{part}}}"
    places = {
        "create": ("POST", path),
        "list": ("GET", path),
        "retrieve": ("GET", one),
        "update": ("POST", one),
        "delete": ("DELETE", one),
    }
    return [
        Operation(*places[name], work) if name in places else Operation("POST", f"{one}/{name}", work)
        for name, work in works
    ]


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", "/v1/account", events.account),
    *_resource(
        "/v1/customers",
        "customer",
        ("create", customers.create),
        ("list", customers.listing),
        ("retrieve", customers.retrieve),
        ("update", customers.update),
        ("delete", customers.delete),
    ),
    Operation("GET", "/v1/customers/{customer}/payment_methods", methods.listing),
    *_resource(
        "/v1/payment_methods",
        "payment_method",
        ("create", methods.create),
        ("list", methods.listing),
        ("retrieve", methods.retrieve),
        ("update", methods.update),
        ("attach", methods.attach),
        ("detach", methods.detach),
    ),
    *_resource(
        "/v1/payment_intents",
        "intent",
        ("create", intents.create),
        ("list", intents.listing),
        ("retrieve", intents.retrieve),
        ("update", intents.update),
        ("confirm", intents.confirm),
        ("cancel", intents.cancel),
    ),
    *_resource(
        "/v1/charges",
        "charge",
        ("list", charges.listing),
        ("retrieve", charges.retrieve),
        ("update", charges.update),
    ),
    *_resource(
        "/v1/refunds",
        "refund",
        ("create", refunds.create),
        ("list", refunds.listing),
        ("retrieve", refunds.retrieve),
        ("update", refunds.update),
    ),
    *_resource(
        "/v1/disputes",
        "dispute",
        ("list", disputes.listing),
        ("retrieve", disputes.retrieve),
        ("update", disputes.update),
        ("close", disputes.close),
    ),
    *_resource(
        "/v1/checkout/sessions",
        "session",
        ("create", checkout.create),
        ("list", checkout.listing),
        ("retrieve", checkout.retrieve),
        ("update", checkout.update),
        ("expire", checkout.expire),
    ),
    *_resource("/v1/events", "event", ("list", events.listing), ("retrieve", events.retrieve)),
    *_resource(
        "/v1/balance_transactions", "transaction", ("list", balance.listing), ("retrieve", balance.retrieve)
    ),
    *_resource(
        "/v1/webhook_endpoints",
        "endpoint",
        ("create", events.create_endpoint),
        ("list", events.list_endpoints),
        ("retrieve", events.retrieve_endpoint),
        ("update", events.update_endpoint),
        ("delete", events.delete_endpoint),
    ),
)

_PATTERNS: Final = [(operation, operation.pattern) for operation in OPERATIONS]


def found(method: str, path: str) -> tuple[Work, dict[str, str]] | None:
    """The work of an endpoint and the parts of its path; None when there is no such endpoint."""
    for operation, pattern in _PATTERNS:
        if operation.method == method and (match := pattern.fullmatch(path)):
            return operation.work, match.groupdict()
    return None
