"""A portfolio that is scored already: for measuring what reads it. Made by set-based statements, untimed."""

from uuid import UUID

import psycopg

CREDITORS = 20
COLLECTORS = 40
_AT_ONCE = 100_000

_SURROUNDINGS = """
WITH creditors AS (
    INSERT INTO creditor (agency_id, name)
    SELECT %(agency)s, 'Bank ' || n FROM generate_series(1, %(creditors)s) n
), users AS (
    INSERT INTO app_user (agency_id, username, full_name, role, password_hash)
    SELECT %(agency)s, 'bench.collector.' || n, 'Collector ' || n, 'collector', '!'
      FROM generate_series(1, %(collectors)s) n
    RETURNING id, full_name
), collectors AS (
    INSERT INTO collector (agency_id, user_id, full_name) SELECT %(agency)s, id, full_name FROM users
)
SELECT setseed(0.2026)
"""

# Totals are a sum of dice, so they crowd in the middle; amounts are log-normal, as debts are.
_ACCOUNTS = """
WITH drawn AS MATERIALIZED (
    SELECT n, 45 + trunc(405 * (random() + random() + random()) / 3)::int AS total,
           round(exp(random_normal(7, 1.2))::numeric, 2) + 5 AS amount,
           random() < 0.9 AS workable, random() AS owner
      FROM generate_series(%(first)s::int, %(last)s::int) n
), debtors AS (
    INSERT INTO debtor (agency_id, natural_key, full_name, email, phone, city, state)
    SELECT %(agency)s, 'ref:D-' || n, 'Person Number ' || n, 'person' || n || '@example.com',
           '+1214555' || lpad((n %% 10000)::text, 4, '0'), 'Dallas', 'TX'
      FROM drawn
    RETURNING id, substr(natural_key, 7)::int AS n
), placed AS (
    INSERT INTO account (agency_id, creditor_id, debtor_id, external_ref, status, original_amount, balance,
                         account_type, due_date, assigned_to)
    SELECT %(agency)s, creditors.ids[1 + n %% cardinality(creditors.ids)], debtors.id, 'R-' || n,
           CASE WHEN NOT workable THEN 'closed' WHEN owner < 0.6 THEN 'assigned' ELSE 'new' END,
           amount, amount, 'medical', date '2025-01-01' + n %% 365,
           CASE WHEN owner < 0.6 THEN collectors.ids[1 + n %% cardinality(collectors.ids)] END
      FROM drawn JOIN debtors USING (n),
           (SELECT array_agg(id) AS ids FROM creditor WHERE agency_id = %(agency)s) creditors,
           (SELECT array_agg(id) AS ids FROM collector WHERE agency_id = %(agency)s) collectors
    RETURNING id, assigned_to, balance_cents, status, substr(external_ref, 3)::int AS n
), card AS (
    SELECT id FROM scorecard LIMIT 1
)
INSERT INTO account_score (account_id, agency_id, collector_id, queued, rank, total, level, priority,
                           high_priority, points, scorecard_id, scored_at, inputs_hash, account_version,
                           debtor_version)
SELECT placed.id, %(agency)s, assigned_to, workable, balance_cents * total, total,
       CASE WHEN total <= 135 THEN 'LOW' WHEN total <= 270 THEN 'MEDIUM' WHEN total <= 360 THEN 'HIGH'
            ELSE 'CRITICAL' END,
       CASE WHEN balance_cents * total > 50000000 THEN 2 ELSE 0 END + CASE WHEN total > 270 THEN 1 ELSE 0 END,
       balance_cents * total > 50000000, '{5,4,5,5,5,5}', card.id, now(), '', 1, 1
  FROM placed JOIN drawn USING (n), card
"""


async def fill(owner_url: str, agency_id: UUID, accounts: int) -> None:
    """Place ``accounts`` with their scores under an agency that has none; nine in ten are queued.

    As the owner, past row-level security. The scores' scorecard is any that is stored; timeline and
    ledger are left out, for nothing here reads them.
    """
    async with await psycopg.AsyncConnection.connect(owner_url) as connection:
        values = {"agency": agency_id, "creditors": CREDITORS, "collectors": COLLECTORS}
        await connection.execute(_SURROUNDINGS, values)
        for first in range(1, accounts + 1, _AT_ONCE):
            last = min(first + _AT_ONCE - 1, accounts)
            await connection.execute(_ACCOUNTS, {"agency": agency_id, "first": first, "last": last})
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:
        # What autovacuum does to tables that have been there for longer than a minute.
        await connection.execute("VACUUM (ANALYZE) debtor, account, account_score, creditor, collector")
