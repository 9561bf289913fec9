"""Counting figures: the one step of ``FiguresRefresh``, which small agencies do on the spot."""

from datetime import datetime
from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.messages import AgencyRef, Message
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from db.figures import Standing
    from db.session import Database

ACTOR = "figures"


class FiguresRequest(AgencyRef):
    """Count an agency's figures anew; ``if_changed``: only when there may be something new to count."""

    if_changed: bool = False


class RefreshedFigures(Message):
    """Since when the figures hold; null when somebody else was counting them at that moment."""

    as_of: datetime | None


class FigureActivities:
    """The step of ``FiguresRefresh``."""

    def __init__(self, db: "Database") -> None:
        self._db = db

    @activity.defn(name="figures.refresh")
    async def refresh(self, request: FiguresRequest) -> RefreshedFigures:
        """Count everything anew in one transaction; repeated, it counts once more."""
        tenant = Tenant.system(request.agency_id, ACTOR)
        async with heartbeating():
            standing = await refresh_figures(self._db, tenant, if_changed=request.if_changed)
        return RefreshedFigures(as_of=None if standing is None else standing.as_of)


async def refresh_figures(db: "Database", tenant: Tenant, *, if_changed: bool = False) -> "Standing | None":
    """Count an agency's figures anew; None while somebody else does. ``Unavailable`` as ``Database``, and
    when somebody else has finished just then.
    """
    # Asked before the snapshot: what is committed in between is counted, and told of next time.
    changes = await db.readings(tenant).figures.changes()
    async with db.transaction(tenant, snapshot=True) as tx:
        return await tx.figures.refresh(changes, if_changed=if_changed)
