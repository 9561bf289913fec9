"""Scoring runs: planned in parts, each account once, only news written, turns taken."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from db.rescoring import rescore
from db.scorecard_files import builtin_scorecards
from db.scoring_runs import IDLE_MINUTES, RunEnded, RunGoing
from db.session import Transaction
from domain.errors import NotFound, Unavailable
from domain.scoring import DebtorFacts
from domain.scoring.facts import FACT_NAMES, inputs_hash
from tests.integration.scoring.conftest import Books

RECOVERY = builtin_scorecards()["recovery-v1"]


@pytest.mark.parametrize("batch_size", [1050, 1051, 1049, 350, 100])
async def test_every_account_is_in_exactly_one_chunk(books: Books, batch_size: int) -> None:
    run = await books.score_all(batch_size=batch_size)
    assert (run.status, run.total, run.scored, run.changed) == ("completed", 1050, 1050, 1050)
    assert run.chunks == run.chunks_done == -(-1050 // batch_size)
    assert len(await books.mine("account_id", "account_score")) == 1050
    assert len(await books.mine("account_id", "account_score_history")) == 1050
    assert sum(run.levels.values()) == 1050


async def test_an_agency_without_accounts_has_an_empty_run(books: Books) -> None:
    for table in ("account", "debtor"):
        await books.query(f"DELETE FROM {table} WHERE agency_id = %s", books.agency_id)  # noqa: S608
    run = await books.score_all()
    assert (run.status, run.total, run.scored, run.levels, run.top) == ("completed", 0, 0, {}, [])


async def test_scores_history_and_inputs_are_those_of_the_rules(books: Books) -> None:
    await books.score_all()
    rows = await books.query(
        "SELECT a.balance, h.*, s.rank AS current_rank, s.inputs_hash AS current_hash"
        " FROM account a JOIN account_score_history h ON h.account_id = a.id"
        " JOIN account_score s ON s.account_id = a.id WHERE a.agency_id = %s",
        books.agency_id,
    )
    assert len(rows) == 1050
    for row in rows:
        facts = DebtorFacts.model_validate({name: row[name] for name in FACT_NAMES})
        score = RECOVERY.score(facts, row["balance"])
        found = (row["total"], row["level"], row["priority"], row["rank"], tuple(row["points"]))
        assert found == (score.total, score.level, score.priority, score.rank, score.points)
        assert row["inputs_hash"] == inputs_hash(row["balance"], facts, RECOVERY.used_facts)
        assert (row["current_rank"], row["current_hash"]) == (row["rank"], row["inputs_hash"])


async def test_what_a_scorecard_does_not_use_is_not_kept_with_its_scores(books: Books) -> None:
    await books.query("UPDATE agency SET scorecard = 'recovery-v1-ecoa' WHERE id = %s", books.agency_id)
    card = builtin_scorecards()["recovery-v1-ecoa"]
    account = await books.account("1")
    async with books.db.transaction(books.tenant) as tx:
        await tx.scores.score_accounts([account], card, await tx.scorecards.keep(card), threshold=None)
    [row] = await books.mine("employment_status, family_situation", "account_score_history")
    assert row["employment_status"] is not None
    assert row["family_situation"] is None


async def test_a_run_over_an_unchanged_portfolio_writes_nothing(books: Books) -> None:
    await books.score_all()
    before = await books.mine("account_id, xmin::text", "account_score")
    run = await books.score_all(batch_size=333)
    assert (run.scored, run.changed) == (1050, 0)
    assert await books.mine("account_id, xmin::text", "account_score") == before
    assert len(await books.mine("id", "account_score_history")) == 1050


async def test_only_what_changed_is_written_and_the_history_keeps_both(books: Books) -> None:
    await books.score_all()
    account = await books.account("7")
    await books.query(
        "UPDATE debtor SET late_payments_count = 40, version = version + 1"
        " WHERE id = (SELECT debtor_id FROM account WHERE id = %s)",
        account,
    )
    run = await books.score_all()
    assert run.changed == 1
    history = await books.query(
        "SELECT late_payments_count, run_id = %s AS by_second FROM account_score_history"
        " WHERE account_id = %s ORDER BY scored_at",
        run.id,
        account,
    )
    assert [row["by_second"] for row in history] == [False, True]
    assert history[1]["late_payments_count"] == 40


@pytest.mark.parametrize("change", ["status = 'disputed'", "status = 'settled'", "status = 'closed'",
                                    "held = true", "balance = 0"])  # fmt: skip
async def test_who_is_not_to_be_worked_is_not_queued(books: Books, change: str) -> None:
    await books.score_all()
    account = await books.account("3")
    # With the version of its score, without which no balance can be changed.
    await books.query(
        "WITH s AS (UPDATE account_score SET account_version = account_version + 1 WHERE account_id = %s)"  # noqa: S608
        f" UPDATE account SET {change}, version = version + 1 WHERE id = %s",
        account,
        account,
    )
    await books.score_all()
    [score] = await books.query("SELECT queued FROM account_score WHERE account_id = %s", account)
    assert score["queued"] is False
    assert len([row for row in await books.mine("queued", "account_score") if row["queued"]]) == 1049


async def late_payments(tx: Transaction, account: UUID, count: int) -> None:
    """Change the debtor of an account, as a command does, and score the account."""
    await tx.session.execute(
        text(
            "UPDATE debtor SET late_payments_count = :count, version = version + 1"
            " WHERE id = (SELECT debtor_id FROM account WHERE id = :account)"
        ),
        {"count": count, "account": account},
    )
    await rescore(tx, builtin_scorecards(), [account])


async def test_a_score_of_older_facts_never_replaces_one_of_newer_facts(books: Books) -> None:
    """The run reads an account, a command changes and scores it, then the run comes to write."""
    await books.score_all()
    account = await books.account("5")
    # Another threshold makes every score new, so that the run wants to write this one, too.
    run = await books.open_run(batch_size=2000, threshold=Decimal(1))
    await books.plan(run)
    async with books.db.transaction(books.tenant) as command:
        await late_payments(command, account, 12)
        work = asyncio.create_task(books.score(run, 0))
        await books.until_somebody_waits_for(await backend_pid(command))
    await work
    assert (await history_of(books, account))[1:] == [12, 12], "the command's, then the run's"
    [score] = await books.query("SELECT debtor_version FROM account_score WHERE account_id = %s", account)
    assert score["debtor_version"] == 2


async def test_two_first_scores_at_once_end_in_one_of_both_changes(books: Books) -> None:
    """One changes the account, the other its debtor: neither has seen the other's row, neither is newer."""
    account = await books.account("6")
    async with books.db.transaction(books.tenant) as tx:
        await tx.scorecards.keep(RECOVERY)
    async with books.db.transaction(books.tenant) as one:
        await one.session.execute(
            text("UPDATE account SET status = 'disputed', version = version + 1 WHERE id = :account"),
            {"account": account},
        )
        await rescore(one, builtin_scorecards(), [account])

        async def other() -> None:
            async with books.db.transaction(books.tenant) as tx:
                await late_payments(tx, account, 12)

        work = asyncio.create_task(other())
        await books.until_somebody_waits_for(await backend_pid(one))
    await work
    [score] = await books.query(
        "SELECT queued, account_version, debtor_version FROM account_score WHERE account_id = %s", account
    )
    assert score == {"queued": False, "account_version": 2, "debtor_version": 2}
    history = await books.query(
        "SELECT late_payments_count FROM account_score_history WHERE account_id = %s ORDER BY scored_at",
        account,
    )
    assert [row["late_payments_count"] for row in history][-1] == 12


