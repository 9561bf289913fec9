"""What of a bank's lines about money differs from our payments, is missed, and is gone again."""

from db.account_pairing_sql import UNNAMED_LINES
from domain.reconciliation import BreakKind, Cause

_COLUMNS = (
    "kind, subject, account_id, account_ref, payment_id, statement_id, line, ours, theirs, ours_status,"
    " theirs_status, theirs_at, value, currency, rule, cause"
)

_AGREE = """
    (t.amount = i.ours
     OR (sign(t.amount) = sign(i.ours) AND abs(t.amount - i.ours) <= %(tolerance)s
         AND abs(t.amount - i.ours) * 100 <= %(percent)s * abs(i.ours)))
"""

_IS_FEE = """
    EXISTS (SELECT FROM unnest(%(fee_fixed)s::numeric[], %(fee_percent)s::numeric[]) AS f (fixed, percent)
             WHERE i.ours - t.amount = round(f.fixed + f.percent * abs(i.ours) / 100, 2))
"""

# The bank keeps its fee of what it passes on: it states less than was paid.
DIFFERENCES = f"""
    INSERT INTO found ({_COLUMNS})
    SELECT j.kind, i.item_id::text, i.account_id, i.external_ref, i.payment_id, t.statement_id, t.line,
           i.ours, t.amount, i.status, NULL, t.at,
           CASE WHEN j.kind IN ('{BreakKind.BALANCE}', '{BreakKind.FEE}') THEN abs(t.amount - i.ours)
                ELSE abs(i.amount) END,
           i.currency, t.rule,
           CASE j.kind WHEN '{BreakKind.CURRENCY}' THEN '{Cause.OTHER_CURRENCY}'
                       WHEN '{BreakKind.TIMING}' THEN '{Cause.IN_TRANSIT}'
                       WHEN '{BreakKind.STATUS}' THEN '{Cause.NOT_ON_LEDGER}'
                       WHEN '{BreakKind.FEE}' THEN '{Cause.KNOWN_FEE}'
                       ELSE CASE WHEN i.processor_differs THEN '{Cause.PROCESSOR_DIFFERS}'
                                 WHEN i.ours <> i.amount THEN '{Cause.ADJUSTED_BEFORE}'
                                 ELSE '{Cause.OTHER_AMOUNT}' END END
      FROM (SELECT m.item_id, sum(m.amount) + i.matched_before AS amount, min(m.rule) AS rule,
                   max(s.currency) FILTER (WHERE s.currency <> i.currency) AS other_currency,
                   max(s.paid_on)::timestamp AT TIME ZONE 'UTC' AS at,
                   (array_agg(m.statement_id ORDER BY m.statement_id, m.line))[1] AS statement_id,
                   (array_agg(m.line ORDER BY m.statement_id, m.line))[1] AS line
              FROM matched m
              JOIN stated s ON s.statement_id = m.statement_id AND s.line = m.line
              JOIN item i ON i.item_id = m.item_id
             GROUP BY m.item_id, i.matched_before) t
      JOIN item i ON i.item_id = t.item_id
     CROSS JOIN LATERAL (
        SELECT CASE WHEN t.other_currency IS NOT NULL THEN '{BreakKind.CURRENCY}'
                    WHEN NOT i.on_ledger AND i.status IN ('pending', 'processing') THEN '{BreakKind.TIMING}'
                    WHEN NOT i.on_ledger THEN '{BreakKind.STATUS}'
                    WHEN {_AGREE} THEN NULL
                    WHEN {_IS_FEE} THEN '{BreakKind.FEE}'
                    ELSE '{BreakKind.BALANCE}' END AS kind) j
     WHERE j.kind IS NOT NULL
"""

LINES = f"""
    INSERT INTO found ({_COLUMNS})
    SELECT CASE WHEN u.item_id IS NOT NULL THEN '{BreakKind.DUPLICATE}'
                WHEN u.cause IS NOT NULL THEN '{BreakKind.AMBIGUOUS}'
                ELSE '{BreakKind.MISSING_HERE}' END,
           s.statement_id || '/' || s.line, i.account_id,
           COALESCE(s.payment_ref, s.account_ref, s.payer), i.payment_id, s.statement_id, s.line, i.amount,
           s.amount, i.status, NULL, s.paid_on::timestamp AT TIME ZONE 'UTC', abs(s.amount),
           COALESCE(s.currency, i.currency, %(currency)s), 'reference',
           COALESCE(u.cause, '{Cause.UNKNOWN_REFERENCE}')
      FROM stated s
      LEFT JOIN matched m ON m.statement_id = s.statement_id AND m.line = s.line
      LEFT JOIN untold u ON u.statement_id = s.statement_id AND u.line = s.line
      LEFT JOIN item i ON i.item_id = u.item_id
     WHERE m.line IS NULL
"""

