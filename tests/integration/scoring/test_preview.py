"""A dry run: it comes to what a run then comes to, and writes nothing."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError

from db.models import ScoringRun
from db.scorecard_files import builtin_scorecards
from domain.errors import Conflict
from domain.scoring import ModelCard, Scorer
from services.access import Principal
from services.score_preview import PreviewView, ScorePreviewService
from services.scoring_runs import NewScoringRun, chosen_threshold
from tests.integration.scoring.conftest import Books

TABLES = ("account_score", "account_score_history", "high_priority_notice", "scoring_run", "scorecard")
ACCOUNTS = 1050


def half_of_them(frame: pl.DataFrame) -> list[float | None]:
    """A model that knows only those whose late payments are known."""
    return [None if late is None else 0.9 - 0.05 * late for late in frame["late_payments_count"].to_list()]


def own_model() -> ModelCard:
    card = ModelCard.model_validate(
        {
            "kind": "model",
            "name": "own-model",
            "version": 3,
            "title": "Own model",
            "predict": "our_models:half_of_them",
            "uses": ["late_payments_count", "monthly_income"],
            "leaves_out": dict.fromkeys(
                ["employment_status", "contract_type", "industry_sector", "family_situation"], "adds nothing"
            ),
            "cost_of_work": "12.50",
            "high_priority_above": "750",
            "levels": [
                {"level": level, "up_to_percent": percent}
                for level, percent in {"LOW": 30, "MEDIUM": 60, "HIGH": 80, "CRITICAL": 100}.items()
            ],
        }
    )
    card.bind(half_of_them)
    return card


SCORERS: Mapping[str, Scorer] = {**builtin_scorecards(), "own-model": own_model()}


async def choose(books: Books, scorer: str, threshold: str | None = None) -> None:
    """Have the agency scored by ``scorer``."""
    await books.query(
        "UPDATE agency SET scorecard = %s, high_priority_threshold = %s WHERE id = %s",
        scorer,
        threshold,
        books.agency_id,
    )


async def dry_run(books: Books, *, top: int = 10, batch_size: int = 1000, **form: Any) -> PreviewView:
    service = ScorePreviewService(books.db, SCORERS)
    who = Principal.operator("operator:test", books.agency_id)
    wanted = NewScoringRun.model_construct(batch_size=batch_size, threshold=form.pop("threshold", None))
    return await service.run(who, wanted, top=top, on_progress=form.pop("on_progress", lambda *_: None))


async def really(books: Books, scorer: str) -> ScoringRun:
    """A run as a worker does it; its row."""
    async with books.db.transaction(books.tenant) as tx:
        agency = await tx.agencies.get(books.agency_id)
        made = await tx.scoring_runs.reserve(
            id=uuid4(),
            origin="manual",
            requested_by="test",
            scorecard_id=await tx.scorecards.keep(SCORERS[scorer]),
            threshold=chosen_threshold(None, agency, SCORERS[scorer]),
            batch_size=100,
        )
    for chunk in await books.plan(made):
        async with books.db.transaction(books.tenant) as tx:
            done = await tx.scores.score_chunk(*await tx.scoring_runs.take(made.id, chunk), SCORERS[scorer])
            await tx.scoring_runs.add_errors(made.id, done.failed)
            await tx.scoring_runs.mark(made.id, chunk, done)
    async with books.db.transaction(books.tenant) as tx:
        return await tx.scoring_runs.finish(made.id)


async def state(books: Books) -> dict[str, Any]:
    """All that a run could write to."""
    return {
        table: await books.query(f"SELECT t.*, t.xmin::text AS written_by FROM {table} t ORDER BY 1, 2, 3")  # noqa: S608
        for table in TABLES
    }


@pytest.mark.parametrize("scorer", ["recovery-v1", "recovery-v1-ecoa", "expected-recovery", "own-model"])
async def test_a_dry_run_comes_to_what_the_run_then_comes_to(books: Books, scorer: str) -> None:
    await choose(books, scorer)
    before = await state(books)

    previews = [await dry_run(books, batch_size=size) for size in (100, 333, 100_000)]

    assert await state(books) == before
    view = previews[0]
    timed = {"seconds", "rows_per_second", "batch_size"}
    assert [other.model_dump(exclude=timed) for other in previews] == [view.model_dump(exclude=timed)] * 3
    run = await really(books, scorer)
    assert (view.scored, view.errors, view.changed) == (run.scored, run.errors, run.changed)
    assert view.total == ACCOUNTS
    assert view.changed == view.scored > 0
    assert {level: count for level, count in view.levels.items() if count} == run.levels
    assert view.high_priority == run.high_priority
    assert 0 < view.high_priority < ACCOUNTS
    assert [
        (str(best.account_id), best.external_ref, int(best.priority_score * 100)) for best in view.top
    ] == [(best["account_id"], best["external_ref"], best["rank"]) for best in run.top]
    errors = await books.mine("account_id, error", "scoring_error", "account_id")
    assert [error.model_dump() for error in view.first_errors] == errors[:10]
    assert (scorer == "own-model") is bool(errors)


@pytest.mark.parametrize("scorer", ["recovery-v1", "own-model"])
async def test_what_is_scored_already_changes_only_where_something_is_new(books: Books, scorer: str) -> None:
    await choose(books, scorer)
    run = await really(books, scorer)

    unchanged = await dry_run(books)
    await books.query(
        "UPDATE debtor SET late_payments_count = 9 WHERE agency_id = %s AND natural_key <= 'ref:19'",
        books.agency_id,
    )
    late = await dry_run(books)
    again = await really(books, scorer)
    judged = await dry_run(books, threshold=Decimal(0))

    assert (unchanged.scored, unchanged.changed) == (run.scored, 0)
    assert 0 < late.changed == again.changed < ACCOUNTS
    assert judged.threshold == 0
    assert judged.high_priority > late.high_priority
    assert judged.changed > 0
    other = {"recovery-v1": "recovery-v1-ecoa", "own-model": "recovery-v1"}[scorer]
    await choose(books, other)
    assert (await dry_run(books)).changed == ACCOUNTS


async def test_settled_accounts_are_scored_but_never_among_the_best(books: Books) -> None:
    first = (await dry_run(books, top=1)).top[0]
    await books.query("UPDATE account SET held = true WHERE id = %s", first.account_id)

    view = await dry_run(books, top=2000)

    assert view.scored == ACCOUNTS
    assert len(view.top) == ACCOUNTS - 1
    assert first.account_id not in {best.account_id for best in view.top}
    assert (await dry_run(books, top=0)).top == ()


async def test_progress_is_told_chunk_by_chunk(books: Books) -> None:
    told: list[tuple[int, int]] = []
    await dry_run(books, batch_size=500, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 1050), (500, 1050), (1000, 1050), (1050, 1050)]


async def test_another_agencys_accounts_are_not_seen(agencies: tuple[Books, Books]) -> None:
    ours, theirs = agencies
    await theirs.query("DELETE FROM account WHERE agency_id = %s", theirs.agency_id)
    view = await dry_run(theirs)
    assert (view.total, view.scored, view.top, view.rows_per_second) == (0, 0, (), None)
    assert (await dry_run(ours)).total == ACCOUNTS


async def test_a_scorecard_that_is_not_known_is_said(books: Books) -> None:
    await choose(books, "gone-v9")
    with pytest.raises(Conflict, match="gone-v9"):
        await dry_run(books)


async def test_a_preview_cannot_write(books: Books) -> None:
    async with books.db.transaction(books.tenant) as tx:
        await tx.score_preview.read_only()
        with pytest.raises(InternalError, match="read-only transaction"):
            await tx.session.execute(text("UPDATE account SET held = true"))
        await tx.session.rollback()
