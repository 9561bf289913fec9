"""Which account a partner's line is about, set-based: by its reference, else by what its rules allow."""

from domain.partner_rules import Variants
from domain.reconciliation import Cause

POSTED_SINCE = """
    (SELECT sum(CASE WHEN po.debit = 'receivable' THEN po.amount ELSE -po.amount END)
       FROM posting po JOIN journal j ON j.agency_id = %(agency)s AND j.id = po.journal_id
      WHERE po.account_id = {account} AND 'receivable' IN (po.debit, po.credit)
        AND j.kind <> 'placement' AND j.created_at > {at})
"""
"""What an account's balance has changed by since; asked only of accounts that were touched since."""

IN_TRANSIT = """
    (SELECT py.account_id, sum(py.amount) AS amount FROM payment py
      WHERE py.agency_id = %(agency)s AND py.status IN ('pending', 'processing')
      GROUP BY py.account_id)
"""

# One statement, so that balances and what was posted on them are of one moment.
PAIR = f"""
    CREATE TEMPORARY TABLE pair ON COMMIT DROP AS
    SELECT l.statement_id, l.line, l.channel, l.reference, l.debtor_ref, l.at,
           l.balance AS theirs, l.status AS theirs_status, l.currency AS theirs_currency,
           a.id AS account_id, a.external_ref, a.balance AS ours, a.original_amount, a.currency,
           a.status, a.closed_reason,
           CASE WHEN a.updated_at > l.at AND a.balance <> l.balance
                THEN {POSTED_SINCE.format(account="a.id", at="l.at")} END AS posted_since,
           t.amount AS in_transit, pa.processed_at AS stored_at, 'reference'::text AS rule, true AS counts,
           true AS stated
      FROM (SELECT l.statement_id, l.line, s.channel, l.account_ref AS reference, l.debtor_ref,
                   COALESCE(l.processed_at, s.newest_at, s.created_at) AS at, l.balance, l.status, l.currency
              FROM statement_line l JOIN statement s ON s.agency_id = %(agency)s AND s.id = l.statement_id
             WHERE l.agency_id = %(agency)s AND l.statement_id = ANY (%(statements)s)
               AND l.problem IS NULL) l
      LEFT JOIN account a ON a.agency_id = %(agency)s AND a.external_ref = l.reference
      LEFT JOIN partner_account pa
             ON pa.agency_id = %(agency)s AND pa.partner_id = %(partner)s AND pa.account_id = a.id
      LEFT JOIN {IN_TRANSIT} t ON t.account_id = a.id
"""

# Accounts that messages have named since the last comparison of everything: what they said still counts.
RESTATED = f"""
    INSERT INTO pair
    SELECT pa.statement_id, pa.line, 'messages', pa.reference, NULL, pa.processed_at,
           pa.balance, pa.status, pa.currency,
           a.id, a.external_ref, a.balance, a.original_amount, a.currency, a.status, a.closed_reason,
           CASE WHEN a.updated_at > pa.processed_at AND a.balance <> pa.balance
                THEN {POSTED_SINCE.format(account="a.id", at="pa.processed_at")} END,
           t.amount, pa.processed_at, pa.matched_by, true, false
      FROM partner_account pa
      JOIN account a ON a.agency_id = %(agency)s AND a.id = pa.account_id
      LEFT JOIN {IN_TRANSIT} t ON t.account_id = a.id
     WHERE pa.agency_id = %(agency)s AND pa.partner_id = %(partner)s AND pa.processed_at IS NOT NULL
       AND pa.run_id IN (
            SELECT r.id FROM partner_reconciliation r
             WHERE r.agency_id = %(agency)s AND r.partner_id = %(partner)s AND r.status = 'completed'
               AND NOT r.dry_run AND r.scope = 'messages' AND r.created_at > COALESCE((
                    SELECT max(f.created_at) FROM partner_reconciliation f
                     WHERE f.agency_id = %(agency)s AND f.partner_id = %(partner)s AND NOT f.dry_run
                       AND f.status = 'completed' AND f.scope = 'full'), '-infinity'))
       AND NOT EXISTS (SELECT FROM pair p WHERE p.account_id = pa.account_id)
"""

TABLES = (
    """
    CREATE TEMPORARY TABLE candidate (
        statement_id uuid, line integer, reference text, account_id uuid, rule text, rank integer
    ) ON COMMIT DROP
    """,
    # Accounts of which a line may speak that says nothing: they are neither missed nor cured.
    "CREATE TEMPORARY TABLE unread (account_id uuid) ON COMMIT DROP",
    "CREATE TEMPORARY TABLE unread_reference (reference text, of_debtor boolean) ON COMMIT DROP",
    # Lines whose account cannot be told, with the cause.
    """
    CREATE TEMPORARY TABLE untold (
        statement_id uuid, line integer, cause text, PRIMARY KEY (statement_id, line)) ON COMMIT DROP
    """,
)

