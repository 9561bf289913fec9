"""The ways to partners: bytes put into their folder on an SFTP server, or sent to their endpoint."""

import posixpath
from typing import TYPE_CHECKING

from activities.partner_bodies import JSON_TYPE
from domain.errors import Conflict
from domain.partners import outbox_file

if TYPE_CHECKING:
    from activities.portfolio_sources import PortfolioSources
    from db.partners import DeliveryWay
    from domain.tenancy import Tenant
    from gateways.partner_https import PartnerHttps


class NoWay(Conflict):
    """Nothing can be sent to this partner as it is set up."""

    type = "partner-not-served"
    title = "The partner is sent nothing"


class PartnerWays:
    """Delivers bytes; whether they have arrived is known when this returns, and only then."""

    def __init__(self, sources: "PortfolioSources", https: "PartnerHttps") -> None:
        self._sources = sources
        self._https = https

    def target(self, way: "DeliveryWay", file_name: str) -> str:
        """Where a delivery goes: the endpoint's URL, or the path of the file. ``NoWay``."""
        if not way.active:
            raise NoWay(f"the partner {way.name} is not active; activate it, then send again")
        if way.delivery == "https" and way.url is not None:
            return way.url
        if way.delivery == "sftp":
            return outbox_file(way.name, file_name)
        raise NoWay(f"the partner {way.name} has no delivery; set one up, then send again")

    async def deliver(
        self, tenant: "Tenant", way: "DeliveryWay", *, key: str, file_name: str, body: bytes
    ) -> str:
        """Send ``body`` under ``key``, or as the file ``file_name``; what was answered, as a line.

        The same again is no second delivery: the endpoint has the key, and the file is the same file.
        Raises what the gateways raise, and ``NoWay``.
        """
        target = self.target(way, file_name)
        if way.delivery == "https":
            return await self._https.send(
                target, secret=way.signing_secret or "", key=key, body=body, media_type=JSON_TYPE
            )
        async with await self._sources.connect(tenant, way.source_id) as session:
            await session.make_folder(posixpath.dirname(target))
            written = await session.upload(body, target)
        return f"{written.size:,} bytes written"
