"""The statements that count an agency's figures, each over whole sets.

Values: ``agency``, ``zone`` (IANA), ``currency``, ``today``, ``open`` (statuses), ``as_of``, ``changes``.
Nobody is the zero UUID.
"""

from domain.figures import LAST_DAY, AgingBucket
from domain.ledger import LedgerAccount

NOBODY = "'00000000-0000-0000-0000-000000000000'"
_CASH, _DEBT = LedgerAccount.CASH.value, LedgerAccount.RECEIVABLE.value
_KINDS = (
    "('payment', 'refund', 'reversal', 'chargeback', 'reinstatement', 'application', 'application_reversal')"
)
RIGHT_PARTY = "contact.conversation AND contact.right_party AND contact.direction = 'outbound'"
"""Attempts in which somebody spoke with the person themselves."""

OWED_BACK = f"('{LedgerAccount.CREDIT_BALANCES.value}', '{LedgerAccount.UNAPPLIED.value}')"
"""The sides of postings that are owed back to debtors."""

COUNTED = (
    *("account", "account_score", "agency", "collector", "contact", "journal", "promise"),
    "reconciliation_break",
)
"""The tables that tell whether there is anything new to count: every figure changes with one of them."""

CHANGES = f"""
    SELECT string_agg(relname || ' ' || n_tup_ins + n_tup_upd + n_tup_del, ', ' ORDER BY relname)
      FROM pg_stat_user_tables
     WHERE schemaname = 'public' AND relname = ANY (ARRAY{list(COUNTED)!r})
""".encode()

_BUCKETS = " ".join(f"WHEN days <= {last} THEN '{bucket}'" for bucket, last in LAST_DAY.items())
_BUCKET = f"CASE WHEN days IS NULL THEN '{AgingBucket.UNKNOWN}' {_BUCKETS} ELSE '{AgingBucket.OVER_90}' END"

_KEEP_DIFFERENCES = """
    gone AS (
        DELETE FROM {table} t WHERE t.agency_id = :agency
           AND NOT EXISTS (SELECT FROM fresh f WHERE {same}))
    INSERT INTO {table} (agency_id, {key}, {values})
    SELECT :agency, {key}, {values} FROM fresh
    ON CONFLICT (agency_id, {key}) DO UPDATE SET ({values}) = ROW ({excluded})
     WHERE ({present}) IS DISTINCT FROM ({excluded})
"""


