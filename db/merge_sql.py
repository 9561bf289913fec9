"""The statements that merge a bucket of staged rows; ``db.placements`` runs them in order.

Statements must not rely on statistics: while an agency's first million rows come in, the planner
takes it for one row, and a nested loop of its choice would be quadratic.
"""

from db.accounts import INDEX_ACCOUNTS, PERSON_IS_HELD, SEARCH_DOCUMENT

_MANY_ROWS = 10_000
_SMALL_TABLE_BYTES = 64 << 20

_UNNAMED = "acct:"
"""How the keys of debtors begin whom the file gives no reference: each is of one account."""

_NATURAL_KEY = f"COALESCE('ref:' || s.debtor_ref, '{_UNNAMED}' || c.number || ':' || s.external_ref)"

_SSN = "ssn_last4_encrypted"
_FACTS = (
    "email",
    "phone",
    "address_line1",
    "address_line2",
    "city",
    "state",
    "postal_code",
    "country",
    "monthly_income",
    "late_payments_count",
    "employment_status",
    "contract_type",
    "industry_sector",
    "family_situation",
    _SSN,
)
_FACT_LIST = ", ".join(_FACTS)
_DATES = ("account_type", "due_date", "charge_off_date", "last_payment_date", "itemization_date")
_DATE_LIST = ", ".join(_DATES)


def _changed(columns: tuple[str, ...], staged: str, held: str) -> str:
    return " OR ".join(
        f"({staged}.{name} IS NOT NULL AND {staged}.{name} IS DISTINCT FROM {held}.{name})"
        for name in columns
    )


def _kept(columns: tuple[str, ...], staged: str, held: str) -> str:
    return ", ".join(f"{name} = COALESCE({staged}.{name}, {held}.{name})" for name in columns)


# Buckets are what is done in parallel; workers within one would only get in the way of the next.
MERGE_SETTINGS = """
    SELECT set_config('work_mem', '128MB', true), set_config('max_parallel_workers_per_gather', '0', true)
"""

# Many rows are compared with the agency's rows as a whole, and so are all while the tables are small;
# a few rows are looked up in big tables one by one.
JOIN_WHOLE = f"""
    SELECT set_config('enable_nestloop', CASE
        WHEN reltuples / :count >= {_MANY_ROWS}
          OR least(pg_relation_size('debtor'), pg_relation_size('account')) < {_SMALL_TABLE_BYTES}
        THEN 'off' ELSE 'on' END, true)
      FROM pg_class WHERE oid = CAST(:staged AS regclass)
"""

CREDITORS = """
    INSERT INTO creditor (agency_id, name)
    SELECT DISTINCT CAST(:agency AS uuid), s.creditor_name FROM {staged} s
     WHERE s.record_type IS NULL AND NOT EXISTS (
        SELECT FROM creditor c WHERE c.agency_id = :agency AND c.name = s.creditor_name)
     ORDER BY s.creditor_name
    ON CONFLICT (agency_id, name) DO NOTHING
    RETURNING name
"""

STAGED_DEBTORS = (
    """
    CREATE TEMPORARY TABLE merge_debtor ON COMMIT DROP AS
    WITH keyed AS (
        SELECT DISTINCT ON (natural_key) * FROM (
            SELECT """
    + _NATURAL_KEY
    + """ AS natural_key, s.line, s.debtor_ref, s.full_name, """
    + ", ".join(f"s.{name}" for name in _FACTS)
    + """
              FROM {staged} s
              JOIN creditor c ON c.agency_id = :agency AND c.name = s.creditor_name
             WHERE s.record_type IS NULL AND s.debtor_bucket >= :lo AND s.debtor_bucket < :hi) rows
         ORDER BY natural_key, line DESC)
    SELECT k.*, d.id AS debtor_id, d.ssn_last4_encrypted AS held_ssn
      FROM keyed k LEFT JOIN debtor d ON d.agency_id = :agency AND d.natural_key = k.natural_key
     ORDER BY k.natural_key
"""
)

SSN_PAIRS = """
    SELECT debtor_id, ssn_last4_encrypted AS staged, held_ssn AS held FROM merge_debtor
     WHERE debtor_id IS NOT NULL AND ssn_last4_encrypted IS NOT NULL AND held_ssn IS NOT NULL
"""
DROP_EQUAL_SSN = "UPDATE merge_debtor SET ssn_last4_encrypted = NULL WHERE debtor_id = ANY(:equal)"

INSERT_DEBTORS = f"""
    INSERT INTO debtor (agency_id, natural_key, debtor_ref, full_name, {_FACT_LIST})
    SELECT :agency, natural_key, debtor_ref, full_name, {_FACT_LIST}
      FROM merge_debtor WHERE debtor_id IS NULL ORDER BY natural_key
"""

_AUDIT_CHANGES = """
    INSERT INTO audit_record (agency_id, actor_kind, actor, action, entity, entity_id, old, new)
    SELECT :agency, 'system', :actor, '{entity}.refreshed', '{entity}', id, diff.was, diff.now
      FROM {changed}
      CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(o.key, o.value) AS was, jsonb_object_agg(o.key, n.value) AS now
          FROM jsonb_each(was) o JOIN jsonb_each(is_now) n USING (key) WHERE o.value <> n.value) diff
"""
"""From the rows of a change (``id``, and both states as JSON) the fields that differ, old and new."""


