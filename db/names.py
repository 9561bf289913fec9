"""Names of an agency's creditors and collectors, as filters offer them."""

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from db.readings import Readings


class Name(NamedTuple):
    """Somebody or something to pick."""

    id: UUID
    name: str


class Names(NamedTuple):
    """What can be picked, each kind in the order of its names."""

    creditors: "Sequence[Name]" = ()
    collectors: "Sequence[Name]" = ()


# The newest, where there are more than anybody picks from: ids are ordered by time.
_NAMES = b"""
    (SELECT 'creditor', id, name FROM creditor
      WHERE agency_id = %(agency)s ORDER BY id DESC LIMIT %(at_most)s)
    UNION ALL
    (SELECT 'collector', id, full_name FROM collector
      WHERE agency_id = %(agency)s AND %(collectors)s ORDER BY id DESC LIMIT %(at_most)s)
"""

_OF = b"""
    SELECT id, name FROM creditor WHERE agency_id = %(agency)s AND id = ANY (%(ids)s)
    UNION ALL
    SELECT id, full_name FROM collector
     WHERE agency_id = %(agency)s AND id = ANY (%(ids)s) AND (%(collectors)s OR id = %(own)s)
    UNION ALL
    SELECT id, name FROM partner WHERE agency_id = %(agency)s AND id = ANY (%(ids)s) AND %(partners)s
"""


class NameReadings:
    """Names in one round trip: they are read with every list."""

    def __init__(self, readings: "Readings") -> None:
        self._readings = readings

    async def to_pick(self, at_most: int, *, collectors: bool) -> Names:
        """At most so many creditors and, where ``collectors``, as many collectors."""
        agency = self._readings.tenant.agency_id
        values = {"agency": agency, "at_most": at_most, "collectors": collectors}
        found: dict[str, list[Name]] = {"creditor": [], "collector": []}
        for kind, one, name in await self._readings.rows(_NAMES, values):
            found[kind].append(Name(one, name))
        for names in found.values():
            names.sort(key=lambda each: each.name.casefold())
        return Names(found["creditor"], found["collector"])

    async def of(
        self, ids: "Collection[UUID]", *, collectors: bool, partners: bool, own: UUID | None
    ) -> "Mapping[UUID, str]":
        """The names of those of ``ids`` that are creditors and, where they may be told, collectors or
        partners. ``own``: a collector who may be told in any case."""
        values: dict[str, Any] = {"agency": self._readings.tenant.agency_id, "ids": list(ids)}
        values |= {"collectors": collectors, "partners": partners, "own": own}
        found: list[Any] = await self._readings.rows(_OF, values)
        return dict(found)
