"""The statements that write scores: current ones, history and notices in one pass over some accounts.

A score is written where it differs from the one that is there, so that scoring an unchanged
portfolio again reads and compares, and writes nothing. Rows are locked in the order of account ids, as
everywhere. Statements look rows up by key one by one and never depend on statistics: a portfolio that
has just come in is unknown to the planner.
"""

from collections.abc import Sequence

from domain.scoring.facts import FACT_NAMES, NUMERIC_FACTS

QUEUED = "a.status = ANY(:workable) AND a.balance > 0 AND NOT a.held AND NOT a.promised"
"""Whether an account ``a`` is to be worked: settled, closed, disputed and held accounts are not, nor those
whose debtor has promised to pay, until the promise is kept or broken."""

ACCOUNTS_IN_RANGE = """(
    SELECT * FROM account WHERE agency_id = :agency AND id BETWEEN :first AND :last) a"""

_KEYED_ACCOUNT = """
    CROSS JOIN LATERAL (
        SELECT * FROM account WHERE agency_id = :agency AND id = named.account_id LIMIT 1) a"""

ACCOUNTS_OF_BUCKET = f"""(
    SELECT DISTINCT unnest(account_ids) AS account_id FROM import_bucket
     WHERE agency_id = :agency AND import_id = :import AND bucket = :chunk) named{_KEYED_ACCOUNT}"""

ACCOUNTS_NAMED = f"unnest(CAST(:accounts AS uuid[])) AS named(account_id){_KEYED_ACCOUNT}"

DEBTOR_OF_ACCOUNT = """
    CROSS JOIN LATERAL (SELECT * FROM debtor WHERE agency_id = :agency AND id = a.debtor_id LIMIT 1) d"""

_FACT_COLUMNS = ", ".join(FACT_NAMES)
_TYPES = {name: "numeric" if name == "monthly_income" else "integer" for name in NUMERIC_FACTS}


def inputs(used: Sequence[str]) -> str:
    """The columns that a scorer sees of account ``a`` and debtor ``d``, and their hash.

    ``balance``, every fact (null unless it is among ``used``) and ``inputs_hash``, which equals
    ``domain.scoring.facts.inputs_hash``.
    """
    facts = [
        f"d.{name}" if name in used else f"CAST(NULL AS {_TYPES.get(name, 'text')}) AS {name}"
        for name in FACT_NAMES
    ]
    hashed = ", ".join(["a.balance::text", *(f"d.{name}::text" for name in FACT_NAMES if name in used)])
    digest = f"sha256(convert_to(jsonb_build_array({hashed})::text, 'UTF8'))"
    return f"a.balance, {', '.join(facts)}, {digest} AS inputs_hash"


def scored_by_sql(accounts: str, score: str, used: Sequence[str]) -> str:
    """Accounts with their score, computed where they lie; ``score`` is from ``db.scorecard_sql``."""
    return f"""
    SELECT a.id AS account_id, a.assigned_to AS collector_id, {QUEUED} AS queued,
           a.version AS account_version, d.version AS debtor_version, {inputs(used)},
           s.total, s.level, s.priority, s.rank, s.high_priority, s.points
      FROM {accounts} {DEBTOR_OF_ACCOUNT}
      CROSS JOIN LATERAL {score} s"""


_SCORE = ("total", "level", "priority", "rank", "high_priority", "points")
_ROW = ("collector_id", "queued", *_SCORE, "inputs_hash", "account_version", "debtor_version")
_SCORE_LIST = ", ".join(_SCORE)
_ROW_LIST = ", ".join(_ROW)
PRESENT_SCORE = """
    LEFT JOIN LATERAL (
        SELECT * FROM account_score WHERE agency_id = :agency AND account_id = n.account_id LIMIT 1
    ) o ON true"""
"""The score ``o`` that the account of a new score ``n`` has, if it has one."""

DIFFERS = """(o.scorecard_id <> :card OR o.inputs_hash <> n.inputs_hash
        OR o.total <> n.total OR o.rank <> n.rank OR o.priority <> n.priority OR o.points <> n.points)"""
"""Whether a new score ``n`` is another than ``o``."""


