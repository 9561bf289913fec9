"""Payments as a bank or processor states them against ours, set-based.

Money that came in is above zero, what went back below it: an *item* is a payment, a refund or a chargeback.
A line finds its item by a reference, else by account, amount and date, else by payer, amount and date; never
by its amount alone.
"""

from db.account_pairing_sql import key_sql
from db.adjustments import ADJUSTED, WENT_BACK
from db.payment_lines_sql import name_key
from domain.partner_rules import Variants
from domain.reconciliation import Cause

# Payments, refunds and chargebacks in one reading, so that all are of one moment. What an item comes to on
# our side (``ours``) is its amount with the adjustments that were posted for it; what ``remains`` of a
# payment is that less what went back of it.
ITEM = f"""
    CREATE TEMPORARY TABLE item ON COMMIT DROP AS
    WITH zone AS (SELECT time_zone FROM agency WHERE id = %(agency)s),
    every AS (
        SELECT p.id AS item_id, p.id AS payment_id, p.amount, p.currency,
               COALESCE(p.received_on, (p.created_at AT TIME ZONE z.time_zone)::date) AS day,
               p.created_at AS at, p.status, p.journal_id IS NOT NULL AS on_ledger, p.account_id, p.method,
               p.journal_id, p.processor_ref AS ref, p.charge_ref AS second_ref, p.reference AS third_ref
          FROM payment p CROSS JOIN zone z WHERE p.agency_id = %(agency)s
        UNION ALL
        SELECT r.id, p.id, -r.amount, r.currency, (r.created_at AT TIME ZONE z.time_zone)::date, r.created_at,
               r.status, r.journal_id IS NOT NULL AND r.undone_by_id IS NULL, p.account_id, p.method,
               NULL, r.processor_ref, p.processor_ref, p.charge_ref
          FROM refund r JOIN payment p ON p.agency_id = %(agency)s AND p.id = r.payment_id CROSS JOIN zone z
         WHERE r.agency_id = %(agency)s
        UNION ALL
        SELECT c.id, p.id, -c.amount, c.currency, (c.created_at AT TIME ZONE z.time_zone)::date, c.created_at,
               c.status, c.journal_id IS NOT NULL AND c.undone_by_id IS NULL, p.account_id, p.method,
               NULL, c.processor_ref, p.processor_ref, p.charge_ref
          FROM chargeback c JOIN payment p ON p.agency_id = %(agency)s AND p.id = c.payment_id
         CROSS JOIN zone z
         WHERE c.agency_id = %(agency)s)
    SELECT e.*, e.amount + COALESCE(x.amount, 0) AS ours,
           e.amount + COALESCE(x.amount, 0) + COALESCE(w.amount, 0) AS remains,
           a.external_ref, d.full_name, NULL::text AS name_key, COALESCE(m.amount, 0) AS matched_before,
           b.payment_id IS NOT NULL AS processor_differs
      FROM every e
      JOIN account a ON a.agency_id = %(agency)s AND a.id = e.account_id
      JOIN debtor d ON d.agency_id = %(agency)s AND d.id = a.debtor_id
      LEFT JOIN (SELECT m.item_id, sum(m.amount) AS amount FROM payment_match m
                  WHERE m.agency_id = %(agency)s AND m.partner_id = %(partner)s
                    AND NOT EXISTS (SELECT FROM stated s
                                     WHERE s.statement_id = m.statement_id AND s.line = m.line)
                  GROUP BY m.item_id) m ON m.item_id = e.item_id
      LEFT JOIN ({ADJUSTED} WHERE b.agency_id = %(agency)s AND b.item_id IS NOT NULL
                  GROUP BY b.item_id) x ON x.item_id = e.item_id
      LEFT JOIN ({WENT_BACK} WHERE j.agency_id = %(agency)s AND j.reverses_id IS NOT NULL
                  GROUP BY j.reverses_id) w ON w.payment = e.journal_id
      LEFT JOIN (SELECT DISTINCT b.payment_id FROM reconciliation_break b
                  WHERE b.agency_id = %(agency)s AND b.source = 'processor' AND b.state <> 'resolved') b
             ON b.payment_id = e.payment_id
"""

TABLES = (
    """
    CREATE TEMPORARY TABLE candidate (
        statement_id uuid, line integer, item_id uuid, rule text) ON COMMIT DROP
    """,
    """
    CREATE TEMPORARY TABLE matched (
        statement_id uuid, line integer, item_id uuid, rule text, amount numeric(14, 2),
        PRIMARY KEY (statement_id, line)) ON COMMIT DROP
    """,
    """
    CREATE TEMPORARY TABLE untold (
        statement_id uuid, line integer, item_id uuid, cause text, PRIMARY KEY (statement_id, line)
    ) ON COMMIT DROP
    """,
    "ANALYZE stated",
    "ANALYZE item",
)

