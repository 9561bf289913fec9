"""Matching a partner's statements with our books, once a run."""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeats import heartbeating
from activities.partner_messages import MatchFigures
from activities.partner_run_messages import ACTOR, PartnerRunRef
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from db.session import Database


class PartnerMatchingActivities:
    """The matching step of ``PartnerReconciliation``."""

    def __init__(self, db: "Database") -> None:
        self._db = db

    @activity.defn(name="reconciliation.match")
    async def match(self, ref: PartnerRunRef) -> MatchFigures:
        """Match, classify, resolve by rules, open, refresh and cure breaks: one transaction, one snapshot.

        What a repetition after the commit answers is what the first has written down. The run must be at
        work; its statements must have been closed for it, unless it is a dry run.
        ``Unavailable`` where what it writes was changed since it began: the next attempt sees that.
        """
        tenant = Tenant.system(ref.agency_id, ACTOR)
        async with heartbeating(), self._db.transaction(tenant, snapshot=True) as tx:
            return MatchFigures.model_validate(await tx.partner_matching.match(ref.run_id))
