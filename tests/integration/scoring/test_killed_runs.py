"""A run that is killed ten times gives the same tables as a run that never was."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.command_line import CommandLine, Running
from tests.integration.scoring.conftest import Books

KILLS = 10
BATCH = 50
WITHIN_S = 60

IN_LATER_CHUNKS = """
    SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place
                      FROM account WHERE agency_id = %(agency)s) numbered
     WHERE place %% %(batch)s = %(batch)s / 2 AND place >= %(batch)s * %(from)s
"""
WHILE_WRITING = f"""
    INSERT INTO account_score (account_id, agency_id, queued, rank, total, level, priority, high_priority,
                               points, scorecard_id, scored_at, inputs_hash, account_version, debtor_version)
    SELECT a.id, a.agency_id, true, 1, 1, 'LOW', 0, false, '{{}}', s.id, now(), '', 0, 0
      FROM account a CROSS JOIN scorecard s WHERE a.id IN ({IN_LATER_CHUNKS})
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - of constants
WHEN_WRITTEN = f"SELECT FROM account WHERE id IN ({IN_LATER_CHUNKS}) FOR UPDATE"

TABLES = {
    "scores": """
        SELECT a.external_ref, s.queued, s.rank, s.total, s.level, s.priority, s.high_priority, s.points,
               s.inputs_hash, s.account_version, s.debtor_version
          FROM account_score s JOIN account a ON a.id = s.account_id WHERE s.agency_id = %s ORDER BY 1""",
    "history": """
        SELECT a.external_ref, h.rank, h.total, h.level, h.points, h.balance, h.inputs_hash, h.threshold
          FROM account_score_history h JOIN account a ON a.id = h.account_id
         WHERE h.agency_id = %s ORDER BY 1, h.scored_at""",
    "notices": """
        SELECT a.external_ref, n.rank FROM high_priority_notice n JOIN account a ON a.id = n.account_id
         WHERE n.agency_id = %s ORDER BY 1""",
    "chunks": """
        SELECT c.chunk, c.scored, c.changed, c.high_priority, c.levels FROM scoring_chunk c
         WHERE c.agency_id = %s ORDER BY 1""",
    "run": """
        SELECT status, total, scored, changed, errors, high_priority, levels, chunks, chunks_done
          FROM scoring_run WHERE agency_id = %s""",
}


async def tables(books: Books) -> dict[str, Any]:
    """What a run leaves behind, without ids and times."""
    return {name: await books.query(text, books.agency_id) for name, text in TABLES.items()}


CarryOut = Callable[[Books, UUID], Awaitable[Running]]


@pytest.fixture
def carry_out(command_line: CommandLine, database: Any) -> CarryOut:
    """Starts a process that carries out a run."""
    program = Path(__file__).with_name("carry_out.py")

    async def start(books: Books, run_id: UUID) -> Running:
        words = (database.app_url, str(books.agency_id), str(run_id), str(BATCH))
        return await command_line.start(*words, program=program)

    return start


@pytest.mark.timeout(180)
async def test_a_run_that_is_killed_ten_times_gives_the_same_tables(
    agencies: tuple[Books, Books], database: Any, carry_out: CarryOut
) -> None:
    killed, calm = agencies
    run_id = uuid4()
    for kill in range(KILLS):
        await kill_in_chunk(carry_out, database, killed, run_id, kill)
    survivor = await carry_out(killed, run_id)
    _, said = await asyncio.wait_for(survivor.communicate(), WITHIN_S)
    assert survivor.returncode == 0, said.decode()
    await calm.score_all(batch_size=BATCH)

    found = await tables(killed)
    assert found == await tables(calm)
    assert len(found["scores"]) == len(found["history"]) == 1050


async def kill_in_chunk(carry_out: CarryOut, database: Any, books: Books, run_id: UUID, kill: int) -> None:
    """Let the run come some chunks further than the last time, hold it there, and kill it.

    It is held in the middle of writing a chunk's scores, by a row that somebody else is about to
    write, or, every other time, when all are written, by the check of their foreign keys.
    """
    hold = WHILE_WRITING if kill % 2 else WHEN_WRITTEN
    values = {"agency": books.agency_id, "batch": BATCH, "from": 2 * kill + 1}
    async with await psycopg.AsyncConnection.connect(database.superuser_url) as lock:
        await lock.execute(hold.encode(), values)
        process = await carry_out(books, run_id)
        try:
            await books.until_somebody_waits_for(lock.info.backend_pid)
        finally:
            process.kill()
            _, said = await process.communicate()
            assert process.returncode == -signal.SIGKILL, f"it ended before it was held: {said.decode()}"
        await lock.rollback()
