"""Which partner works an account: at most one, which keeps it for as long as it is worked with."""

from sqlalchemy import text

ASSIGN = text("""
    WITH wanted AS (
        SELECT s.account_id, s.level, a.creditor_id, a.balance
          FROM account_score s
          JOIN account a ON a.agency_id = :agency AND a.id = s.account_id
          LEFT JOIN partner_assignment h ON h.agency_id = :agency AND h.account_id = s.account_id
          LEFT JOIN partner w ON w.agency_id = :agency AND w.id = h.partner_id
         WHERE s.agency_id = :agency AND s.queued AND s.high_priority AND w.active IS NOT TRUE),
    takers AS (
        SELECT p.id, p.creditor_ids, p.risk_levels, p.min_balance, p.share
          FROM partner p
         WHERE p.agency_id = :agency AND p.kind = 'agency' AND p.active AND p.delivery <> 'none'),
    chosen AS (
        SELECT DISTINCT ON (n.account_id) n.account_id, t.id AS partner_id
          FROM wanted n
         CROSS JOIN takers t
          LEFT JOIN partner_account k
            ON k.agency_id = :agency AND k.partner_id = t.id AND k.account_id = n.account_id
           AND k.sent_at IS NOT NULL
         WHERE k.partner_id IS NOT NULL
            OR t.share > 0
           AND (t.creditor_ids = '{}' OR n.creditor_id = ANY (t.creditor_ids))
           AND (t.risk_levels = '{}' OR n.level = ANY (t.risk_levels))
           AND (t.min_balance IS NULL OR n.balance >= t.min_balance)
         ORDER BY n.account_id, k.partner_id IS NULL,
                  -ln((('x' || substr(encode(sha256(convert_to(t.id || '/' || n.account_id, 'UTF8')), 'hex'),
                                      1, 13))::bit(52)::bigint + 0.5::float8) / 4503599627370496)
                  / NULLIF(t.share, 0), t.id)
    INSERT INTO partner_assignment AS h (account_id, agency_id, partner_id)
    SELECT c.account_id, :agency, c.partner_id FROM chosen c WHERE c.partner_id = :partner
     ORDER BY c.account_id
    ON CONFLICT (account_id) DO UPDATE
       SET partner_id = excluded.partner_id, assigned_at = excluded.assigned_at
     WHERE NOT EXISTS (SELECT FROM partner w
                        WHERE w.agency_id = :agency AND w.id = h.partner_id AND w.active)
""")
"""Give a partner its part of the accounts of high priority that no active partner works.

An account goes to whoever was sent it before, else to one of those who take it. Of several, each draws a
number from the account's id and its own, evenly spread over 0 to 1 (the first 52 bits of their SHA-256), and
the least of ``-ln(number) / share`` has it: each gets its share of the sum of theirs, whoever is asked first,
and a partner that comes or goes moves no account between the others (weighted rendezvous hashing;
Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005, the logarithmic method).
"""