async def history_of(books: Books, account: UUID) -> list[int]:
    """The counts of late payments that the scores of an account were made from, oldest first."""
    rows = await books.query(
        "SELECT late_payments_count FROM account_score_history WHERE account_id = %s ORDER BY scored_at",
        account,
    )
    return [row["late_payments_count"] for row in rows]


async def backend_pid(tx: Transaction) -> int:
    """The server process of a transaction."""
    pid: int = await tx.session.scalar(text("SELECT pg_backend_pid()"))
    return pid


async def test_a_score_that_is_always_newer_than_its_account_is_not_raced_for_ever(books: Books) -> None:
    await books.score_all()
    account = await books.account("9")
    await books.query("UPDATE account_score SET account_version = 1000 WHERE account_id = %s", account)
    card = builtin_scorecards()["recovery-v1"]

    async def score() -> None:
        async with books.db.transaction(books.tenant) as tx:
            kept = await tx.scorecards.keep(card)
            await tx.scores.score_accounts([account], card, kept, threshold=None)

    with pytest.raises(Unavailable, match="overtaken"):
        await asyncio.wait_for(score(), 60)
    [score] = await books.query("SELECT account_version FROM account_score WHERE account_id = %s", account)
    assert score["account_version"] == 1000


async def test_high_priority_is_noticed_once_until_it_is_delivered(books: Books) -> None:
    run = await books.score_all()
    high = await books.mine("account_id", "account_score", "rank DESC")
    notices = await books.mine("account_id", "high_priority_notice")
    assert 0 < len(notices) == run.high_priority < len(high)

    await books.score_all(threshold=Decimal(1))
    everyone = await books.mine("account_id", "high_priority_notice")
    assert len(everyone) == len({row["account_id"] for row in everyone}) == 1050


