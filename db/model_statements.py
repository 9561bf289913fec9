"""The statements by which accounts go to a plugged-in model and its scores come back.

Accounts are read once, into a temporary table: what the model was shown is what is stored with its score,
however long it thinks.
"""

from db.score_statements import DEBTOR_OF_ACCOUNT, QUEUED, inputs
from domain.scoring.facts import FACT_NAMES

_FACTS = ", ".join(FACT_NAMES)
_TYPES = {"monthly_income": "numeric(14, 2)", "late_payments_count": "integer"}
_FACT_COLUMNS = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in FACT_NAMES)

MAKE_TABLES = (
    f"""CREATE TEMPORARY TABLE IF NOT EXISTS model_input (
            account_id uuid, collector_id uuid, queued boolean, account_version integer,
            debtor_version integer, balance numeric(14, 2), {_FACT_COLUMNS}, inputs_hash bytea)
        ON COMMIT DROP""",
    """CREATE TEMPORARY TABLE IF NOT EXISTS model_score (
            account_id uuid, total integer, level text, priority smallint, rank bigint,
            high_priority boolean)
        ON COMMIT DROP""",
    "TRUNCATE model_input, model_score",
)
"""Both tables, empty: a transaction may score more than once."""

COPY_SCORES = """
    COPY model_score (account_id, total, level, priority, rank, high_priority) FROM STDIN (FORMAT csv)
"""

READ = """
    SELECT account_id::text, CAST(balance * 100 AS bigint), {facts} FROM model_input ORDER BY account_id
""".format(
    facts=", ".join(
        "CAST(monthly_income * 100 AS bigint)" if name == "monthly_income" else name for name in FACT_NAMES
    )
)
"""The columns of ``db.model_scoring.INPUTS``; always in the same order, so that a model may count on it."""

SCORED = f"""
    SELECT account_id, collector_id, queued, account_version, debtor_version, balance, {_FACTS}, inputs_hash,
           total, level, priority, rank, high_priority, CAST('{{}}' AS smallint[]) AS points
      FROM model_input JOIN model_score USING (account_id)"""
"""To be written as ``score_statements.scored_by_sql`` is."""

KEEP_UP = """
    WITH stale AS (
        SELECT s.account_id, i.queued, i.collector_id, i.account_version
          FROM model_input i JOIN account_score s ON s.agency_id = :agency AND s.account_id = i.account_id
         WHERE i.account_version >= s.account_version
           AND (s.queued <> i.queued OR s.collector_id IS DISTINCT FROM i.collector_id
                OR s.account_version <> i.account_version)
           AND NOT EXISTS (SELECT FROM model_score m WHERE m.account_id = i.account_id)
         ORDER BY s.account_id FOR UPDATE OF s)
    UPDATE account_score s
       SET queued = stale.queued, collector_id = stale.collector_id, account_version = stale.account_version
      FROM stale WHERE s.agency_id = :agency AND s.account_id = stale.account_id
"""
"""Accounts without an answer keep their score, yet are queued and shown as their row is now.

The row's version goes along, so that a score of an older row that is still under way does not undo it.
"""


def read_inputs(accounts: str, used: tuple[str, ...]) -> str:
    """Read ``accounts`` (of ``score_statements``) as they are now; values as there."""
    return f"""
    INSERT INTO model_input (account_id, collector_id, queued, account_version, debtor_version,
                             balance, {_FACTS}, inputs_hash)
    SELECT a.id, a.assigned_to, {QUEUED}, a.version, d.version, {inputs(used)}
      FROM {accounts} {DEBTOR_OF_ACCOUNT}"""
