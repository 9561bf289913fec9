"""Names to pick from: what lists of accounts are narrowed by."""

from typing import TYPE_CHECKING

from services.access import Principal, Right, require

if TYPE_CHECKING:
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
