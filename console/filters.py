"""What lists of accounts are narrowed by: the names that filters offer, the address of the list's count."""

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fastapi import Request

from console.rendering import wanted_block
from db.names import Names

if TYPE_CHECKING:
    from api.composition import Services
    from services.sessions import Visitor

OF_THE_PAGE = frozenset({"cursor", "page_size", "ordering"})
"""Parameters that say which page of a list is shown, not what is on it."""


async def names_to_pick(request: Request, services: "Services", visitor: "Visitor") -> Names:
    """What the filters of this page offer; nothing where only the list itself is asked for."""
    return Names() if wanted_block(request) else await services.names.to_pick(visitor.who)


def count_address(request: Request) -> str:
    """Where the number of accounts that fit the same filters is asked for."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in OF_THE_PAGE]
    return f"{request.url.path}/count" + (f"?{urlencode(kept)}" if kept else "")
