"""Carries out one scoring run, step by step as its workflow does: a process that can be killed."""

import asyncio
import sys
from uuid import UUID

from temporalio.testing import ActivityEnvironment

from activities.scoring import ChunkRef, ScoringActivities, ScoringRequest
from db.cipher import ColumnCipher, parse_keys
from db.scorecard_files import builtin_scorecards
from db.session import Database
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from workflows.scoring import CHUNKS_AT_ONCE


async def main(url: str, agency_id: UUID, run_id: UUID, batch_size: int) -> None:
    """Begin the run or go on with it, to its end."""
    db = Database(url, ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS)))
    steps, worker = ScoringActivities(db, builtin_scorecards()), ActivityEnvironment()
    request = ScoringRequest(agency_id=agency_id, origin="manual", run_id=run_id, batch_size=batch_size)
    ref = await worker.run(steps.open, request)
    if not await worker.run(steps.begin, ref):
        raise RuntimeError("another run has the turn")
    limit = asyncio.Semaphore(CHUNKS_AT_ONCE)

    async def score(chunk: int) -> None:
        async with limit:
            part = ChunkRef(agency_id=agency_id, run_id=run_id, chunk=chunk)
            await ActivityEnvironment().run(steps.score_chunk, part)

    await asyncio.gather(*(score(chunk) for chunk in await worker.run(steps.open_chunks, ref)))
    await worker.run(steps.finish, ref)
    await db.close()


if __name__ == "__main__":
    where, agency, run, batch = sys.argv[1:]
    asyncio.run(main(where, UUID(agency), UUID(run), int(batch)))
