"""Scoring without writing: what a run over all accounts would come to."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from db.rescoring import scorer_of
from domain.money import Money
from domain.scoring import Scorer
from services.access import Principal, Right, require
from services.fields import View
from services.scoring_runs import NewScoringRun, chosen_threshold
from services.scoring_views import (
    ScorecardRef,
    ScoringErrorView,
    TopAccount,
    by_level,
    elapsed_s,
    rate,
    top_account,
)

if TYPE_CHECKING:
    from db.score_preview import Best, Preview
    from db.session import Database

ERRORS_SHOWN = 10
OnProgress = Callable[[int, int], None]
"""Told how many accounts are done, and of how many."""


class PreviewView(View):
    """What a run would come to; counts are of accounts, fields named as those of a run."""

    dry_run: bool = True
    scorecard: ScorecardRef
    threshold: Money
    batch_size: int
    total: int
    scored: int
    changed: int
    errors: int
    levels: dict[str, int]
    high_priority: int
    top: tuple[TopAccount, ...]
    first_errors: tuple[ScoringErrorView, ...]
    seconds: float
    rows_per_second: float | None


@dataclass
class _Sum:
    """Chunks added up."""

    top: int
    scored: int = 0
    changed: int = 0
    high_priority: int = 0
    errors: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    best: "Sequence[Best]" = ()
    first_errors: list[tuple[UUID, str]] = field(default_factory=list)

    def add(self, chunk: "Preview") -> None:
        self.scored += chunk.scored
        self.changed += chunk.changed
        self.high_priority += chunk.high_priority
        self.errors += len(chunk.failed)
        self.levels.update(chunk.levels)
        self.best = _best_of((*self.best, *chunk.best), self.top)
        self.first_errors += chunk.failed[: ERRORS_SHOWN - len(self.first_errors)]

    @property
    def seen(self) -> int:
        return self.scored + self.errors


class ScorePreviewService:
    """Dry runs for the principal's agency. ``scorers`` are those that agencies can name."""

    def __init__(self, database: "Database", scorers: Mapping[str, Scorer]) -> None:
        self._database = database
        self._scorers = scorers

    async def run(
        self, who: Principal, form: NewScoringRun, *, top: int, on_progress: OnProgress
    ) -> PreviewView:
        """Score chunk by chunk as a run does, each in a read-only transaction of its own.

        ``Conflict`` when the agency names a scorecard that is not known here.
        """
        require(who, Right.READ_SCORING)
        started_at = datetime.now(UTC)
        async with self._database.transaction(who.tenant) as tx:
            await tx.score_preview.read_only()
            agency = await tx.agencies.get(who.tenant.agency_id)
            scorer = scorer_of(agency, self._scorers)
            threshold = chosen_threshold(form.threshold, agency, scorer)
            scorecard_id = await tx.scorecards.find(scorer)
            total = await tx.score_preview.count()
        found, after = _Sum(top), UUID(int=0)
        on_progress(0, total)
        while True:
            async with self._database.transaction(who.tenant) as tx:
                await tx.score_preview.read_only()
                bounds = await tx.score_preview.next_range(after, form.batch_size)
                if bounds is None:
                    break
                found.add(await tx.score_preview.preview(*bounds, scorer, scorecard_id, threshold, top=top))
            after = bounds[1]
            on_progress(found.seen, max(total, found.seen))
        seconds = elapsed_s(started_at, None, datetime.now(UTC))
        return PreviewView(
            scorecard=ScorecardRef(name=scorer.name, version=scorer.version),
            threshold=threshold,
            batch_size=form.batch_size,
            total=found.seen,
            scored=found.scored,
            changed=found.changed,
            errors=found.errors,
            levels=by_level(found.levels),
            high_priority=found.high_priority,
            top=tuple(top_account(asdict(best)) for best in found.best),
            first_errors=tuple(
                ScoringErrorView(account_id=account, error=error) for account, error in found.first_errors
            ),
            seconds=round(seconds, 3),
            rows_per_second=rate(found.seen, seconds),
        )


def _best_of(accounts: "Iterable[Best]", count: int) -> "list[Best]":
    return heapq.nsmallest(count, accounts, key=lambda best: (-best.rank, best.account_id))
