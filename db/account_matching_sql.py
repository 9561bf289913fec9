"""Accounts as a partner states them against ours, set-based; the rules are ``domain.reconciliation``'s."""

from db.account_pairing_sql import POSTED_SINCE, UNNAMED_LINES
from domain.accounts import OPEN_STATUSES
from domain.reconciliation import PAID_REASONS, BreakKind, Cause, PartnerStatus


def _listed(words: frozenset[str] | list[str]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


_STATED = _listed([status.value for status in PartnerStatus])
OPEN = _listed([status.value for status in OPEN_STATUSES])

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
           posted_since = {POSTED_SINCE.format(account="p.account_id", at="pa.processed_at")}
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

# What was sent after they wrote is no money at risk: they have yet to hear of it.
NOT_THERE = f"""
    INSERT INTO found ({_COLUMNS})
    SELECT CASE WHEN s.since THEN '{BreakKind.TIMING}' ELSE '{BreakKind.MISSING_THERE}' END, a.id::text, a.id,
           a.external_ref, NULL::uuid, NULL::integer, a.balance, NULL::numeric, a.status, NULL,
           CASE WHEN s.since THEN %(newest)s ELSE pa.processed_at END,
           CASE WHEN s.since THEN 0 ELSE a.balance END, a.currency, 'not_named',
           CASE WHEN s.since THEN '{Cause.SENT_SINCE}'
                WHEN {UNNAMED_LINES} THEN '{Cause.PERHAPS_UNREADABLE}'
                WHEN pa.processed_at IS NOT NULL THEN '{Cause.NOT_STATED}'
                ELSE '{Cause.NEVER_STATED}' END
      FROM partner_account pa
     CROSS JOIN LATERAL (
        SELECT pa.processed_at IS NULL AND COALESCE(pa.sent_at > %(newest)s, false) AS since) s
      JOIN account a ON a.agency_id = %(agency)s AND a.id = pa.account_id
     WHERE pa.agency_id = %(agency)s AND pa.partner_id = %(partner)s AND a.status IN ({OPEN})
       AND (pa.sent_at IS NULL OR pa.sent_at <= %(asked_at)s OR pa.processed_at IS NOT NULL)
       AND NOT EXISTS (SELECT FROM pair p WHERE p.account_id = pa.account_id)
       AND NOT EXISTS (SELECT FROM unread u WHERE u.account_id = pa.account_id)
"""

# In the order of the indexes, which then grow at their right edge.
KEEP = """
    INSERT INTO partner_account AS pa (partner_id, account_id, agency_id, reference, balance, status,
                                       currency, processed_at, matched_by, statement_id, line, run_id)
    SELECT %(partner)s, p.account_id, %(agency)s, COALESCE(p.reference, p.debtor_ref), p.theirs,
           p.theirs_status, p.theirs_currency, p.at, p.rule, p.statement_id, p.line, %(run)s
      FROM pair p
     WHERE p.counts AND p.account_id IS NOT NULL AND p.stated
     ORDER BY p.account_id
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
        SELECT b.id, b.kind, b.subject, b.account_id, b.rule FROM reconciliation_break b
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
     WHERE %(full)s AND b.rule = 'not_named'
       AND NOT EXISTS (SELECT FROM pair p WHERE p.account_id = b.account_id)
       AND NOT EXISTS (SELECT FROM unread u WHERE u.account_id = b.account_id)
    UNION ALL
    SELECT b.id FROM unseen b
      JOIN pair p ON p.account_id = b.account_id AND p.counts
      LEFT JOIN found f ON f.account_id = b.account_id
                       AND f.kind IN ('{BreakKind.STALE}', '{BreakKind.CURRENCY}')
     WHERE CASE WHEN b.rule = 'not_named' THEN true
                WHEN b.kind IN ('{BreakKind.BALANCE}', '{BreakKind.TIMING}', '{BreakKind.FEE}')
                THEN f.kind IS NULL AND p.theirs IS NOT NULL
                WHEN b.kind = '{BreakKind.STATUS}' THEN f.kind IS NULL AND p.theirs_status IS NOT NULL
                ELSE true END
"""
