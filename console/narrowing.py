"""What lists were narrowed to, in words: the names behind ids, and a way to what has none."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from console.pages.accounts import ORDERS
from console.rendering import words

if TYPE_CHECKING:
    from api.composition import Services
    from services.access import Principal

NAMED = {"creditor": "Creditor", "collector": "Collector", "partner_id": "Partner"}
"""Filters whose values are ids of what has a name, and what they are called."""

LINKED = {
    "account": ("Account", "/accounts/{}"),
    "account_id": ("Account", "/accounts/{}"),
    "debtor": ("Debtor", "/accounts?debtor={}"),
    "import_id": ("Import", "/imports/{}"),
}
"""Filters whose values are ids, what they are called, and where each is seen by who may see it."""

CHOSEN = frozenset(
    {
        "status",
        "state",
        "kind",
        "source",
        "severity",
        "risk_level",
        "level",
        "employment_status",
        "promise",
        "contact",
        "aging",
    }
)
"""Filters whose values are among some that are known, and can be read as words."""

_FIXED = {"none": "nobody", "me": "whoever asked"}
_ORDERS = dict(ORDERS)
_ORDER = "Order"


class Narrowed(NamedTuple):
    """One filter in words: “Creditor: Northwind”. ``href``: where the value is seen, if it is one thing."""

    label: str
    value: str
    href: str = ""


async def in_words(
    services: "Services", who: "Principal", filters: Sequence[Mapping[str, Any]]
) -> list[list[Narrowed]]:
    """Each of ``filters``, a list's query parameters by name, as people read them."""
    named, accounts = await asyncio.gather(
        services.names.of(who, _ids(filters, NAMED)),
        services.accounts.names(who, _ids(filters, ("account", "account_id"))),
    )
    names = {**named, **{one: name.external_ref for one, name in accounts.items()}}
    # The database keeps no order of filters; what a list is ordered by comes last.
    return [
        sorted(
            (_narrowed(name, value, names) for name, value in one.items()),
            key=lambda narrowed: (narrowed.label == _ORDER, narrowed.label),
        )
        for one in filters
    ]


def _ids(filters: Iterable[Mapping[str, Any]], wanted: Iterable[str]) -> set[UUID]:
    given = (value for one in filters for name in wanted for value in _values(one.get(name, ())))
    return {found for value in given if (found := _id(value)) is not None}


def _values(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]


def _id(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def _narrowed(name: str, value: Any, names: Mapping[UUID, str]) -> Narrowed:
    values = _values(value)
    if name in NAMED or name in LINKED:
        label, address = (NAMED[name], "") if name in NAMED else LINKED[name]
        found = _id(values[0])
        known = names.get(found) if found else _FIXED.get(values[0])
        return Narrowed(
            label, known or (f"one {label.lower()}" if address else values[0]), address.format(values[0])
        )
    if name == "ordering":
        return Narrowed(_ORDER, _ORDERS.get(values[0], values[0]))
    if name == "owner":
        return Narrowed("Owner", _FIXED.get(values[0], values[0]))
    if values == ["true"]:
        return Narrowed(words(name), "yes")
    if name in CHOSEN:
        return Narrowed(words(name), ", ".join(words(each.lower()) for each in values))
    return Narrowed(words(name), ", ".join(values))
