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

    async def send(self, tenant: "Tenant", way: "DeliveryWay", name: str, body: bytes) -> str:
        """Where the bytes went. ``NoWayToPartner``, and what the partner's server has against it."""
        if way.delivery != "sftp" or way.source_id is None:
            raise NoWayToPartner(f"the partner {way.name} is sent nothing (delivery is {way.delivery})")
        folder = posixpath.join(PARTNERS, way.name, TO_PARTNER)
        target = posixpath.join(folder, name)
        async with await self._sources.connect(tenant, way.source_id) as session:
            try:
                await session.upload(body, target)
            except RemoteFileMissing:
                raise NoWayToPartner(f"the folder {folder} is not there on the partner's server") from None
        return f"sftp:{target}"
