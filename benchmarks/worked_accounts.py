"""What a day's work leaves in a scored portfolio: documents to search, histories, an import under way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
from psycopg.sql import SQL

from db.accounts import INDEX_ACCOUNTS, SEARCH_DOCUMENT

EVENTS = 60
PAYMENTS = 10
PROMISES = 5
_TICK_S = 1.0
_ALL = (
    "FROM account a JOIN debtor d ON d.agency_id = a.agency_id AND d.id = a.debtor_id"
    " WHERE a.agency_id = %(agency)s"
)
_WORKED = """
WITH worked AS (
    SELECT id, agency_id, currency FROM account WHERE id = ANY (%(accounts)s)
), events AS (
    INSERT INTO timeline_event (agency_id, account_id, kind, description, actor)
    SELECT agency_id, id, 'note', 'Spoke of the balance and when it may be paid, ' || n, 'bench'
      FROM worked, generate_series(1, %(events)s) n
), payments AS (
    INSERT INTO payment (agency_id, account_id, origin, idempotency_key, amount, currency, method, status,
                         failure_code, failure_message, requested_by)
    SELECT agency_id, id, 'request', id || '/' || n, 10 + n, currency, 'card', 'failed', 'card_declined',
           'The card was declined.', 'bench'
      FROM worked, generate_series(1, %(payments)s) n
)
INSERT INTO promise (agency_id, account_id, amount, currency, due_date, status, made_by, resolved_at)
SELECT agency_id, id, 50 + n, currency, current_date - n, 'broken', 'bench', now()
  FROM worked, generate_series(1, %(promises)s) n
"""
_IMPORT = """
INSERT INTO import_job (agency_id, channel, file_name, location, sha256, profile, status, phase,
                        bytes_total, requested_by, started_at)
VALUES (%s, 'upload', 'placements.csv', 'bench/placements.csv', repeat('b', 64), '{}', 'processing',
        'staging', 100000000, 'bench', now())
RETURNING id
"""
_MOVE = """
UPDATE import_job SET total_records = total_records + 5000, processed_ok = processed_ok + 4990,
                      processed_errors = processed_errors + 10,
                      bytes_done = (bytes_done + 600000) % bytes_total,
                      updated_at = clock_timestamp()
"""


async def index(owner_url: str, agency_id: UUID) -> None:
    """Write the documents that searches look at, of every account."""
    async with await psycopg.AsyncConnection.connect(owner_url) as connection:
        statement = INDEX_ACCOUNTS.format(document=SEARCH_DOCUMENT, accounts=_ALL)
        await connection.execute(SQL(statement), {"agency": agency_id})
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:
        await connection.execute("VACUUM (ANALYZE) account_search")


async def work(owner_url: str, accounts: Sequence[str]) -> None:
    """Give these accounts a history: events, payments that failed, promises that were broken."""
    sizes = {"events": EVENTS, "payments": PAYMENTS, "promises": PROMISES}
    async with await psycopg.AsyncConnection.connect(owner_url) as connection:
        await connection.execute(_WORKED, {"accounts": [UUID(one) for one in accounts], **sizes})


@asynccontextmanager
async def importing(owner_url: str, agency_id: UUID) -> AsyncIterator[UUID]:
    """An import whose progress moves every second, as its row does while a file is read."""
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:
        row = await (await connection.execute(_IMPORT, [agency_id])).fetchone()
        if row is None:
            raise RuntimeError("the import of the bench has no id")

        async def move() -> None:
            while True:
                await asyncio.sleep(_TICK_S)
                await connection.execute(_MOVE)

        moving = asyncio.create_task(move())
        try:
            yield row[0]
            if moving.done():
                moving.result()
        finally:
            moving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await moving