def _replace(table: str, key: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Makes a table's rows of an agency those of ``fresh``; what is the same is not written."""
    return _KEEP_DIFFERENCES.format(
        table=table,
        same=" AND ".join(f"f.{name} = t.{name}" for name in key),
        key=", ".join(key),
        values=", ".join(values),
        present=", ".join(f"{table}.{name}" for name in values),
        excluded=", ".join(f"excluded.{name}" for name in values),
    )


# One pass over the accounts; what it leaves is some thousand rows, however many accounts there are.
ACCOUNTS = f"""
    WITH alike AS MATERIALIZED (
        SELECT a.status, a.status = ANY (:open) AS open, s.level, a.assigned_to,
               {_BUCKET} AS bucket,
               count(*) AS accounts, sum(a.original_amount) AS placed, sum(a.balance) AS balance
          FROM account a
         CROSS JOIN LATERAL (
            SELECT CAST(:today AS date) - COALESCE(a.due_date, a.charge_off_date) AS days) past
          LEFT JOIN account_score s ON s.agency_id = :agency AND s.account_id = a.id
         WHERE a.agency_id = :agency
         GROUP BY 1, 2, 3, 4, 5),
    fresh AS MATERIALIZED (
        SELECT p.slice, p.part, sum(accounts) AS accounts, sum(placed) AS placed, sum(balance) AS balance
          FROM alike
         CROSS JOIN LATERAL (VALUES
            ('status', status, true), ('risk', COALESCE(level, ''), open), ('aging', bucket, open),
            ('collector', COALESCE(assigned_to, {NOBODY})::text, open)) AS p (slice, part, counts)
         WHERE p.counts
         GROUP BY 1, 2),
    {_replace("account_figure", ("slice", "part"), ("accounts", "placed", "balance"))}
"""

# What goes back of a payment is its collector's who had the account when that was taken. An application
# moves money that was here already, from what is owed back onto a debt: it is of its own time.
_MONEY = f"""
    money AS MATERIALIZED (
        SELECT j.kind, (j.occurred_at AT TIME ZONE :zone)::date AS day, p.account_id,
               COALESCE(o.created_at, j.created_at) AS held_at,
               CASE WHEN j.kind = 'payment' THEN p.cash ELSE 0 END AS received,
               CASE WHEN j.kind IN ('refund', 'reversal')
                      OR j.kind = 'reinstatement' AND NOT starts_with(j.key, 'chargeback/')
                    THEN -p.cash ELSE 0 END AS refunded,
               CASE WHEN j.kind = 'chargeback'
                      OR j.kind = 'reinstatement' AND starts_with(j.key, 'chargeback/')
                    THEN -p.cash ELSE 0 END AS charged_back,
               COALESCE(p.debt, 0) AS collected, COALESCE(p.owed_back, 0) AS owed_back
          FROM journal j
          LEFT JOIN journal o
            ON o.agency_id = :agency AND o.id = j.reverses_id AND j.kind <> 'application'
         CROSS JOIN LATERAL (
            SELECT account_id, sum(amount) AS cash, sum(amount) FILTER (WHERE side = '{_DEBT}') AS debt,
                   sum(amount) FILTER (WHERE side IN {OWED_BACK}) AS owed_back
              FROM (SELECT account_id, CASE debit WHEN '{_CASH}' THEN credit ELSE debit END AS side,
                           CASE debit WHEN '{_CASH}' THEN amount ELSE -amount END AS amount
                      FROM posting
                     WHERE agency_id = :agency AND journal_id = j.id AND '{_CASH}' IN (debit, credit)) sides
             GROUP BY account_id) p
         WHERE j.agency_id = :agency
           AND j.kind IN {_KINDS})
"""

_PEOPLE = """
    people AS MATERIALIZED (
        SELECT u.username, c.id FROM collector c JOIN app_user u ON u.id = c.user_id
         WHERE c.agency_id = :agency)
"""

_HELD_BY = """
    LEFT JOIN LATERAL (
        SELECT CAST(e.details ->> 'collector_id' AS uuid) AS id FROM timeline_event e
         WHERE e.agency_id = :agency AND e.account_id = m.account_id AND e.at <= m.held_at
           AND e.kind = 'assigned'
         ORDER BY e.at DESC, e.id DESC LIMIT 1) k ON true
"""

DAILY_COLUMNS = (
    *("payments", "received", "refunded", "charged_back", "collected", "owed_back"),
    *("attempts", "right_party", "promises_kept", "promises_broken"),
)

DAYS = f"""
    WITH {_PEOPLE}, {_MONEY},
    events AS (
        SELECT m.day, k.id AS collector_id, CASE m.kind WHEN 'payment' THEN 1 ELSE 0 END AS payments,
               m.received, m.refunded, m.charged_back, m.collected, m.owed_back,
               0 AS attempts, 0 AS right_party, 0 AS promises_kept, 0 AS promises_broken
          FROM money m {_HELD_BY}
        UNION ALL
        SELECT (contact.at AT TIME ZONE :zone)::date, p.id, 0, 0, 0, 0, 0, 0,
               count(*), count(*) FILTER (WHERE {RIGHT_PARTY}), 0, 0
          FROM contact LEFT JOIN people p ON p.username = contact.actor
         WHERE contact.agency_id = :agency AND contact.direction = 'outbound'
         GROUP BY 1, 2
        UNION ALL
        SELECT (r.resolved_at AT TIME ZONE :zone)::date, p.id, 0, 0, 0, 0, 0, 0, 0, 0,
               count(*) FILTER (WHERE r.status = 'kept'), count(*) FILTER (WHERE r.status = 'broken')
          FROM promise r LEFT JOIN people p ON p.username = r.made_by
         WHERE r.agency_id = :agency AND r.status IN ('kept', 'broken')
         GROUP BY 1, 2),
    fresh AS MATERIALIZED (
        SELECT day, COALESCE(collector_id, {NOBODY}) AS collector_id,
               {", ".join(f"sum({name}) AS {name}" for name in DAILY_COLUMNS)}
          FROM events GROUP BY 1, 2),
    {_replace("daily_figure", ("day", "collector_id"), DAILY_COLUMNS)}
"""

TOTAL_COLUMNS = (
    *("payments", "received", "refunded", "charged_back", "collected", "owed_back", "attempts"),
    *("right_party", "promises_open", "promises_kept", "promises_broken", "promises_cancelled"),
    *("breaks", "breaks_elsewhere", "breaks_value"),
)

TOTALS = f"""
    INSERT INTO figures (agency_id, as_of, took_ms, changes, today, {", ".join(TOTAL_COLUMNS)})
    SELECT :agency, :as_of, extract(epoch FROM clock_timestamp() - :as_of) * 1000, :changes, :today,
           {", ".join(TOTAL_COLUMNS)}
      FROM (
        SELECT {", ".join(f"COALESCE(sum({name}), 0) AS {name}" for name in DAILY_COLUMNS)}
          FROM daily_figure WHERE agency_id = :agency) days
     CROSS JOIN (
        SELECT count(*) FILTER (WHERE status = 'open') AS promises_open,
               count(*) FILTER (WHERE status = 'cancelled') AS promises_cancelled
          FROM promise WHERE agency_id = :agency) promised
     CROSS JOIN (
        SELECT count(*) AS breaks, count(*) FILTER (WHERE currency <> :currency) AS breaks_elsewhere,
               COALESCE(sum(value) FILTER (WHERE currency = :currency), 0) AS breaks_value
          FROM reconciliation_break WHERE agency_id = :agency AND state <> 'resolved') differing
    ON CONFLICT (agency_id) DO UPDATE
       SET (as_of, took_ms, changes, today, {", ".join(TOTAL_COLUMNS)})
         = ROW (excluded.as_of, excluded.took_ms, excluded.changes, excluded.today,
                {", ".join(f"excluded.{name}" for name in TOTAL_COLUMNS)})
"""