SEVERAL = """
    WITH several AS (
        SELECT statement_id, line FROM pair WHERE account_id IS NOT NULL
         GROUP BY statement_id, line HAVING count(*) > 1),
    gone AS (
        DELETE FROM pair p USING several s WHERE p.statement_id = s.statement_id AND p.line = s.line
        RETURNING p.*),
    one AS (
        INSERT INTO pair
        SELECT DISTINCT ON (g.statement_id, g.line)
               g.statement_id, g.line, g.channel, g.reference, g.debtor_ref, g.at, g.theirs, g.theirs_status,
               g.theirs_currency, NULL::uuid, NULL, NULL::numeric, NULL::numeric, NULL, NULL, NULL,
               NULL::numeric, NULL::numeric, NULL::timestamptz, g.rule, true, true
          FROM gone g)
    INSERT INTO candidate
    SELECT g.statement_id, g.line, g.reference, g.account_id, 'reference', 1 FROM gone g
"""
"""A reference that several creditors' accounts have; asked only where there are several creditors."""

BY_DEBTOR = """
    INSERT INTO candidate
    SELECT p.statement_id, p.line, p.debtor_ref, a.id, 'debtor', 2
      FROM pair p
      JOIN debtor d ON d.agency_id = %(agency)s AND d.natural_key = 'ref:' || p.debtor_ref
      JOIN account a ON a.agency_id = %(agency)s AND a.debtor_id = d.id
     WHERE p.account_id IS NULL AND p.reference IS NULL AND p.debtor_ref IS NOT NULL
    UNION
    SELECT p.statement_id, p.line, p.debtor_ref, a.id, 'debtor', 2
      FROM (SELECT p.*, CASE WHEN p.debtor_ref ~ %(uuid)s THEN p.debtor_ref::uuid END AS debtor_id
              FROM pair p WHERE p.account_id IS NULL AND p.reference IS NULL) p
      JOIN account a ON a.agency_id = %(agency)s AND a.debtor_id = p.debtor_id
"""

BY_ID = """
    INSERT INTO candidate
    SELECT p.statement_id, p.line, p.reference, a.id, 'id', 2
      FROM (SELECT p.*, CASE WHEN p.reference ~ %(uuid)s THEN p.reference::uuid END AS id
              FROM pair p WHERE p.account_id IS NULL AND p.reference IS NOT NULL) p
      JOIN account a ON a.agency_id = %(agency)s AND a.id = p.id
     WHERE NOT EXISTS (SELECT FROM candidate c WHERE c.statement_id = p.statement_id AND c.line = p.line)
"""

UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


def key_sql(variants: Variants, column: str) -> str:
    """``Variants.key`` of a column, null where nothing is left; prefixes are the value ``prefixes``."""
    key = f"btrim({column}, ' ')"
    if variants.ignore_case:
        key = f'upper({key} COLLATE "C")'
    if variants.strip_prefixes:
        key = f"regexp_replace({key}, %(prefixes)s, '')"
    if variants.ignore_punctuation:
        key = f"regexp_replace({key}, '[^0-9A-Za-z]+', '', 'g')"
    if variants.ignore_leading_zeros:
        key = f"ltrim({key}, '0')"
    return f"NULLIF({key}, '')"


def variants_sql(variants: Variants) -> str:
    """Lines that nothing else has found, by what is left of their references and of ours.

    One account, one line: what a line names exactly is not found by another's variant.
    """
    theirs, ours = key_sql(variants, "p.reference"), key_sql(variants, "a.external_ref")
    return f"""
        INSERT INTO candidate
        SELECT p.statement_id, p.line, p.reference, a.id, 'variant', 3
          FROM (SELECT p.statement_id, p.line, p.reference, {theirs} AS key
                  FROM pair p
                 WHERE p.account_id IS NULL AND p.reference IS NOT NULL
                   AND NOT EXISTS (SELECT FROM candidate c
                                    WHERE c.statement_id = p.statement_id AND c.line = p.line)) p
          JOIN (SELECT a.id, {ours} AS key FROM account a WHERE a.agency_id = %(agency)s) a ON a.key = p.key
    """


TAKEN_VARIANTS = f"""
    WITH taken AS (
        DELETE FROM candidate c
         WHERE c.rule = 'variant' AND EXISTS (SELECT FROM pair p WHERE p.account_id = c.account_id)
        RETURNING c.statement_id, c.line)
    INSERT INTO untold
    SELECT DISTINCT t.statement_id, t.line, '{Cause.RESEMBLES_ANOTHER}' FROM taken t
     WHERE NOT EXISTS (SELECT FROM candidate c
                        WHERE c.statement_id = t.statement_id AND c.line = t.line
                          AND NOT EXISTS (SELECT FROM pair p WHERE p.account_id = c.account_id))
"""

