"""Lines about money: which are to be matched, and which of them repeat what another statement has said."""

from domain.reconciliation import Cause


def name_key(column: str) -> str:
    """``domain.reconciliation.name_key`` of a column."""
    return f"""
        (SELECT string_agg(w.word, ' ' ORDER BY w.word COLLATE "C")
           FROM regexp_split_to_table(lower({column}), '[^[:alnum:]]+') AS w (word) WHERE w.word <> '')
    """


def identity(line: str) -> str:
    """What is the same of a line and its repetition in another statement."""
    return f"""
        concat_ws(chr(31), {line}.amount, {line}.paid_on, COALESCE({line}.payment_ref, ''),
                  COALESCE({line}.account_ref, ''), lower(COALESCE({line}.payer, '')))
    """


# All that was in question before is compared again: a line of an open break, and the others of its item.
STATED = f"""
    CREATE TEMPORARY TABLE stated ON COMMIT DROP AS
    WITH question AS (
        SELECT b.statement_id, b.line, b.payment_id, b.subject FROM reconciliation_break b
         WHERE b.agency_id = %(agency)s AND b.partner_id = %(partner)s AND b.source = 'partner'
           AND b.state <> 'resolved'),
    again AS (
        SELECT statement_id, line FROM question WHERE statement_id IS NOT NULL
        UNION
        SELECT m.statement_id, m.line FROM payment_match m
          JOIN question q ON q.payment_id = m.payment_id
         WHERE m.agency_id = %(agency)s AND m.partner_id = %(partner)s
           AND (q.subject = m.item_id::text OR q.subject LIKE '%%/%%')),
    lines AS (
        SELECT l.statement_id, l.line, true AS new FROM statement_line l
         WHERE l.agency_id = %(agency)s AND l.statement_id = ANY (%(statements)s) AND l.problem IS NULL
        UNION ALL
        SELECT statement_id, line, false FROM again WHERE statement_id <> ALL (%(statements)s))
    SELECT l.statement_id, l.line, n.new,
           NOT n.new AND EXISTS (
                    SELECT FROM payment_match m
                    WHERE m.agency_id = %(agency)s AND m.partner_id = %(partner)s
                      AND m.statement_id = l.statement_id AND m.line = l.line) AS kept,
           {identity("l")} AS identity, NULLIF(l.payment_ref, '') AS payment_ref, l.account_ref, l.amount,
           l.currency, l.paid_on, l.payer, {name_key("l.payer")} AS payer_key
      FROM lines n
      JOIN statement_line l
        ON l.agency_id = %(agency)s AND l.statement_id = n.statement_id AND l.line = n.line
"""

# What earlier statements have said of the days in question, and what it was found to be. Equal lines of one
# statement are as many payments; the first, the second, … of each statement are the same.
KNOWN = f"""
    CREATE TEMPORARY TABLE known ON COMMIT DROP AS
    SELECT m.statement_id, m.line, m.item_id, {identity("l")} AS identity,
           row_number() OVER (PARTITION BY m.statement_id, {identity("l")} ORDER BY m.line) AS nth
      FROM payment_match m
      JOIN statement_line l
        ON l.agency_id = %(agency)s AND l.statement_id = m.statement_id AND l.line = m.line
     WHERE m.agency_id = %(agency)s AND m.partner_id = %(partner)s
       AND l.paid_on >= (SELECT min(s.paid_on) FROM stated s)
       AND l.paid_on <= (SELECT max(s.paid_on) FROM stated s)
"""

# A line that repeats another is no other money: until that one is matched, nothing is told of it.
REPEATS = """
    CREATE TEMPORARY TABLE repeat ON COMMIT DROP AS
    WITH counted AS (
        SELECT s.statement_id, s.line, s.identity, s.kept, s.new,
               CASE WHEN s.kept THEN 0 ELSE row_number() OVER (
                    PARTITION BY s.statement_id, s.identity, s.kept ORDER BY s.line) END
               + COALESCE(k.lines, 0) AS nth
          FROM stated s
          LEFT JOIN (SELECT k.statement_id, k.identity, count(*) AS lines FROM known k GROUP BY 1, 2) k
                 ON k.statement_id = s.statement_id AND k.identity = s.identity),
    fresh AS (
        SELECT c.*, first_value(c.statement_id) OVER first AS first_statement,
               first_value(c.line) OVER first AS first_line
          FROM counted c WHERE NOT c.kept
        WINDOW first AS (PARTITION BY c.identity, c.nth ORDER BY c.new, c.statement_id, c.line))
    SELECT DISTINCT ON (f.statement_id, f.line) f.statement_id, f.line,
           COALESCE(k.statement_id, f.first_statement) AS of_statement,
           COALESCE(k.line, f.first_line) AS of_line, k.item_id
      FROM fresh f
      LEFT JOIN known k ON k.identity = f.identity AND k.nth = f.nth AND k.statement_id <> f.statement_id
     WHERE k.line IS NOT NULL OR (f.first_statement, f.first_line) <> (f.statement_id, f.line)
     ORDER BY f.statement_id, f.line, k.statement_id, k.line
"""

SET_ASIDE = (
    "ANALYZE known, repeat",
    f"""
    INSERT INTO untold SELECT r.statement_id, r.line, NULL, '{Cause.REPEATED}' FROM repeat r
    """,
)

TELL_REPEATS = (
    """
    DELETE FROM untold u USING repeat r WHERE u.statement_id = r.statement_id AND u.line = r.line
    """,
    f"""
    INSERT INTO untold
    SELECT r.statement_id, r.line, COALESCE(m.item_id, u.item_id, r.item_id),
           CASE WHEN u.line IS NOT NULL AND u.item_id IS NULL THEN u.cause
                WHEN m.line IS NULL AND u.line IS NULL THEN '{Cause.BOOKED_BEFORE}'
                ELSE '{Cause.REPEATED}' END
      FROM repeat r
      LEFT JOIN matched m ON m.statement_id = r.of_statement AND m.line = r.of_line
      LEFT JOIN untold u ON u.statement_id = r.of_statement AND u.line = r.of_line
     WHERE m.line IS NOT NULL OR u.line IS NOT NULL
        OR NOT EXISTS (SELECT FROM stated s
                        WHERE s.statement_id = r.of_statement AND s.line = r.of_line)
    """,
)
"""What became of a line is told of its repetition; one that nothing was found for is repeated as unknown."""
