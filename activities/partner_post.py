"""Word to partners about single records: a small file in their folder."""

import posixpath
from typing import TYPE_CHECKING

from domain.errors import Conflict
from gateways.sftp_errors import RemoteFileMissing

if TYPE_CHECKING:
    from activities.portfolio_sources import PortfolioSources
    from db.partners import DeliveryWay
    from domain.tenancy import Tenant

PARTNERS = "/partners"
TO_PARTNER = "to-partner"


class NoWayToPartner(Conflict):
    """Nothing can be sent to the partner as it is set up now."""

    type = "no-way-to-partner"
    title = "No way to the partner"


class PartnerPost:
    """Sends bytes to partners, each time the same under the same name; what is there already is replaced."""

    def __init__(self, sources: "PortfolioSources") -> None:
        self._sources = sources

    def target(self, way: "DeliveryWay", file_name: str) -> str:
        """Where a file goes. ``NoWayToPartner``."""
        if way.delivery != "sftp" or way.source_id is None:
            raise NoWayToPartner(f"the partner {way.name} is sent nothing (delivery is {way.delivery})")
        return posixpath.join(PARTNERS, way.name, TO_PARTNER, file_name)

    async def deliver(
        self, tenant: "Tenant", way: "DeliveryWay", *, key: str, file_name: str, body: bytes
    ) -> str:
        """Put the bytes there. ``NoWayToPartner``, and what the partner's server has against it."""
        target = self.target(way, file_name)
        folder = posixpath.dirname(target)
        async with await self._sources.connect(tenant, way.source_id) as session:
            try:
                await session.upload(body, target)
            except RemoteFileMissing:
                raise NoWayToPartner(f"the folder {folder} is not there on the partner's server") from None
        return key
