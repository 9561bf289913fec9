"""The statements that close the accounts which a bucket's rows take back; ``db.placements`` runs them.

The people are locked first, then the accounts, both in the order of their ids, in statements of their
own: the closing statement then sees all that commands on these accounts were just about to write.

As in ``db.merge_sql``, nothing relies on statistics.
"""

from db.merge_sql import ACCOUNTS_TO_REFRESH

ANY_RECALLS = """
    SELECT EXISTS (
        SELECT FROM {staged} s
         WHERE s.record_type IS NOT NULL AND s.bucket >= :lo AND s.bucket < :hi)
"""

STAGED_RECALLS = """
    CREATE TEMPORARY TABLE merge_recall ON COMMIT DROP AS
    WITH recalls AS MATERIALIZED (
        SELECT s.line, s.creditor_name, s.external_ref, s.record_type FROM {staged} s
         WHERE s.record_type IS NOT NULL AND s.bucket >= :lo AND s.bucket < :hi),
    latest AS MATERIALIZED (
        SELECT s.creditor_name, s.external_ref, max(s.line) AS last_line FROM {staged} s
         WHERE s.bucket >= :lo AND s.bucket < :hi
           AND (s.creditor_name, s.external_ref) IN (SELECT creditor_name, external_ref FROM recalls)
         GROUP BY s.creditor_name, s.external_ref)
    SELECT r.line, r.external_ref, r.record_type, l.last_line, r.line = l.last_line AS taken,
           a.id AS account_id, a.debtor_id, a.closed_reason, false AS closed_before
      FROM recalls r
      JOIN latest l USING (creditor_name, external_ref)
      LEFT JOIN creditor c ON c.agency_id = :agency AND c.name = r.creditor_name
      LEFT JOIN account a ON a.agency_id = :agency AND a.creditor_id = c.id
                         AND a.external_ref = r.external_ref
"""

LOCK_DEBTORS = """
    SELECT FROM debtor d
     WHERE d.agency_id = :agency AND d.id IN (SELECT debtor_id FROM merge_recall WHERE taken)
     ORDER BY d.id FOR NO KEY UPDATE
"""
LOCK_ACCOUNTS = f"""
    SELECT FROM account a
     WHERE a.agency_id = :agency
       AND a.id IN (SELECT account_id FROM merge_recall WHERE taken UNION {ACCOUNTS_TO_REFRESH})
     ORDER BY a.id FOR NO KEY UPDATE
"""
"""Those that other rows of the bucket refresh, too: all that the transaction changes, in one order."""

SEE_CLOSED = """
    UPDATE merge_recall m SET closed_before = true, closed_reason = a.closed_reason
      FROM account a WHERE a.agency_id = :agency AND a.id = m.account_id AND a.status = :closed
"""

