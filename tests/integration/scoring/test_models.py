"""A model of one's own in the engine: its scores, its missing answers, its failures."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import polars as pl
import psycopg
import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.scoring import ChunkRef, ScoringActivities, ScoringRef
from db.model_scoring import ModelFailed
from db.models import ScoringRun
from db.rescoring import rescore
from db.scorecard_files import builtin_scorecards
from db.scores import Scored
from domain.scoring import DebtorFacts, ModelCard, ModelChanged, Scorecard
from domain.scoring.facts import FACT_NAMES, inputs_hash
from tests.integration.scoring.conftest import Books

DEFINITION: dict[str, Any] = {
    "kind": "model",
    "name": "payment-model",
    "version": 1,
    "title": "Payment model",
    "predict": "our_models:even",
    "uses": ["monthly_income", "late_payments_count", "employment_status"],
    "leaves_out": dict.fromkeys(["contract_type", "industry_sector", "family_situation"], "adds nothing"),
    "cost_of_work": "12.50",
    "high_priority_above": "750",
    "levels": [
        {"level": level, "up_to_percent": percent}
        for level, percent in {"LOW": 30, "MEDIUM": 60, "HIGH": 80, "CRITICAL": 100}.items()
    ],
}
THRESHOLD = Decimal(750)


def by_late_payments(frame: pl.DataFrame) -> pl.Series:
    """Between 0.05 and 0.9333, falling with the number of late payments; unknown counts as 6."""
    return frame.select(
        (0.9333 - pl.col("late_payments_count").fill_null(6) * 0.07).clip(0.05, 1.0).alias("p")
    ).to_series()


def model(predict: Callable[[pl.DataFrame], Any], **changes: Any) -> ModelCard:
    card = ModelCard.model_validate(DEFINITION | changes)
    card.bind(predict)
    return card


class Runs:
    """Runs of one agency by a model, by the activities that a worker serves."""

    def __init__(self, books: Books, scorer: ModelCard | Scorecard) -> None:
        self.books = books
        self.scorer = scorer
        self.steps = ScoringActivities(books.db, {scorer.name: scorer})

    async def open(self, batch_size: int = 400) -> ScoringRun:
        async with self.books.db.transaction(self.books.tenant) as tx:
            run = await tx.scoring_runs.reserve(
                id=uuid4(),
                origin="manual",
                requested_by="test",
                scorecard_id=await tx.scorecards.keep(self.scorer),
                threshold=THRESHOLD,
                batch_size=batch_size,
            )
            await tx.scoring_runs.plan(run)
            return run

    async def score(self, run: ScoringRun, chunk: int) -> int:
        ref = ChunkRef(agency_id=self.books.agency_id, run_id=run.id, chunk=chunk)
        return await ActivityEnvironment().run(self.steps.score_chunk, ref)

    async def whole(self) -> ScoringRun:
        run = await self.open()
        for chunk in await self.books.plan(run):
            await self.score(run, chunk)
        ref = ScoringRef(agency_id=self.books.agency_id, run_id=run.id)
        await ActivityEnvironment().run(self.steps.finish, ref)
        async with self.books.db.transaction(self.books.tenant) as tx:
            return await tx.scoring_runs.get(run.id)

    async def named(self, *accounts: UUID) -> Scored:
        async with self.books.db.transaction(self.books.tenant) as tx:
            card = await tx.scorecards.keep(self.scorer)
            return await tx.scores.score_accounts(accounts, self.scorer, card, threshold=THRESHOLD)


async def test_stored_scores_are_exact_from_the_basis_points_on(books: Books) -> None:
    card = model(by_late_payments)
    run = await Runs(books, card).whole()
    assert (run.status, run.total, run.scored, run.changed, run.errors) == ("completed", 1050, 1050, 1050, 0)
    assert sum(run.levels.values()) == 1050
    rows = await books.query(
        "SELECT a.balance AS owed, d.monthly_income AS income, d.late_payments_count AS late, h.*,"
        " s.rank AS current_rank, s.inputs_hash AS current_hash, s.points AS current_points"
        " FROM account a JOIN debtor d ON d.id = a.debtor_id"
        " JOIN account_score_history h ON h.account_id = a.id"
        " JOIN account_score s ON s.account_id = a.id WHERE a.agency_id = %s",
        books.agency_id,
    )
    assert len(rows) == 1050
    for row in rows:
        late = 6 if row["late"] is None else row["late"]
        score = card.score(10_000 - max(500, 9_333 - 700 * late), row["owed"], threshold=THRESHOLD)
        found = (row["total"], row["level"], row["priority"], row["rank"], row["high_priority"])
        assert found == (score.total, score.level, score.priority, score.rank, score.high_priority)
        facts = DebtorFacts.model_validate({name: row[name] for name in FACT_NAMES})
        assert (row["balance"], facts.monthly_income) == (row["owed"], row["income"])
        assert facts.contract_type is facts.industry_sector is facts.family_situation is None
        assert row["inputs_hash"] == inputs_hash(row["owed"], facts, card.used_facts) == row["current_hash"]
        assert (row["current_rank"], row["points"], row["current_points"]) == (row["rank"], [], [])


async def test_an_unchanged_portfolio_is_not_written_again(books: Books) -> None:
    runs = Runs(books, model(by_late_payments))
    await runs.whole()
    again = await runs.whole()
    assert (again.scored, again.changed) == (1050, 0)
    assert len(await books.mine("id", "account_score_history")) == 1050


async def test_accounts_without_an_answer_are_reported_and_the_others_scored(books: Books) -> None:
    def gaps(frame: pl.DataFrame) -> list[Any]:
        bad = [float("nan"), None, 1.5, -0.5]
        late = frame["late_payments_count"]
        return [0.4 if count is not None else bad[n % 4] for n, count in enumerate(late)]

    run = await Runs(books, model(gaps)).whole()
    unknown = await books.query(
        "SELECT a.id FROM account a JOIN debtor d ON d.id = a.debtor_id"
        " WHERE a.agency_id = %s AND d.late_payments_count IS NULL ORDER BY 1",
        books.agency_id,
    )
    assert len(unknown) > 50
    assert (run.status, run.scored, run.errors) == ("completed", 1050 - len(unknown), len(unknown))
    errors = await books.mine("account_id, error", "scoring_error", "account_id")
    assert [row["account_id"] for row in errors] == [row["id"] for row in unknown]
    assert {row["error"].split(" gave ")[1].split(" as ")[0].split(" of ")[0] for row in errors} == {
        "nan",
        "no probability",
        "1.5",
        "-0.5",
    }
    assert len(await books.mine("account_id", "account_score")) == 1050 - len(unknown)


async def test_a_former_score_stands_while_its_place_in_the_queue_follows_the_account(books: Books) -> None:
    account = await books.account("7")
    await Runs(books, model(lambda frame: [0.5] * frame.height)).named(account)
    [before] = await books.mine("*", "account_score")
    await books.query("UPDATE account SET status = 'disputed', version = version + 1 WHERE id = %s", account)
    done = await Runs(books, model(lambda frame: [float("nan")] * frame.height)).named(account)
    assert (done.scored, done.errors) == (0, 1)
    [after] = await books.mine("*", "account_score")
    assert (before["queued"], after["queued"]) == (True, False)
    assert after == before | {"queued": False, "account_version": before["account_version"] + 1}


@pytest.mark.parametrize(
    ("predict", "fault"),
    [
        (lambda frame: 1 / 0, "raised ZeroDivisionError"),
        (lambda frame: [0.5] * (frame.height - 1), "answered 399 probabilities, for 400 accounts"),
        (lambda frame: ["likely"] * frame.height, "answered something else than numbers"),
    ],
)
async def test_a_model_that_fails_fails_the_chunk_and_writes_nothing(
    books: Books, predict: Callable[[pl.DataFrame], Any], fault: str
) -> None:
    runs = Runs(books, model(predict))
    run = await runs.open()
    with pytest.raises(ModelFailed, match=fault) as failed:
        await runs.score(run, 0)
    assert not failed.value.retryable
    assert await books.mine("account_id", "account_score") == []
    assert await books.mine("account_id", "scoring_error") == []


async def test_what_changes_an_account_is_not_lost_to_a_model_that_fails(books: Books) -> None:
    account = await books.account("7")
    await Runs(books, model(lambda frame: [0.5] * frame.height)).named(account)
    broken = model(lambda frame: 1 / 0)
    await books.query("UPDATE agency SET scorecard = 'payment-model' WHERE id = %s", books.agency_id)
    async with books.db.transaction(books.tenant) as tx:
        await tx.session.execute(
            text("UPDATE account SET status = 'closed' WHERE id = :id"),
            {"id": account},
        )
        await rescore(tx, {"payment-model": broken}, [account])
    [row] = await books.query("SELECT status FROM account WHERE id = %s", account)
    assert row["status"] == "closed"
    [score] = await books.mine("total, queued", "account_score")
    assert score == {"total": 5000, "queued": False}


async def test_two_scorings_in_one_transaction_do_not_mix(books: Books) -> None:
    first, second = await books.account("1"), await books.account("2")
    card = model(by_late_payments)
    async with books.db.transaction(books.tenant) as tx:
        kept = await tx.scorecards.keep(card)
        for account in (first, second):
            done = await tx.scores.score_accounts([account], card, kept, threshold=None)
            assert (done.scored, done.changed) == (1, 1)
    assert len(await books.mine("account_id", "account_score")) == 2


async def test_an_account_is_scored_as_it_was_read_while_it_changes(books: Books) -> None:
    account = await books.account("3")
    [row] = await books.query("SELECT balance FROM account WHERE id = %s", account)

    def slow(frame: pl.DataFrame) -> list[float]:
        with psycopg.connect(books.superuser_url) as elsewhere:
            elsewhere.execute(
                "UPDATE account SET balance = 1, version = version + 1 WHERE id = %s", [account]
            )
        return [0.5] * frame.height

    card = model(slow)
    await Runs(books, card).named(account)
    [stored] = await books.mine("rank, inputs_hash", "account_score")
    assert stored["rank"] == card.score(5_000, row["balance"]).rank
    [kept] = await books.mine("balance", "account_score_history")
    assert kept["balance"] == row["balance"]


@pytest.mark.parametrize("catalogue", ["none", "another version"])
async def test_a_run_refuses_another_model_than_it_was_opened_with(books: Books, catalogue: str) -> None:
    runs = Runs(books, model(by_late_payments))
    run = await runs.open()
    other = {} if catalogue == "none" else {"payment-model": model(by_late_payments, version=2)}
    runs.steps = ScoringActivities(books.db, other)
    with pytest.raises(ModelChanged, match="payment-model version 1 is not the one this run was opened with"):
        await runs.score(run, 0)


async def test_either_kind_is_read_back_as_it_was_kept(books: Books) -> None:
    card = model(by_late_payments)
    async with books.db.transaction(books.tenant) as tx:
        for scorer in (card, *builtin_scorecards().values()):
            scorer_id = await tx.scorecards.keep(scorer)
            assert await tx.scorecards.keep(scorer) == scorer_id
            stored = await tx.scorecards.get(scorer_id)
            assert type(stored) is type(scorer)
            assert stored.digest == scorer.digest
            assert stored.model_dump() == scorer.model_dump()