def _state(columns: tuple[str, ...], row: str) -> str:
    """A row's columns as JSON; of SSN digits only whether there are any, or that they changed."""
    pairs = [f"'{name}', {row}.{name}" for name in columns if name != _SSN]
    if _SSN in columns:
        changed = f"old.{_SSN} IS DISTINCT FROM new.{_SSN}" if row == "new" else "false"
        told = f"CASE WHEN {changed} THEN '(changed)' WHEN {row}.{_SSN} IS NOT NULL THEN '(set)' END"
        pairs.append(f"'ssn_last4', {told}")
    return f"jsonb_build_object({', '.join(pairs)})"


UPDATE_DEBTORS = f"""
    WITH locked AS MATERIALIZED (
        SELECT m.* FROM merge_debtor m JOIN debtor d ON d.id = m.debtor_id
         WHERE m.full_name <> d.full_name OR {_changed(_FACTS, "m", "d")}
         ORDER BY m.debtor_id FOR NO KEY UPDATE OF d),
    refreshed AS (
        UPDATE debtor d
           SET full_name = m.full_name, {_kept(_FACTS, "m", "d")},
               version = d.version + 1, updated_at = now()
          FROM locked m WHERE d.id = m.debtor_id
        RETURNING d.id, old.state IS DISTINCT FROM new.state AS moved,
                  {_state(("full_name", *_FACTS), "old")} AS was,
                  {_state(("full_name", *_FACTS), "new")} AS is_now),
    notices AS (
        INSERT INTO lifecycle_notice (agency_id, account_id)
        SELECT :agency, a.id FROM refreshed r JOIN account a ON a.agency_id = :agency AND a.debtor_id = r.id
         WHERE r.moved AND a.admitted_at IS NOT NULL AND a.released_at IS NULL
         ORDER BY a.id
        ON CONFLICT (account_id) DO UPDATE SET noted_at = excluded.noted_at)
    {_AUDIT_CHANGES.format(entity="debtor", changed="refreshed")}
"""
"""Worked accounts of who moved to another state, whose law says when a debt is time-barred, are told."""

OTHER_ACCOUNT_IDS = """(
    SELECT array_agg(a.id ORDER BY a.id)
      FROM merge_debtor m
      JOIN debtor d ON d.agency_id = :agency AND d.id = m.debtor_id AND d.updated_at = now()
      JOIN account a ON a.agency_id = :agency AND a.debtor_id = d.id
     WHERE NOT EXISTS (
        SELECT FROM {staged} s JOIN creditor c ON c.agency_id = :agency AND c.name = s.creditor_name
         WHERE c.id = a.creditor_id AND s.external_ref = a.external_ref))"""
"""Accounts that the file does not name, of debtors it changed: they are scored and indexed anew, too."""

STAGED_ACCOUNTS = (
    """
    CREATE TEMPORARY TABLE merge_account ON COMMIT DROP AS
    WITH keyed AS (
        SELECT s.line, s.record_type, c.id AS creditor_id, s.external_ref, s.original_amount, """
    + ", ".join(f"s.{name}" for name in _DATES)
    + ", "
    + _NATURAL_KEY
    + """ AS natural_key, first_value(s.line) OVER same AS last_line
          FROM {staged} s
          JOIN creditor c ON c.agency_id = :agency AND c.name = s.creditor_name
         WHERE s.bucket >= :lo AND s.bucket < :hi
        WINDOW same AS (PARTITION BY c.id, s.external_ref ORDER BY s.line DESC))
    SELECT uuidv7() AS new_id, k.*, k.line = k.last_line AS taken, d.id AS debtor_id, a.id AS account_id,
           a.original_amount AS placed_amount, a.debtor_id AS placed_debtor_id
      FROM keyed k
      JOIN debtor d ON d.agency_id = :agency AND d.natural_key = k.natural_key
      LEFT JOIN account a ON a.agency_id = :agency AND a.creditor_id = k.creditor_id
                         AND a.external_ref = k.external_ref
     WHERE k.record_type IS NULL
     ORDER BY k.creditor_id, k.external_ref, k.line
"""
)

_IS_NEW = "account_id IS NULL AND taken"

INSERT_ACCOUNTS = f"""
    INSERT INTO account (id, agency_id, creditor_id, debtor_id, external_ref, original_amount, balance,
                         currency, held, {_DATE_LIST})
    SELECT new_id, :agency, creditor_id, debtor_id, external_ref, original_amount, original_amount,
           :currency, {PERSON_IS_HELD.format(debtor="m.debtor_id")}, {_DATE_LIST}
      FROM merge_account m WHERE {_IS_NEW} ORDER BY creditor_id, external_ref
"""

INSERT_JOURNAL = """
    INSERT INTO journal (agency_id, kind, key, description, occurred_at)
    VALUES (:agency, 'placement', :key, 'Placement of ' || CAST(:file AS text), now())
"""

