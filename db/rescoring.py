"""Scoring single accounts anew, in the transaction that changed what they are scored by."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from domain.errors import Conflict

if TYPE_CHECKING:
    from db.models import Agency
    from db.session import Transaction
    from domain.scoring import Scorer

_log = structlog.stdlib.get_logger("rescoring")


def scorer_of(agency: "Agency", scorers: "Mapping[str, Scorer]") -> "Scorer":
    """What an agency scores by. ``Conflict`` when it names a scorecard that is not known here."""
    scorer = scorers.get(agency.scorecard)
    if scorer is None:
        raise Conflict(
            f"the agency names the scorecard {agency.scorecard!r}, which is not known here;"
            f" choose one of {', '.join(sorted(scorers))} in its settings"
        )
    return scorer


async def rescore(tx: "Transaction", scorers: "Mapping[str, Scorer]", account_ids: Sequence[UUID]) -> None:
    """Score these accounts by the agency's scorecard, as they are in this transaction.

    To be called by whatever changes a debtor's facts or an account's balance, status, hold or
    collector. ``Conflict`` when the agency names a scorecard that is not known here. An account that a
    model has no answer for keeps its score: the change itself must not be lost to that.
    """
    if not account_ids:
        return
    agency = await tx.agencies.get(tx.tenant.agency_id)
    scorer = scorer_of(agency, scorers)
    scorecard_id = await tx.scorecards.keep(scorer)
    done = await tx.scores.score_accounts(
        account_ids, scorer, scorecard_id, threshold=agency.high_priority_threshold
    )
    if done.failed:
        _log.warning("accounts keep their former score", accounts=done.errors, reason=done.failed[0][1])