_SAME_WAY = "sign(s.amount) = sign(i.amount) AND s.amount <> 0"
_NEAR = "abs(s.paid_on - i.day) <= %(window)s"
_FREE = """
    NOT EXISTS (SELECT FROM candidate c WHERE c.statement_id = s.statement_id AND c.line = s.line)
"""
_UNTAKEN = """
    i.matched_before = 0 AND i.status NOT IN ('failed', 'canceled')
    AND NOT EXISTS (SELECT FROM matched m WHERE m.item_id = i.item_id)
"""

BY_REFERENCE = f"""
    INSERT INTO candidate
    SELECT s.statement_id, s.line, i.item_id, 'reference' FROM stated s
      JOIN item i ON i.ref = s.payment_ref AND {_SAME_WAY}
    UNION
    SELECT s.statement_id, s.line, i.item_id, 'reference' FROM stated s
      JOIN item i ON i.second_ref = s.payment_ref AND {_SAME_WAY}
    UNION
    SELECT s.statement_id, s.line, i.item_id, 'reference' FROM stated s
      JOIN item i ON i.third_ref = s.payment_ref AND {_SAME_WAY}
    UNION
    SELECT s.statement_id, s.line, i.item_id, 'reference'
      FROM (SELECT s.*, CASE WHEN s.payment_ref ~ %(uuid)s THEN s.payment_ref::uuid END AS id FROM stated s) s
      JOIN item i ON i.item_id = s.id AND {_SAME_WAY}
"""


def variants_sql(variants: Variants) -> str:
    """Lines that no reference has found, by what is left of the references: one item, one line."""
    return f"""
        INSERT INTO candidate
        SELECT DISTINCT s.statement_id, s.line, i.item_id, 'variant'
          FROM (SELECT s.*, {key_sql(variants, "s.payment_ref")} AS key FROM stated s
                 WHERE s.payment_ref IS NOT NULL AND {_FREE}) s
          JOIN (SELECT i.item_id, i.amount, {key_sql(variants, "r.ref")} AS key
                  FROM item i CROSS JOIN LATERAL (VALUES (i.ref), (i.second_ref), (i.third_ref)) r (ref)
                 WHERE r.ref IS NOT NULL AND {_UNTAKEN}
                   AND NOT EXISTS (SELECT FROM candidate c WHERE c.item_id = i.item_id)) i
            ON i.key = s.key AND {_SAME_WAY}
    """


# A check number may be that of several payments: the one with this amount is meant, then the one near.
NARROW = f"""
    WITH ranked AS (
        SELECT c.statement_id, c.line, c.item_id,
               rank() OVER (PARTITION BY c.statement_id, c.line
                            ORDER BY (i.amount = s.amount) DESC, (i.matched_before = 0) DESC,
                                     COALESCE({_NEAR}, false) DESC) AS place
          FROM candidate c
          JOIN stated s ON s.statement_id = c.statement_id AND s.line = c.line
          JOIN item i ON i.item_id = c.item_id)
    DELETE FROM candidate c USING ranked r
     WHERE r.place > 1 AND c.statement_id = r.statement_id AND c.line = r.line AND c.item_id = r.item_id
"""

SEVERAL = f"""
    INSERT INTO untold
    SELECT c.statement_id, c.line, NULL, '{Cause.SEVERAL_PAYMENTS}' FROM candidate c
     GROUP BY c.statement_id, c.line HAVING count(*) > 1
    ON CONFLICT DO NOTHING
"""

# Lines of one reference: they add up to the payment, or one of them is it and what goes beyond is too much.
TAKE_REFERENCES = f"""
    WITH named AS (
        SELECT c.statement_id, c.line, c.item_id, c.rule, s.amount, i.amount AS whole, i.matched_before,
               row_number() OVER in_turn AS place,
               abs(sum(s.amount) OVER in_turn + i.matched_before) AS reached,
               count(*) OVER (PARTITION BY c.item_id, s.amount) AS alike
          FROM candidate c
          JOIN stated s ON s.statement_id = c.statement_id AND s.line = c.line
          JOIN item i ON i.item_id = c.item_id
          LEFT JOIN untold u ON u.statement_id = c.statement_id AND u.line = c.line
         WHERE u.line IS NULL
        WINDOW in_turn AS (PARTITION BY c.item_id
                           ORDER BY (s.amount = i.amount) DESC, s.kept DESC,
                                    abs(s.amount) > abs(i.amount), s.paid_on, c.statement_id, c.line
                            ROWS UNBOUNDED PRECEDING)),
    judged AS (
        SELECT n.*, (n.place = 1 AND n.matched_before = 0)
                    OR n.reached <= abs(n.whole)
                                    + least(%(tolerance)s, %(percent)s * abs(n.whole) / 100) AS fits
          FROM named n),
    taken AS (
        INSERT INTO matched
        SELECT j.statement_id, j.line, j.item_id,
               CASE WHEN j.matched_before = 0 AND count(*) OVER (PARTITION BY j.item_id) = 1 THEN j.rule
                    ELSE 'split' END, j.amount
          FROM judged j WHERE j.fits)
    INSERT INTO untold
    SELECT j.statement_id, j.line, j.item_id,
           CASE WHEN j.matched_before <> 0 THEN '{Cause.BOOKED_BEFORE}'
                WHEN j.amount = j.whole OR j.alike > 1 THEN '{Cause.REPEATED}'
                ELSE '{Cause.CONTRADICTED}' END
      FROM judged j WHERE NOT j.fits
"""