INSERT_POSTINGS = f"""
    INSERT INTO posting (agency_id, journal_id, account_id, debit, credit, amount, currency)
    SELECT :agency, j.id, m.new_id, :receivable, :placements, m.original_amount, :currency
      FROM merge_account m
      CROSS JOIN (SELECT id FROM journal
                   WHERE agency_id = :agency AND kind = 'placement' AND key = :key) j
     WHERE {_IS_NEW}
"""

INSERT_PLACED_EVENTS = f"""
    INSERT INTO timeline_event (agency_id, account_id, kind, description, actor, new, details)
    SELECT :agency, new_id, 'import', 'Placed from ' || CAST(:file AS text), :actor, 'new',
           jsonb_build_object('import_id', CAST(:import AS uuid), 'line', line)
      FROM merge_account WHERE {_IS_NEW}
"""

_TO_REFRESH = f"""
      FROM merge_account m JOIN account a ON a.id = m.account_id
     WHERE m.taken AND ({_changed(_DATES, "m", "a")})"""
ACCOUNTS_TO_REFRESH = f"SELECT a.id {_TO_REFRESH}"

UPDATE_ACCOUNTS = f"""
    WITH locked AS MATERIALIZED (SELECT m.* {_TO_REFRESH} ORDER BY m.account_id FOR NO KEY UPDATE OF a),
    refreshed AS (
        UPDATE account a
           SET {_kept(_DATES, "m", "a")}, version = a.version + 1, updated_at = now()
          FROM locked m WHERE a.id = m.account_id
        RETURNING a.id, m.line, a.admitted_at IS NOT NULL AND a.released_at IS NULL AS worked,
                  {_state(_DATES, "old")} AS was, {_state(_DATES, "new")} AS is_now),
    notices AS (
        INSERT INTO lifecycle_notice (agency_id, account_id)
        SELECT :agency, id FROM refreshed WHERE worked ORDER BY id
        ON CONFLICT (account_id) DO UPDATE SET noted_at = excluded.noted_at),
    audited AS ({_AUDIT_CHANGES.format(entity="account", changed="refreshed")})
    INSERT INTO timeline_event (agency_id, account_id, kind, description, actor, details)
    SELECT :agency, id, 'import', 'Details refreshed from ' || CAST(:file AS text), :actor,
           jsonb_build_object('import_id', CAST(:import AS uuid), 'line', line)
      FROM refreshed
"""

_WARNING = """
    INSERT INTO import_error (agency_id, import_id, line, severity, "column", value, error)
    SELECT :agency, :import, m.line, 'warning', {column}, {value}, {error} FROM merge_account m WHERE {where}
"""
WARN_SUPERSEDED = _WARNING.format(
    column="'external_ref'",
    value="m.external_ref",
    error="'occurs again in line ' || m.last_line || ', which was taken instead of this one'",
    where="NOT m.taken",
)
WARN_AMOUNT = _WARNING.format(
    column="'original_amount'",
    value="m.original_amount::text",
    error="'differs from the placed amount ' || m.placed_amount || ', which stands'",
    where="m.taken AND m.placed_amount <> m.original_amount",
)
WARN_DEBTOR = _WARNING.format(
    column="'debtor_ref'",
    value="''",
    error=f"""CASE WHEN m.natural_key LIKE '{_UNNAMED}%'
                   THEN 'is empty: the account stays with the debtor whom it was placed with'
                   ELSE 'names another debtor than the one the account was placed with, who stays' END""",
    where="m.taken AND m.placed_debtor_id <> m.debtor_id",
)

FIND_BUCKET = """
    SELECT inserted, updated, warnings FROM import_bucket
     WHERE agency_id = :agency AND import_id = :import AND stage = :stage AND bucket = :bucket
"""
ACCOUNT_IDS = "(SELECT array_agg(COALESCE(account_id, new_id)) FROM merge_account WHERE taken)"
NO_ACCOUNT_IDS = "NULL"
MARK_BUCKET = """
    INSERT INTO import_bucket (agency_id, import_id, stage, bucket, inserted, updated, warnings, account_ids)
    VALUES (:agency, :import, :stage, :bucket, :inserted, :updated, :warnings, {account_ids})
"""
COUNT_BUCKET = """
    UPDATE import_job SET buckets_done = buckets_done + 1, updated_at = clock_timestamp()
     WHERE agency_id = :agency AND id = :import
"""

INDEX = INDEX_ACCOUNTS.format(
    document=SEARCH_DOCUMENT,
    accounts="""
      FROM import_bucket b
      CROSS JOIN LATERAL unnest(b.account_ids) AS named(account_id)
      CROSS JOIN LATERAL (
        SELECT * FROM account WHERE agency_id = :agency AND id = named.account_id LIMIT 1) a
      CROSS JOIN LATERAL (
        SELECT * FROM debtor WHERE agency_id = :agency AND id = a.debtor_id LIMIT 1) d
     WHERE b.agency_id = :agency AND b.import_id = :import AND b.bucket = :bucket""",
)