async def test_a_second_run_waits_and_one_by_hand_is_refused(agencies: tuple[Books, Books]) -> None:
    books, theirs = agencies
    run = await books.open_run()
    with pytest.raises(RunGoing) as refused:
        await books.open_run()
    assert refused.value.details["run_id"] == str(run.id)
    assert len(await books.mine("id", "scoring_run")) == 1, "a refused run leaves nothing behind"
    await theirs.open_run()

    async with books.db.transaction(books.tenant) as tx:
        waiting = await tx.scoring_runs.open(
            id=uuid4(), origin="schedule", requested_by="test", scorecard_id=run.scorecard_id,
            threshold=Decimal(1), batch_size=100,
        )  # fmt: skip
        assert not await tx.scoring_runs.begin(waiting.id)
        await tx.scoring_runs.finish(run.id)
        assert await tx.scoring_runs.begin(waiting.id)


async def test_a_run_that_stands_still_lets_the_next_by_and_goes_on_after_it(books: Books) -> None:
    stuck = await books.open_run()
    chunks = await books.plan(stuck)
    await books.score(stuck, chunks[0])
    await books.query(
        "UPDATE scoring_run SET updated_at = now() - make_interval(mins => %s) WHERE id = %s",
        IDLE_MINUTES + 1,
        stuck.id,
    )
    other = await books.open_run()
    with pytest.raises(Unavailable, match="goes on after it"):
        await books.score(stuck, chunks[1])
    async with books.db.transaction(books.tenant) as tx:
        await tx.scoring_runs.finish(other.id)
    for chunk in chunks[1:]:
        await books.score(stuck, chunk)
    async with books.db.transaction(books.tenant) as tx:
        run = await tx.scoring_runs.finish(stuck.id)
    assert (run.status, run.scored) == ("completed", 1050)


async def test_a_run_that_has_failed_has_no_turn_and_no_end(books: Books) -> None:
    run = await books.open_run()
    chunks = await books.plan(run)
    async with books.db.transaction(books.tenant) as tx:
        await tx.scoring_runs.fail(run.id, "the model failed")
    with pytest.raises(RunEnded):
        await books.score(run, chunks[0])
    async with books.db.transaction(books.tenant) as tx:
        with pytest.raises(RunEnded, match="the model failed"):
            await tx.scoring_runs.begin(run.id)
        with pytest.raises(RunEnded):
            await tx.scoring_runs.finish(run.id)
        with pytest.raises(NotFound):
            await tx.scoring_runs.begin(uuid4())


async def test_a_run_at_work_on_a_slow_chunk_is_not_given_up(books: Books, database: Any) -> None:
    slow = await books.open_run()
    chunks = await books.plan(slow)
    await books.query(
        "UPDATE scoring_run SET updated_at = now() - make_interval(mins => %s) WHERE id = %s",
        IDLE_MINUTES + 1,
        slow.id,
    )
    async with await psycopg.AsyncConnection.connect(database.superuser_url) as worker:
        await worker.execute(
            "SELECT FROM scoring_chunk WHERE run_id = %s AND chunk = %s FOR UPDATE", [slow.id, chunks[-1]]
        )
        with pytest.raises(RunGoing):
            await books.open_run()
        await worker.rollback()
    assert await books.score(slow, chunks[0])


async def test_the_summary_names_the_best_accounts_in_the_order_of_the_worklist(books: Books) -> None:
    run = await books.score_all()
    best = await books.query(
        "SELECT account_id::text, rank FROM account_score WHERE agency_id = %s AND queued"
        " ORDER BY rank DESC, account_id LIMIT 10",
        books.agency_id,
    )
    assert [(row["account_id"], row["rank"]) for row in run.top] == [
        (row["account_id"], row["rank"]) for row in best
    ]
