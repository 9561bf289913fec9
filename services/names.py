"""Names to pick from: what lists of accounts are narrowed by."""

from typing import TYPE_CHECKING

from services.access import Principal, Right, require

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID

    from db.names import Names
    from db.session import Database

MOST_NAMES = 500


class NameService:
    """Names of the principal's agency."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    async def to_pick(self, who: Principal) -> "Names":
        """Its creditors; its collectors only for who sees more accounts than their own."""
        require(who, Right.READ_ACCOUNTS)
        collectors = who.may(Right.READ_SETTINGS)
        return await self._database.readings(who.tenant).names.to_pick(MOST_NAMES, collectors=collectors)

    async def of(self, who: Principal, ids: "Collection[UUID]") -> "Mapping[UUID, str]":
        """The names of creditors, collectors and partners among ``ids``, those that ``who`` may read."""
        require(who, Right.READ_ACCOUNTS)
        if not ids:
            return {}
        return await self._database.readings(who.tenant).names.of(
            ids,
            collectors=who.may(Right.READ_SETTINGS),
            partners=who.may(Right.READ_RECONCILIATIONS),
            own=who.collector_id,
        )
