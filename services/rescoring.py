"""Scoring single accounts anew, in the transaction that changed what they are scored by."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from domain.errors import Conflict

if TYPE_CHECKING:
    from db.session import Transaction
    from domain.scoring import Scorecard


async def rescore(tx: "Transaction", scorers: "Mapping[str, Scorecard]", account_ids: Sequence[UUID]) -> None:
    """Score these accounts by the agency's scorecard, as they are in this transaction.

    To be called by whatever changes a debtor's facts or an account's balance, status, hold or
    collector. ``Conflict`` when the agency names a scorecard that is not known here.
    """
    if not account_ids:
        return
    agency = await tx.agencies.get(tx.tenant.agency_id)
    scorer = scorers.get(agency.scorecard)
    if scorer is None:
        raise Conflict(
            f"the agency's scorecard {agency.scorecard} is not known here; "
            f"choose one of {', '.join(sorted(scorers))} in the agency's settings"
        )
    scorecard_id = await tx.scorecards.keep(scorer)
    await tx.scores.score_accounts(
        account_ids, scorer, scorecard_id, threshold=agency.high_priority_threshold
    )