CLOSE_ACCOUNTS = """
    WITH taken_back AS (
        UPDATE account a
           SET status = :closed, promised = false, version = a.version + 1, updated_at = now(),
               closed_reason = CASE m.record_type WHEN :recall THEN :recalled ELSE :putback END
          FROM merge_recall m
         WHERE a.agency_id = :agency AND a.id = m.account_id AND m.taken AND NOT m.closed_before
        RETURNING a.id, m.line, old.status AS was, a.closed_reason AS reason),
    promises AS (
        UPDATE promise p SET status = 'cancelled', resolved_at = now()
          FROM taken_back t WHERE p.agency_id = :agency AND p.account_id = t.id AND p.status = 'open'
        RETURNING p.id, t.id AS account_id, t.line),
    offers AS (
        UPDATE settlement_offer o SET status = 'cancelled', resolved_at = now()
          FROM taken_back t WHERE o.agency_id = :agency AND o.account_id = t.id AND o.status = 'open'
        RETURNING o.id, t.id AS account_id, t.line),
    disputes AS (
        UPDATE dispute d SET status = 'cancelled', answered_at = now()
          FROM taken_back t WHERE d.agency_id = :agency AND d.account_id = t.id AND d.status = 'open'
        RETURNING d.id, t.id AS account_id, t.line),
    plans AS (
        UPDATE payment_plan p
           SET status = 'cancelled', ended_because = 'the account is ' || :closed, paused_because = NULL,
               ended_at = now(), updated_at = now(), version = p.version + 1
          FROM taken_back t
         WHERE p.agency_id = :agency AND p.account_id = t.id AND p.status IN ('active', 'paused')
        RETURNING p.id, t.id AS account_id, t.line, old.status AS was),
    instalments AS (
        UPDATE plan_instalment i SET status = 'cancelled', next_try_on = NULL
          FROM plans p WHERE i.agency_id = :agency AND i.plan_id = p.id
           AND (i.status = 'scheduled' OR i.status = 'missed' AND i.next_try_on IS NOT NULL)),
    notices AS (
        INSERT INTO lifecycle_notice (agency_id, account_id)
        SELECT :agency, id FROM taken_back ORDER BY id
        ON CONFLICT (account_id) DO UPDATE SET noted_at = excluded.noted_at),
    events AS (
        INSERT INTO timeline_event (agency_id, account_id, kind, description, actor, old, new, details)
        SELECT :agency, id, 'status_changed',
               CASE reason WHEN :recalled THEN 'Recalled' ELSE 'Put back' END
               || ' by the creditor in ' || CAST(:file AS text), :actor, was, :closed,
               jsonb_build_object('reason', reason, 'file', CAST(:file AS text),
                                  'import_id', CAST(:import AS uuid), 'line', line)
          FROM taken_back),
    ended AS (
        SELECT 'promise' AS kind, 'promise' AS entity, *, 'open' AS was FROM promises
        UNION ALL SELECT 'offer', 'settlement_offer', *, 'open' FROM offers
        UNION ALL SELECT 'dispute', 'dispute', *, 'open' FROM disputes
        UNION ALL SELECT 'plan', 'payment_plan', * FROM plans),
    events_of_ends AS (
        INSERT INTO timeline_event (agency_id, account_id, kind, description, actor, old, new, details)
        SELECT :agency, account_id, kind, initcap(kind) || ' cancelled: the account is ' || :closed, :actor,
               was, 'cancelled',
               jsonb_build_object(kind || '_id', id, 'import_id', CAST(:import AS uuid), 'line', line)
          FROM ended),
    audited_ends AS (
        INSERT INTO audit_record (agency_id, actor_kind, actor, action, entity, entity_id, new)
        SELECT :agency, 'system', :actor, kind || '.cancelled', entity, id::text,
               jsonb_build_object('account_id', account_id, 'import_id', CAST(:import AS uuid), 'line', line)
          FROM ended),
    audited AS (
        INSERT INTO audit_record (agency_id, actor_kind, actor, action, entity, entity_id, old, new)
        SELECT :agency, 'system', :actor, 'account.moved', 'account', id::text,
               jsonb_build_object('status', was),
               jsonb_build_object('status', CAST(:closed AS text), 'closed_reason', reason,
                                  'import_id', CAST(:import AS uuid), 'line', line)
          FROM taken_back)
    SELECT id FROM taken_back
"""

UNQUEUE = """
    WITH mine AS MATERIALIZED (
        SELECT s.account_id, a.version
          FROM merge_recall m
          JOIN account a ON a.id = m.account_id AND a.status = :closed
          JOIN account_score s ON s.agency_id = :agency AND s.account_id = a.id
         WHERE m.taken AND s.queued
         ORDER BY s.account_id FOR UPDATE OF s)
    UPDATE account_score s
       SET queued = false, account_version = greatest(s.account_version, mine.version)
      FROM mine WHERE s.agency_id = :agency AND s.account_id = mine.account_id
"""
"""Off the worklist at once; the scoring of the import comes later. The version goes along, so that a score of
the row as it was, which may be under way, does not bring the account back."""

_WARNING = """
    INSERT INTO import_error (agency_id, import_id, line, severity, "column", value, error)
    SELECT :agency, :import, m.line, 'warning', 'external_ref', m.external_ref, {error}
      FROM merge_recall m WHERE {where}
"""
WARN_SUPERSEDED = _WARNING.format(
    error="'occurs again in line ' || m.last_line || ', which was taken instead of this one'",
    where="NOT m.taken",
)
WARN_UNKNOWN = _WARNING.format(
    error="'is no account of this creditor, so there is nothing to take back; check the reference'",
    where="m.taken AND m.account_id IS NULL",
)
WARN_CLOSED = _WARNING.format(
    error="'is closed already' || COALESCE(' (' || m.closed_reason || ')', '') || '; nothing was changed'",
    where="m.taken AND m.closed_before",
)
WARNINGS = (WARN_SUPERSEDED, WARN_UNKNOWN, WARN_CLOSED)

ACCOUNT_IDS = """(
    SELECT array_agg(id) FROM (
        SELECT COALESCE(account_id, new_id) AS id FROM merge_account WHERE taken
        UNION SELECT account_id FROM merge_recall WHERE taken AND account_id IS NOT NULL) ids)"""