_OPEN_LINE = """
    NOT EXISTS (SELECT FROM matched m WHERE m.statement_id = s.statement_id AND m.line = s.line)
    AND NOT EXISTS (SELECT FROM untold u WHERE u.statement_id = s.statement_id AND u.line = s.line)
"""

# In a column of its own, with statistics: joined on the fly, every equal amount would be looked at.
NAMES = f"""
    UPDATE item i SET name_key = n.name_key
      FROM (SELECT i.account_id, {name_key("min(i.full_name)")} AS name_key FROM item i
             GROUP BY i.account_id) n
     WHERE n.account_id = i.account_id
"""

UNNAMED = f"""
    SELECT EXISTS (SELECT FROM stated s WHERE s.payer_key IS NOT NULL AND {_OPEN_LINE})
"""

SAME = {
    "account_amount_date": "i.external_ref = s.account_ref",
    "payer_amount_date": "i.name_key = s.payer_key",
}
"""What must be the same beside amount and date, by the name of the rule."""


def fallback_sql(rule: str) -> str:
    """Lines whose account or payer, amount and date are those of a payment.

    Equal payments of one account pair with equal lines in the order of their dates. What could be a payment
    of several accounts is ambiguous.
    """
    same = SAME[rule]
    return f"""
        WITH possible AS (
            SELECT s.statement_id, s.line, s.amount, s.paid_on, i.item_id, i.account_id, i.day
              FROM stated s
              JOIN item i ON {same} AND i.amount = s.amount AND {_NEAR} AND {_SAME_WAY}
                           AND COALESCE(s.currency = i.currency, true)
             WHERE {_OPEN_LINE} AND {_UNTAKEN}),
        several AS (
            SELECT p.statement_id, p.line FROM possible p
             GROUP BY p.statement_id, p.line HAVING count(DISTINCT p.account_id) > 1),
        told AS (
            INSERT INTO untold SELECT statement_id, line, NULL, '{Cause.SEVERAL_PAYMENTS}' FROM several),
        kept AS (
            INSERT INTO candidate SELECT p.statement_id, p.line, p.item_id, '{rule}' FROM possible p
              JOIN several v ON v.statement_id = p.statement_id AND v.line = p.line),
        one AS (
            SELECT p.* FROM possible p
             WHERE NOT EXISTS (SELECT FROM several v
                                WHERE v.statement_id = p.statement_id AND v.line = p.line)),
        lines AS (
            SELECT o.*, row_number() OVER (PARTITION BY o.account_id, o.amount
                                           ORDER BY o.paid_on, o.statement_id, o.line) AS place
              FROM (SELECT DISTINCT statement_id, line, amount, paid_on, account_id FROM one) o),
        items AS (
            SELECT o.*, row_number() OVER (PARTITION BY o.account_id, o.amount
                                           ORDER BY o.day, o.item_id) AS place
              FROM (SELECT DISTINCT item_id, account_id, amount, day FROM one) o)
        INSERT INTO matched
        SELECT l.statement_id, l.line, i.item_id, '{rule}', l.amount
          FROM lines l
          JOIN items i ON i.account_id = l.account_id AND i.amount = l.amount AND i.place = l.place
         WHERE abs(l.paid_on - i.day) <= %(window)s
    """


def splits_sql(rule: str) -> str:
    """Lines of one account or payer that together are a payment of it, each near its date."""
    same = SAME[rule]
    return f"""
        WITH possible AS (
            SELECT s.statement_id, s.line, s.amount, i.item_id, i.account_id, i.amount AS whole
              FROM stated s
              JOIN item i ON {same} AND abs(s.amount) < abs(i.amount) AND {_NEAR} AND {_SAME_WAY}
                           AND COALESCE(s.currency = i.currency, true)
             WHERE {_OPEN_LINE} AND {_UNTAKEN}),
        summed AS (
            SELECT p.item_id FROM possible p GROUP BY p.item_id, p.whole
            HAVING sum(p.amount) = p.whole AND count(*) > 1),
        parts AS (
            SELECT p.* FROM possible p JOIN summed u ON u.item_id = p.item_id),
        contested AS (
            SELECT DISTINCT p.item_id FROM parts p
             WHERE (p.statement_id, p.line) IN (
                    SELECT statement_id, line FROM parts GROUP BY 1, 2 HAVING count(*) > 1))
        INSERT INTO matched
        SELECT p.statement_id, p.line, p.item_id, 'split', p.amount FROM parts p
         WHERE p.item_id NOT IN (SELECT item_id FROM contested)
    """
