"""What lists of accounts are narrowed by: the names that filters offer, the address of the list's count."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request

from console.rendering import wanted_block
from services.access import Right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.composition import Services
    from services.sessions import Visitor

MOST_NAMES = 500
OF_THE_PAGE = frozenset({"cursor", "page_size", "ordering"})
"""Parameters that say which page of a list is shown, not what is on it."""


class Name(NamedTuple):
    """Somebody or something to pick."""

    id: UUID
    name: str


class Names(NamedTuple):
    """What the filters offer; collectors only to who sees more accounts than their own."""

    creditors: "Sequence[Name]" = ()
    collectors: "Sequence[Name]" = ()


async def names_to_pick(request: Request, services: "Services", visitor: "Visitor") -> Names:
    """What the filters of this page offer; nothing where only the list itself is asked for."""
    if wanted_block(request):
        return Names()
    if not visitor.who.may(Right.READ_SETTINGS):
        return Names(creditors=await _creditors(services, visitor))
    return Names(*await asyncio.gather(_creditors(services, visitor), _collectors(services, visitor)))


async def _creditors(services: "Services", visitor: "Visitor") -> list[Name]:
    found = await services.creditors.page(visitor.who, None, MOST_NAMES)
    return sorted((Name(one.id, one.name) for one in found), key=lambda one: one.name.casefold())


async def _collectors(services: "Services", visitor: "Visitor") -> list[Name]:
    found = await services.collectors.page(visitor.who, None, MOST_NAMES)
    return sorted((Name(one.id, one.full_name) for one in found), key=lambda one: one.name.casefold())


def count_address(request: Request) -> str:
    """Where the number of accounts that fit the same filters is asked for."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in OF_THE_PAGE]
    return f"{request.url.path}/count" + (f"?{urlencode(kept)}" if kept else "")