# The partner's own accounts come first: a reference of several means the one that it has.
CHOOSE = f"""
    CREATE TEMPORARY TABLE chosen ON COMMIT DROP AS
    WITH known AS (
        SELECT c.*, pa.account_id IS NOT NULL AS own
          FROM candidate c
          LEFT JOIN partner_account pa ON pa.agency_id = %(agency)s AND pa.partner_id = %(partner)s
                                      AND pa.account_id = c.account_id),
    told AS (
        SELECT k.statement_id, k.line, min(k.reference) AS reference, min(k.rule) AS rule,
               count(*) AS all_of_them, count(*) FILTER (WHERE k.own) AS own,
               (array_agg(k.account_id ORDER BY k.own DESC, k.account_id))[1] AS account_id
          FROM known k GROUP BY k.statement_id, k.line)
    SELECT t.*, CASE WHEN t.all_of_them > 1 AND t.own <> 1 THEN '{Cause.SEVERAL_ACCOUNTS}'
                     WHEN t.rule = 'variant'
                      AND count(*) FILTER (WHERE t.rule = 'variant') OVER a
                        > count(*) FILTER (WHERE t.rule = 'variant') OVER r THEN '{Cause.SEVERAL_LINES}'
                END AS cause
      FROM told t
    WINDOW a AS (PARTITION BY t.account_id), r AS (PARTITION BY t.account_id, t.reference)
"""

AMBIGUOUS = (
    """
    INSERT INTO untold SELECT statement_id, line, cause FROM chosen WHERE cause IS NOT NULL
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO unread
    SELECT DISTINCT c.account_id FROM candidate c
      JOIN untold u ON u.statement_id = c.statement_id AND u.line = c.line
    """,
)

TAKE_CHOSEN = f"""
    UPDATE pair p
       SET account_id = a.id, external_ref = a.external_ref, ours = a.balance,
           original_amount = a.original_amount, currency = a.currency, status = a.status,
           closed_reason = a.closed_reason, rule = c.rule, in_transit = t.amount,
           posted_since = CASE WHEN a.updated_at > p.at AND a.balance <> p.theirs
                               THEN {POSTED_SINCE.format(account="a.id", at="p.at")} END,
           stored_at = (SELECT pa.processed_at FROM partner_account pa
                         WHERE pa.agency_id = %(agency)s AND pa.partner_id = %(partner)s
                           AND pa.account_id = a.id)
      FROM chosen c
      JOIN account a ON a.agency_id = %(agency)s AND a.id = c.account_id
      LEFT JOIN {IN_TRANSIT} t ON t.account_id = a.id
     WHERE c.cause IS NULL AND p.statement_id = c.statement_id AND p.line = c.line
"""

UNNAMED_LINES = """
    EXISTS (SELECT FROM statement_line l
             WHERE l.agency_id = %(agency)s AND l.statement_id = ANY (%(statements)s)
               AND l.problem IS NOT NULL
               AND COALESCE(l.account_ref, l.debtor_ref, l.payment_ref) IS NULL)
"""
"""Whether a line cannot be read and does not even say what it is about."""

UNREAD = (
    """
    INSERT INTO unread_reference
    SELECT DISTINCT COALESCE(l.account_ref, l.debtor_ref), l.account_ref IS NULL FROM statement_line l
     WHERE l.agency_id = %(agency)s AND l.statement_id = ANY (%(statements)s) AND l.problem IS NOT NULL
       AND COALESCE(l.account_ref, l.debtor_ref) IS NOT NULL
    """,
    """
    INSERT INTO unread
    SELECT a.id FROM unread_reference u
      JOIN account a ON a.agency_id = %(agency)s AND a.external_ref = u.reference
     WHERE NOT u.of_debtor
    UNION
    SELECT a.id FROM (SELECT CASE WHEN u.reference ~ %(uuid)s THEN u.reference::uuid END AS id
                        FROM unread_reference u WHERE NOT u.of_debtor) u
      JOIN account a ON a.agency_id = %(agency)s AND a.id = u.id
    UNION
    SELECT a.id FROM unread_reference u
      JOIN debtor d ON d.agency_id = %(agency)s AND d.natural_key = 'ref:' || u.reference
      JOIN account a ON a.agency_id = %(agency)s AND a.debtor_id = d.id
     WHERE u.of_debtor
    UNION
    SELECT a.id FROM (SELECT CASE WHEN u.reference ~ %(uuid)s THEN u.reference::uuid END AS debtor_id
                        FROM unread_reference u WHERE u.of_debtor) u
      JOIN account a ON a.agency_id = %(agency)s AND a.debtor_id = u.debtor_id
    """,
)


def unread_variants_sql(variants: Variants) -> str:
    """Accounts that an unreadable line may name in another way; what it names exactly is that account."""
    theirs, ours = key_sql(variants, "u.reference"), key_sql(variants, "a.external_ref")
    return f"""
        INSERT INTO unread
        SELECT a.id
          FROM (SELECT DISTINCT {theirs} AS key FROM unread_reference u
                 WHERE NOT u.of_debtor
                   AND NOT EXISTS (SELECT FROM account x
                                    WHERE x.agency_id = %(agency)s AND x.external_ref = u.reference)) u
          JOIN (SELECT a.id, {ours} AS key FROM account a WHERE a.agency_id = %(agency)s) a ON a.key = u.key
    """