def write(scored: str) -> str:
    """Write the rows of ``scored`` that say something new; one row comes back for each risk level.

    Its columns: ``level``, ``scored`` and ``high_priority`` (accounts), and, the same in each row,
    ``changed``: accounts whose score was written, and ``outrun``: accounts left out because another
    transaction has scored them meanwhile from rows of which at least one is newer. Values: ``agency``,
    ``card``, ``threshold``, ``run`` (or null) and those of ``scored``. To tell which rows are newer,
    their versions are written even where the score stays the same.
    """
    return f"""
    WITH scored AS MATERIALIZED ({scored}),
    compared AS MATERIALIZED (
        SELECT n.*, o.account_id IS NULL OR {DIFFERS} AS rescored,
               COALESCE(o.high_priority AND o.queued, false) AS known_high,
               -- Not the transaction's start: one that had to wait for another comes after it.
               CASE WHEN o.account_id IS NULL OR {DIFFERS} THEN statement_timestamp()
                    ELSE o.scored_at END AS scored_at
          FROM scored n {PRESENT_SCORE}
         WHERE o.account_id IS NULL OR {DIFFERS} OR o.queued <> n.queued
            OR o.collector_id IS DISTINCT FROM n.collector_id
            OR o.account_version <> n.account_version OR o.debtor_version <> n.debtor_version),
    written AS (
        INSERT INTO account_score (account_id, agency_id, {_ROW_LIST}, scorecard_id, scored_at)
        SELECT account_id, :agency, {_ROW_LIST}, :card, scored_at FROM compared ORDER BY account_id
        ON CONFLICT (account_id) DO UPDATE
           SET {", ".join(f"{name} = excluded.{name}" for name in (*_ROW, "scorecard_id", "scored_at"))}
         WHERE excluded.account_version >= account_score.account_version
           AND excluded.debtor_version >= account_score.debtor_version
        RETURNING account_id),
    history AS (
        INSERT INTO account_score_history (agency_id, account_id, scored_at, run_id, scorecard_id, threshold,
                                           {_SCORE_LIST}, balance, {_FACT_COLUMNS}, inputs_hash)
        SELECT :agency, c.account_id, c.scored_at, :run, :card, :threshold,
               {_SCORE_LIST}, balance, {_FACT_COLUMNS}, inputs_hash
          FROM compared c JOIN written USING (account_id) WHERE c.rescored),
    noticed AS (
        INSERT INTO high_priority_notice (agency_id, account_id, run_id, rank, total, level)
        SELECT :agency, c.account_id, :run, c.rank, c.total, c.level
          FROM compared c JOIN written USING (account_id)
         WHERE c.high_priority AND c.queued AND NOT c.known_high
         ORDER BY c.account_id
        ON CONFLICT (account_id) WHERE delivered_at IS NULL DO NOTHING)
    SELECT level, count(*) AS scored, count(*) FILTER (WHERE high_priority) AS high_priority,
           (SELECT count(*) FROM compared JOIN written USING (account_id) WHERE rescored) AS changed,
           (SELECT count(*) FROM compared) - (SELECT count(*) FROM written) AS outrun
      FROM scored GROUP BY level"""


def write_first(scored: str) -> str:
    """``write`` for accounts that were never scored, which nothing has to be compared with."""
    return f"""
    WITH scored AS MATERIALIZED ({scored}),
    written AS (
        INSERT INTO account_score (account_id, agency_id, {_ROW_LIST}, scorecard_id, scored_at)
        SELECT account_id, :agency, {_ROW_LIST}, :card, now() FROM scored),
    history AS (
        INSERT INTO account_score_history (agency_id, account_id, scored_at, run_id, scorecard_id, threshold,
                                           {_SCORE_LIST}, balance, {_FACT_COLUMNS}, inputs_hash)
        SELECT :agency, account_id, now(), :run, :card, :threshold,
               {_SCORE_LIST}, balance, {_FACT_COLUMNS}, inputs_hash
          FROM scored),
    noticed AS (
        INSERT INTO high_priority_notice (agency_id, account_id, run_id, rank, total, level)
        SELECT :agency, account_id, :run, rank, total, level FROM scored
         WHERE high_priority AND queued)
    SELECT level, count(*) AS scored, count(*) FILTER (WHERE high_priority) AS high_priority,
           (SELECT count(*) FROM scored) AS changed, 0 AS outrun
      FROM scored GROUP BY level"""
