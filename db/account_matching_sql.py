"""Accounts as a partner states them against ours, set-based; the rules are ``domain.reconciliation``'s."""

from domain.accounts import OPEN_STATUSES
from domain.partner_rules import Variants
from domain.reconciliation import PAID_REASONS, BreakKind, Cause, PartnerStatus


def _listed(words: frozenset[str] | list[str]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


_STATED = _listed([status.value for status in PartnerStatus])
OPEN = _listed([status.value for status in OPEN_STATUSES])

_POSTED_SINCE = """
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
                THEN {_POSTED_SINCE.format(account="a.id", at="l.at")} END AS posted_since,
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
                THEN {_POSTED_SINCE.format(account="a.id", at="pa.processed_at")} END,
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
                               THEN {_POSTED_SINCE.format(account="a.id", at="p.at")} END,
           stored_at = (SELECT pa.processed_at FROM partner_account pa
                         WHERE pa.agency_id = %(agency)s AND pa.partner_id = %(partner)s
                           AND pa.account_id = a.id)
      FROM chosen c
      JOIN account a ON a.agency_id = %(agency)s AND a.id = c.account_id
      LEFT JOIN {IN_TRANSIT} t ON t.account_id = a.id
     WHERE c.cause IS NULL AND p.statement_id = c.statement_id AND p.line = c.line
"""

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

TWICE = """
    CREATE TEMPORARY TABLE twice ON COMMIT DROP AS
    SELECT account_id FROM pair WHERE account_id IS NOT NULL GROUP BY account_id HAVING count(*) > 1
"""

NEWEST_COUNTS = """
    UPDATE pair p SET counts = false
      FROM (SELECT p.statement_id, p.line,
                   row_number() OVER (PARTITION BY p.account_id
                                      ORDER BY p.at DESC, p.statement_id DESC, p.line DESC) AS place
              FROM pair p JOIN twice t ON t.account_id = p.account_id) r
     WHERE p.statement_id = r.statement_id AND p.line = r.line AND r.place > 1
"""

FOUND = """
    CREATE TEMPORARY TABLE found (
        kind text, subject text, account_id uuid, account_ref text, payment_id uuid, statement_id uuid,
        line integer, ours numeric(14, 2), theirs numeric(14, 2), ours_status text, theirs_status text,
        theirs_at timestamptz, value numeric(14, 2), currency text, rule text, cause text, resolves text
    ) ON COMMIT DROP
"""

_COLUMNS = (
    "kind, subject, account_id, account_ref, statement_id, line, ours, theirs, ours_status, theirs_status,"
    " theirs_at, value, currency, rule, cause"
)

# In messages, what came later is news; in a file, and of one moment, it is one too many.
DUPLICATES = f"""
    INSERT INTO found ({_COLUMNS})
    SELECT DISTINCT ON (p.account_id)
           '{BreakKind.DUPLICATE}', p.account_id::text, p.account_id, p.external_ref, p.statement_id, p.line,
           p.ours, p.theirs, p.status, p.theirs_status, p.at, COALESCE(abs(p.theirs - w.theirs), 0),
           p.currency, p.rule,
           CASE WHEN (p.theirs, p.theirs_status, p.theirs_currency)
                     IS NOT DISTINCT FROM (w.theirs, w.theirs_status, w.theirs_currency)
                THEN '{Cause.REPEATED}' ELSE '{Cause.CONTRADICTED}' END
      FROM (SELECT p.*, count(*) OVER (PARTITION BY p.account_id, p.statement_id,
                                       CASE WHEN p.channel = 'messages' THEN p.at END) AS times
              FROM pair p JOIN twice t ON t.account_id = p.account_id) p
      JOIN pair w ON w.account_id = p.account_id AND w.counts
     WHERE NOT p.counts AND p.times > 1
     ORDER BY p.account_id, p.at DESC, p.statement_id DESC, p.line DESC
"""

# An older line never stands against a newer one: what was said later is compared instead.
OLDER = f"""
    UPDATE pair p
       SET theirs = pa.balance, theirs_status = pa.status, theirs_currency = pa.currency,
           at = pa.processed_at, statement_id = COALESCE(pa.statement_id, p.statement_id),
           line = COALESCE(pa.line, p.line),
           posted_since = {_POSTED_SINCE.format(account="p.account_id", at="pa.processed_at")}
      FROM partner_account pa
     WHERE pa.agency_id = %(agency)s AND pa.partner_id = %(partner)s AND pa.account_id = p.account_id
       AND p.stored_at > p.at AND p.counts
"""

_AGREE = """
    ({theirs} = {ours}
     OR ({theirs} <> 0 AND {ours} <> 0 AND ({theirs} < 0) = ({ours} < 0)
         AND abs({theirs} - {ours}) <= %(tolerance)s
         AND abs({theirs} - {ours}) * 100 <= %(percent)s * abs({ours})))
"""

_IS_FEE = """
    EXISTS (SELECT FROM unnest(%(fee_fixed)s::numeric[], %(fee_percent)s::numeric[]) AS f (fixed, percent)
             WHERE p.theirs - p.ours = round(f.fixed + f.percent * abs(p.ours) / 100, 2))
"""

_WHY = f"""
    CASE WHEN p.theirs < 0 THEN '{Cause.NEGATIVE_THERE}'
         WHEN p.theirs = 0 THEN '{Cause.PAID_ONLY_THERE}'
         WHEN p.ours = 0 THEN '{Cause.PAID_ONLY_HERE}'
         WHEN p.ours * 100 = p.theirs OR p.theirs * 100 = p.ours THEN '{Cause.DECIMAL_SHIFT}'
         WHEN p.theirs = p.original_amount THEN '{Cause.NO_PAYMENT_KNOWN_THERE}'
         WHEN p.theirs < p.ours THEN '{Cause.LESS_THERE}'
         ELSE '{Cause.MORE_THERE}' END
"""

AMOUNT_KIND = f"""
    CASE WHEN p.at < %(stale_before)s THEN '{BreakKind.STALE}'
         WHEN p.theirs_currency <> p.currency THEN '{BreakKind.CURRENCY}'
         WHEN p.theirs IS NULL OR {_AGREE.format(ours="p.ours", theirs="p.theirs")} THEN NULL
         WHEN p.posted_since <> 0
          AND {_AGREE.format(ours="(p.ours - p.posted_since)", theirs="p.theirs")}
         THEN '{BreakKind.TIMING}'
         WHEN p.in_transit <> 0 AND p.ours - p.in_transit = p.theirs THEN '{BreakKind.TIMING}'
         WHEN {_IS_FEE} THEN '{BreakKind.FEE}'
         ELSE '{BreakKind.BALANCE}' END
"""
"""The first difference of ``domain.reconciliation.judge`` for a row ``p`` of pairs, null for none."""

AMOUNT_CAUSE = f"""
    CASE j.kind
         WHEN '{BreakKind.STALE}' THEN '{Cause.TOO_OLD}'
         WHEN '{BreakKind.CURRENCY}' THEN '{Cause.OTHER_CURRENCY}'
         WHEN '{BreakKind.FEE}' THEN '{Cause.KNOWN_FEE}'
         WHEN '{BreakKind.TIMING}' THEN
              CASE WHEN p.posted_since <> 0
                    AND {_AGREE.format(ours="(p.ours - p.posted_since)", theirs="p.theirs")}
                   THEN '{Cause.POSTED_SINCE}' ELSE '{Cause.IN_TRANSIT}' END
         ELSE {_WHY} END
"""

STATUS_CAUSE = f"""
    CASE WHEN p.theirs_status IS NULL THEN NULL
         WHEN p.theirs_status NOT IN ({_STATED}) THEN '{Cause.UNKNOWN_STATUS}'
         WHEN p.status IN ({OPEN})
         THEN CASE WHEN p.theirs_status = '{PartnerStatus.PAID}' THEN '{Cause.PAID_ONLY_THERE}' END
         WHEN p.status = 'settled' OR p.closed_reason IN ({_listed(PAID_REASONS)})
         THEN CASE WHEN p.theirs_status <> '{PartnerStatus.PAID}' THEN '{Cause.OPEN_THERE}' END
         WHEN p.theirs_status = '{PartnerStatus.PAID}' THEN '{Cause.PAID_ONLY_THERE}'
         ELSE '{Cause.CLOSED_HERE}' END
"""

JUDGED = f"""
    SELECT p.*, v.kind, v.cause
      FROM (SELECT p.*, {AMOUNT_KIND} AS amount_kind, {STATUS_CAUSE} AS status_cause FROM pair p
             WHERE p.counts AND p.account_id IS NOT NULL) p
     CROSS JOIN LATERAL (
        SELECT j.kind, {AMOUNT_CAUSE} AS cause FROM (SELECT p.amount_kind AS kind) j
         WHERE p.amount_kind IS NOT NULL
        UNION ALL
        SELECT '{BreakKind.STATUS}', p.status_cause
         WHERE p.status_cause IS NOT NULL
           AND COALESCE(p.amount_kind, '')
               NOT IN ('{BreakKind.STALE}', '{BreakKind.CURRENCY}', '{BreakKind.TIMING}')) v
     WHERE p.amount_kind IS NOT NULL OR p.status_cause IS NOT NULL
"""
"""``domain.reconciliation.judge`` for all pairs at once: a row for each difference."""

DIFFERENCES = f"""
    INSERT INTO found ({_COLUMNS})
    SELECT p.kind, p.account_id::text, p.account_id, p.external_ref, p.statement_id, p.line, p.ours, p.theirs,
           p.status, p.theirs_status, p.at,
           CASE WHEN p.kind IN ('{BreakKind.BALANCE}', '{BreakKind.TIMING}', '{BreakKind.FEE}')
                THEN abs(p.theirs - p.ours)
                ELSE GREATEST(abs(p.ours), COALESCE(abs(p.theirs), 0)) END,
           p.currency, p.rule, p.cause
      FROM ({JUDGED}) p
"""

# One of each reference: the newest line.
NOT_HERE = f"""
    INSERT INTO found ({_COLUMNS})
    SELECT DISTINCT ON (COALESCE(p.reference, p.debtor_ref))
           CASE WHEN u.cause IN ('{Cause.SEVERAL_ACCOUNTS}', '{Cause.SEVERAL_LINES}')
                THEN '{BreakKind.AMBIGUOUS}' ELSE '{BreakKind.MISSING_HERE}' END,
           COALESCE(p.reference, p.debtor_ref, p.statement_id || '/' || p.line), NULL::uuid,
           COALESCE(p.reference, p.debtor_ref), p.statement_id, p.line, NULL::numeric, p.theirs, NULL,
           p.theirs_status, p.at, COALESCE(abs(p.theirs), 0),
           COALESCE(p.theirs_currency, %(currency)s), 'reference',
           COALESCE(u.cause, '{Cause.UNKNOWN_REFERENCE}')
      FROM pair p
      LEFT JOIN untold u ON u.statement_id = p.statement_id AND u.line = p.line
     WHERE p.account_id IS NULL
     ORDER BY COALESCE(p.reference, p.debtor_ref), p.at DESC, p.statement_id DESC, p.line DESC
"""

NOT_THERE = f"""
    INSERT INTO found ({_COLUMNS})
    SELECT '{BreakKind.MISSING_THERE}', a.id::text, a.id, a.external_ref, NULL::uuid, NULL::integer,
           a.balance, NULL::numeric, a.status, NULL, pa.processed_at, a.balance, a.currency, 'not_named',
           CASE WHEN pa.processed_at IS NOT NULL THEN '{Cause.NOT_STATED}'
                WHEN pa.sent_at > %(newest)s THEN '{Cause.SENT_SINCE}'
                ELSE '{Cause.NEVER_STATED}' END
      FROM partner_account pa
      JOIN account a ON a.agency_id = %(agency)s AND a.id = pa.account_id
     WHERE pa.agency_id = %(agency)s AND pa.partner_id = %(partner)s AND a.status IN ({OPEN})
       AND (pa.sent_at IS NULL OR pa.sent_at <= %(asked_at)s OR pa.processed_at IS NOT NULL)
       AND NOT EXISTS (SELECT FROM pair p WHERE p.account_id = pa.account_id)
       AND NOT EXISTS (SELECT FROM unread u WHERE u.account_id = pa.account_id)
"""

KEEP = """
    INSERT INTO partner_account AS pa (partner_id, account_id, agency_id, reference, balance, status,
                                       currency, processed_at, matched_by, statement_id, line, run_id)
    SELECT %(partner)s, p.account_id, %(agency)s, COALESCE(p.reference, p.debtor_ref), p.theirs,
           p.theirs_status, p.theirs_currency, p.at, p.rule, p.statement_id, p.line, %(run)s
      FROM pair p
     WHERE p.counts AND p.account_id IS NOT NULL AND p.stated
    ON CONFLICT (partner_id, account_id) DO UPDATE
       SET reference = EXCLUDED.reference, balance = EXCLUDED.balance, status = EXCLUDED.status,
           currency = EXCLUDED.currency, processed_at = EXCLUDED.processed_at,
           matched_by = EXCLUDED.matched_by, statement_id = EXCLUDED.statement_id, line = EXCLUDED.line,
           run_id = EXCLUDED.run_id
     WHERE pa.processed_at IS NULL OR pa.processed_at <= EXCLUDED.processed_at
"""

# Whether it is gone can only be told of what was compared: the amounts, the status, or that it is named.
GONE = f"""
    CREATE TEMPORARY TABLE gone ON COMMIT DROP AS
    WITH unseen AS (
        SELECT b.id, b.kind, b.subject, b.account_id FROM reconciliation_break b
         WHERE b.agency_id = %(agency)s AND b.partner_id = %(partner)s AND b.source = 'partner'
           AND b.state <> 'resolved'
           AND NOT EXISTS (SELECT FROM found f WHERE f.kind = b.kind AND f.subject = b.subject))
    SELECT b.id FROM unseen b
     WHERE b.account_id IS NULL
       AND (b.subject IN (SELECT p.reference FROM pair p WHERE p.reference IS NOT NULL
                          UNION ALL SELECT p.debtor_ref FROM pair p WHERE p.debtor_ref IS NOT NULL)
            OR (%(full)s AND NOT EXISTS (SELECT FROM unread_reference u WHERE u.reference = b.subject)))
    UNION ALL
    SELECT b.id FROM unseen b
      JOIN account a ON a.agency_id = %(agency)s AND a.id = b.account_id AND a.status NOT IN ({OPEN})
     WHERE %(full)s
       AND NOT EXISTS (SELECT FROM pair p WHERE p.account_id = b.account_id)
       AND NOT EXISTS (SELECT FROM unread u WHERE u.account_id = b.account_id)
    UNION ALL
    SELECT b.id FROM unseen b
      JOIN pair p ON p.account_id = b.account_id AND p.counts
      LEFT JOIN found f ON f.account_id = b.account_id
                       AND f.kind IN ('{BreakKind.STALE}', '{BreakKind.CURRENCY}')
     WHERE CASE WHEN b.kind IN ('{BreakKind.BALANCE}', '{BreakKind.TIMING}', '{BreakKind.FEE}')
                THEN f.kind IS NULL AND p.theirs IS NOT NULL
                WHEN b.kind = '{BreakKind.STATUS}' THEN f.kind IS NULL AND p.theirs_status IS NOT NULL
                ELSE true END
"""