# Payments of which a line may speak that says nothing: they are neither missed nor cured.
UNREAD = """
    CREATE TEMPORARY TABLE unread ON COMMIT DROP AS
    WITH named AS (
        SELECT DISTINCT l.payment_ref, l.account_ref FROM statement_line l
         WHERE l.agency_id = %(agency)s AND l.statement_id = ANY (%(statements)s) AND l.problem IS NOT NULL)
    SELECT i.item_id FROM named n JOIN item i ON i.ref = n.payment_ref
    UNION
    SELECT i.item_id FROM named n JOIN item i ON i.second_ref = n.payment_ref
    UNION
    SELECT i.item_id FROM named n JOIN item i ON i.third_ref = n.payment_ref
    UNION
    SELECT i.item_id FROM named n JOIN item i ON i.item_id::text = lower(n.payment_ref)
    UNION
    SELECT i.item_id FROM named n JOIN item i ON i.external_ref = n.account_ref
     WHERE n.payment_ref IS NULL
"""

# Everything since the partner's first statement must be in one; what is young may be in the next. Of a
# payment only that is missed which did not go back, unless the bank states that it did; what went back of
# one that is missed is so in it already.
NOT_THERE = f"""
    INSERT INTO found ({_COLUMNS})
    WITH absent AS (
        SELECT i.* FROM item i
         WHERE i.on_ledger AND i.matched_before = 0 AND i.method = ANY (%(methods)s)
           AND NOT EXISTS (SELECT FROM unread u WHERE u.item_id = i.item_id)
           AND i.day BETWEEN %(since)s AND %(newest)s
           AND NOT EXISTS (SELECT FROM matched m WHERE m.item_id = i.item_id)
           AND i.item_id NOT IN (SELECT c.item_id FROM untold u
                                   JOIN candidate c ON c.statement_id = u.statement_id AND c.line = u.line)),
    back AS (
        SELECT i.payment_id, sum(i.amount) AS stated FROM item i
         WHERE i.item_id <> i.payment_id AND i.on_ledger
           AND (i.matched_before <> 0 OR EXISTS (SELECT FROM matched m WHERE m.item_id = i.item_id))
         GROUP BY i.payment_id),
    missed AS (
        SELECT a.*, a.remains - COALESCE(b.stated, 0) AS amiss
          FROM absent a LEFT JOIN back b ON b.payment_id = a.item_id
         WHERE a.item_id = a.payment_id
        UNION ALL
        SELECT a.*, a.ours FROM absent a
         WHERE a.item_id <> a.payment_id AND a.payment_id NOT IN (SELECT item_id FROM absent))
    SELECT CASE WHEN i.day > %(newest)s - %(window)s THEN '{BreakKind.TIMING}'
                ELSE '{BreakKind.MISSING_THERE}' END,
           i.item_id::text, i.account_id, i.external_ref, i.payment_id, NULL::uuid, NULL::integer, i.amiss,
           NULL::numeric, i.status, NULL, i.at, abs(i.amiss), i.currency, 'not_named',
           CASE WHEN i.day > %(newest)s - %(window)s THEN '{Cause.IN_TRANSIT}'
                WHEN i.processor_differs THEN '{Cause.PROCESSOR_DIFFERS}'
                WHEN {UNNAMED_LINES} THEN '{Cause.PERHAPS_UNREADABLE}'
                ELSE '{Cause.NEVER_STATED}' END
      FROM missed i WHERE i.amiss <> 0
"""

NEWEST = "SELECT max(s.paid_on) FROM stated s WHERE s.new"

SINCE = """
    SELECT min(l.paid_on) FROM statement_line l
      JOIN statement s ON s.agency_id = %(agency)s AND s.id = l.statement_id
     WHERE l.agency_id = %(agency)s AND s.partner_id = %(partner)s AND l.problem IS NULL
       AND (s.state = 'closed' OR s.id = ANY (%(statements)s))
"""

GONE = """
    CREATE TEMPORARY TABLE gone ON COMMIT DROP AS
    SELECT b.id FROM reconciliation_break b
     WHERE b.agency_id = %(agency)s AND b.partner_id = %(partner)s AND b.source = 'partner'
       AND b.state <> 'resolved'
       AND NOT EXISTS (SELECT FROM found f WHERE f.kind = b.kind AND f.subject = b.subject)
       AND NOT EXISTS (SELECT FROM unread u WHERE u.item_id::text = b.subject)
       AND (b.statement_id IS NOT NULL
            OR EXISTS (SELECT FROM matched m WHERE m.item_id::text = b.subject)
            OR (%(full)s AND EXISTS (SELECT FROM stated s WHERE s.new)))
"""

KEEP = (
    """
    DELETE FROM payment_match m USING stated s
     WHERE m.agency_id = %(agency)s AND m.partner_id = %(partner)s
       AND m.statement_id = s.statement_id AND m.line = s.line
    """,
    """
    INSERT INTO payment_match (statement_id, line, item_id, payment_id, agency_id, partner_id, run_id, rule,
                               amount)
    SELECT m.statement_id, m.line, m.item_id, i.payment_id, %(agency)s, %(partner)s, %(run)s, m.rule, m.amount
      FROM matched m JOIN item i ON i.item_id = m.item_id
    """,
)

THREE_WAY = """
    SELECT count(*) FILTER (WHERE i.on_ledger AND NOT i.processor_differs) AS all_three,
           count(*) FILTER (WHERE i.on_ledger AND i.processor_differs) AS processor_differs,
           count(*) FILTER (WHERE NOT i.on_ledger) AS not_on_ledger
      FROM item i WHERE EXISTS (SELECT FROM matched m WHERE m.item_id = i.item_id)
"""
