"""The foundation: agencies, accounts, ledger, timeline, imports, scores, with row-level security.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EXTENSIONS = ("pg_trgm", "btree_gin")

TENANT_TABLES = (
    "account",
    "account_score",
    "account_search",
    "audit_record",
    "collector",
    "command",
    "creditor",
    "debtor",
    "import_bucket",
    "import_error",
    "import_job",
    "import_refusal",
    "journal",
    "posting",
    "scoring_chunk",
    "scoring_run",
    "sftp_source",
    "timeline_event",
)
APPEND_ONLY_TABLES = ("audit_record", "journal", "posting", "scorecard", "timeline_event")

TABLES = """
CREATE TABLE agency (
    id UUID DEFAULT uuidv7() NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    time_zone TEXT DEFAULT 'America/New_York' NOT NULL,
    currency TEXT DEFAULT 'USD' NOT NULL,
    scorecard TEXT DEFAULT 'recovery-v1' NOT NULL,
    high_priority_threshold NUMERIC(14, 2) DEFAULT 500000 NOT NULL,
    lifecycle_capacity INTEGER,
    active BOOLEAN DEFAULT true NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_agency PRIMARY KEY (id),
    CONSTRAINT uq_agency_slug UNIQUE (slug),
    CONSTRAINT ck_agency_capacity CHECK (lifecycle_capacity >= 0)
);

CREATE TABLE audit_record (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id UUID,
    actor TEXT NOT NULL,
    ip INET,
    action TEXT NOT NULL,
    entity TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    "old" JSONB,
    "new" JSONB,
    CONSTRAINT pk_audit_record PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX ix_audit_record_agency_id_entity_entity_id_at
    ON audit_record (agency_id, entity, entity_id, at);

CREATE TABLE command (
    agency_id UUID NOT NULL,
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    body_hash BYTEA NOT NULL,
    status INTEGER NOT NULL,
    response JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_command PRIMARY KEY (agency_id, operation, key)
);

CREATE TABLE scorecard (
    id UUID DEFAULT uuidv7() NOT NULL,
    name TEXT NOT NULL,
    definition JSONB NOT NULL,
    sha256 TEXT NOT NULL,
    maximum NUMERIC NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_scorecard PRIMARY KEY (id),
    CONSTRAINT uq_scorecard_sha256 UNIQUE (sha256)
);

CREATE TABLE timeline_event (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    account_id UUID NOT NULL,
    kind TEXT NOT NULL,
    description TEXT NOT NULL,
    actor TEXT NOT NULL,
    "old" TEXT,
    "new" TEXT,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    details JSONB,
    CONSTRAINT pk_timeline_event PRIMARY KEY (account_id, at, id)
) PARTITION BY RANGE (at);

CREATE TABLE app_user (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID,
    username TEXT NOT NULL,
    full_name TEXT NOT NULL,
    email TEXT,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    active BOOLEAN DEFAULT true NOT NULL,
    logins_valid_from TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_app_user PRIMARY KEY (id),
    CONSTRAINT uq_app_user_username UNIQUE (username),
    CONSTRAINT ck_app_user_role CHECK (role IN ('platform_admin', 'agency_admin', 'collector', 'auditor')),
    CONSTRAINT ck_app_user_agency CHECK ((agency_id IS NULL) = (role = 'platform_admin')),
    CONSTRAINT fk_app_user_agency_id_agency FOREIGN KEY(agency_id) REFERENCES agency (id)
);
CREATE INDEX ix_app_user_agency_id ON app_user (agency_id);

CREATE TABLE creditor (
    id UUID DEFAULT uuidv7() NOT NULL,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    agency_id UUID NOT NULL,
    name TEXT NOT NULL,
    is_default BOOLEAN DEFAULT false NOT NULL,
    active BOOLEAN DEFAULT true NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_creditor PRIMARY KEY (id),
    CONSTRAINT uq_creditor_agency_id_name UNIQUE (agency_id, name),
    CONSTRAINT uq_creditor_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT fk_creditor_agency_id_agency FOREIGN KEY(agency_id) REFERENCES agency (id)
);
CREATE UNIQUE INDEX uq_creditor_agency_id_default ON creditor (agency_id) WHERE is_default;

CREATE TABLE debtor (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    natural_key TEXT NOT NULL,
    debtor_ref TEXT,
    full_name TEXT NOT NULL,
    ssn_last4_encrypted BYTEA,
    email TEXT,
    phone TEXT,
    address_line1 TEXT,
    address_line2 TEXT,
    city TEXT,
    state TEXT,
    postal_code TEXT,
    country TEXT,
    monthly_income NUMERIC(14, 2),
    late_payments_count INTEGER,
    employment_status TEXT,
    contract_type TEXT,
    industry_sector TEXT,
    family_situation TEXT,
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_debtor PRIMARY KEY (id),
    CONSTRAINT uq_debtor_agency_id_natural_key UNIQUE (agency_id, natural_key),
    CONSTRAINT uq_debtor_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT ck_debtor_late_payments CHECK (late_payments_count >= 0)
);

CREATE TABLE journal (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    description TEXT NOT NULL,
    reverses_id UUID,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_journal PRIMARY KEY (id),
    CONSTRAINT uq_journal_agency_id_kind_key UNIQUE (agency_id, kind, key),
    CONSTRAINT uq_journal_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT fk_journal_agency_id_agency FOREIGN KEY(agency_id) REFERENCES agency (id),
    CONSTRAINT fk_journal_reverses_id_journal FOREIGN KEY(reverses_id) REFERENCES journal (id)
);

CREATE TABLE collector (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    user_id UUID NOT NULL,
    full_name TEXT NOT NULL,
    max_accounts INTEGER DEFAULT 200 NOT NULL,
    active BOOLEAN DEFAULT true NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_collector PRIMARY KEY (id),
    CONSTRAINT uq_collector_user_id UNIQUE (user_id),
    CONSTRAINT uq_collector_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT ck_collector_max_accounts CHECK (max_accounts >= 0),
    CONSTRAINT fk_collector_agency_id_agency FOREIGN KEY(agency_id) REFERENCES agency (id),
    CONSTRAINT fk_collector_user_id_app_user FOREIGN KEY(user_id) REFERENCES app_user (id)
);

CREATE TABLE refresh_token (
    id UUID DEFAULT uuidv7() NOT NULL,
    user_id UUID NOT NULL,
    family_id UUID NOT NULL,
    token_hash BYTEA NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_refresh_token PRIMARY KEY (id),
    CONSTRAINT uq_refresh_token_token_hash UNIQUE (token_hash),
    CONSTRAINT fk_refresh_token_user_id_app_user FOREIGN KEY(user_id) REFERENCES app_user (id)
);
CREATE INDEX ix_refresh_token_family_id ON refresh_token (family_id);
CREATE INDEX ix_refresh_token_user_id ON refresh_token (user_id);

CREATE TABLE sftp_source (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    creditor_id UUID,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    username TEXT NOT NULL,
    password_encrypted BYTEA,
    private_key_encrypted BYTEA,
    host_key TEXT NOT NULL,
    inbox TEXT DEFAULT '/inbox' NOT NULL,
    profile JSONB DEFAULT '{}'::jsonb NOT NULL,
    active BOOLEAN DEFAULT true NOT NULL,
    last_polled_at TIMESTAMP WITH TIME ZONE,
    last_problem TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_sftp_source PRIMARY KEY (id),
    CONSTRAINT uq_sftp_source_agency_id_name UNIQUE (agency_id, name),
    CONSTRAINT uq_sftp_source_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT fk_sftp_source_agency_id_creditor_id_creditor
        FOREIGN KEY (agency_id, creditor_id) REFERENCES creditor (agency_id, id),
    CONSTRAINT ck_sftp_source_port CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT fk_sftp_source_agency_id_agency FOREIGN KEY(agency_id) REFERENCES agency (id)
);

CREATE TABLE account (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    creditor_id UUID NOT NULL,
    debtor_id UUID NOT NULL,
    external_ref TEXT NOT NULL,
    status TEXT DEFAULT 'new' NOT NULL,
    original_amount NUMERIC(14, 2) NOT NULL,
    balance NUMERIC(14, 2) NOT NULL,
    balance_cents BIGINT GENERATED ALWAYS AS ((balance * 100)::bigint) STORED NOT NULL,
    currency TEXT DEFAULT 'USD' NOT NULL,
    account_type TEXT,
    due_date DATE,
    charge_off_date DATE,
    last_payment_date DATE,
    itemization_date DATE,
    assigned_to UUID,
    closed_reason TEXT,
    admitted_at TIMESTAMP WITH TIME ZONE,
    released_at TIMESTAMP WITH TIME ZONE,
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_account PRIMARY KEY (id),
    CONSTRAINT uq_account_agency_id_creditor_id_external_ref UNIQUE (agency_id, creditor_id, external_ref),
    CONSTRAINT ck_account_status
        CHECK (status IN ('new', 'assigned', 'in_contact', 'negotiating', 'payment_plan',
            'settled', 'disputed', 'closed')),
    CONSTRAINT ck_account_original_amount CHECK (original_amount > 0),
    CONSTRAINT ck_account_balance CHECK (balance >= 0),
    CONSTRAINT uq_account_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT fk_account_agency_id_creditor_id_creditor
        FOREIGN KEY (agency_id, creditor_id) REFERENCES creditor (agency_id, id),
    CONSTRAINT fk_account_agency_id_debtor_id_debtor
        FOREIGN KEY (agency_id, debtor_id) REFERENCES debtor (agency_id, id),
    CONSTRAINT fk_account_agency_id_assigned_to_collector
        FOREIGN KEY (agency_id, assigned_to) REFERENCES collector (agency_id, id)
);
COMMENT ON COLUMN account.admitted_at
    IS 'when its AccountLifecycle was started; null: no workflow was ever needed';
COMMENT ON COLUMN account.released_at IS 'when its AccountLifecycle ended';
CREATE INDEX ix_account_admitted
    ON account (agency_id, id) WHERE admitted_at IS NOT NULL AND released_at IS NULL;
CREATE INDEX ix_account_agency_id_assigned_to_id
    ON account (agency_id, assigned_to, id) WHERE assigned_to IS NOT NULL;
CREATE INDEX ix_account_agency_id_balance_cents_id ON account (agency_id, balance_cents, id);
CREATE INDEX ix_account_agency_id_due_date_id ON account (agency_id, due_date, id);
CREATE INDEX ix_account_agency_id_status_id ON account (agency_id, status, id);
CREATE INDEX ix_account_debtor_id ON account (debtor_id);

CREATE TABLE import_job (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    source_id UUID,
    channel TEXT NOT NULL,
    file_name TEXT NOT NULL,
    location TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    profile JSONB NOT NULL,
    status TEXT DEFAULT 'pending' NOT NULL,
    phase TEXT DEFAULT 'waiting' NOT NULL,
    total_records BIGINT DEFAULT 0 NOT NULL,
    processed_ok BIGINT DEFAULT 0 NOT NULL,
    processed_errors BIGINT DEFAULT 0 NOT NULL,
    warnings BIGINT DEFAULT 0 NOT NULL,
    accounts_created BIGINT DEFAULT 0 NOT NULL,
    accounts_updated BIGINT DEFAULT 0 NOT NULL,
    bytes_total BIGINT DEFAULT 0 NOT NULL,
    bytes_done BIGINT DEFAULT 0 NOT NULL,
    buckets INTEGER DEFAULT 0 NOT NULL,
    buckets_done INTEGER DEFAULT 0 NOT NULL,
    header TEXT[] DEFAULT '{}' NOT NULL,
    unknown_columns TEXT[] DEFAULT '{}' NOT NULL,
    reason TEXT,
    reason_type TEXT,
    requested_by TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_import_job PRIMARY KEY (id),
    CONSTRAINT ck_import_job_status CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    CONSTRAINT ck_import_job_channel CHECK (channel IN ('sftp', 'upload')),
    CONSTRAINT uq_import_job_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT fk_import_job_agency_id_source_id_sftp_source
        FOREIGN KEY (agency_id, source_id) REFERENCES sftp_source (agency_id, id),
    CONSTRAINT fk_import_job_agency_id_agency FOREIGN KEY(agency_id) REFERENCES agency (id)
);
CREATE UNIQUE INDEX uq_import_job_content ON import_job (agency_id, sha256) WHERE status <> 'failed';

CREATE TABLE account_score (
    account_id UUID NOT NULL,
    agency_id UUID NOT NULL,
    collector_id UUID,
    queued BOOLEAN NOT NULL,
    rank BIGINT NOT NULL,
    total NUMERIC NOT NULL,
    level TEXT NOT NULL,
    priority SMALLINT NOT NULL,
    high_priority BOOLEAN NOT NULL,
    points SMALLINT[] NOT NULL,
    scorecard_id UUID NOT NULL,
    scored_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_account_score PRIMARY KEY (account_id),
    CONSTRAINT fk_account_score_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id),
    CONSTRAINT ck_account_score_priority CHECK (priority BETWEEN 0 AND 3),
    CONSTRAINT ck_account_score_level CHECK (level IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
    CONSTRAINT fk_account_score_scorecard_id_scorecard FOREIGN KEY(scorecard_id) REFERENCES scorecard (id)
);
CREATE INDEX ix_account_score_collector
    ON account_score (agency_id, collector_id, rank DESC, account_id)
    WHERE queued AND collector_id IS NOT NULL;
CREATE INDEX ix_account_score_rank ON account_score (agency_id, rank DESC, account_id DESC);
CREATE INDEX ix_account_score_worklist ON account_score (agency_id, rank DESC, account_id) WHERE queued;

CREATE TABLE account_search (
    account_id UUID NOT NULL,
    agency_id UUID NOT NULL,
    document TEXT NOT NULL,
    CONSTRAINT pk_account_search PRIMARY KEY (account_id),
    CONSTRAINT fk_account_search_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id)
);
CREATE INDEX ix_account_search_document ON account_search USING gin (agency_id, document gin_trgm_ops);

CREATE TABLE import_bucket (
    import_id UUID NOT NULL,
    stage TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    agency_id UUID NOT NULL,
    inserted INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    warnings INTEGER NOT NULL,
    account_ids UUID[],
    merged_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_import_bucket PRIMARY KEY (import_id, stage, bucket),
    CONSTRAINT fk_import_bucket_agency_id_import_id_import_job
        FOREIGN KEY (agency_id, import_id) REFERENCES import_job (agency_id, id),
    CONSTRAINT ck_import_bucket_stage CHECK (stage IN ('debtors', 'accounts'))
);

CREATE TABLE import_error (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    agency_id UUID NOT NULL,
    import_id UUID NOT NULL,
    line BIGINT NOT NULL,
    severity TEXT NOT NULL,
    "column" TEXT NOT NULL,
    value TEXT NOT NULL,
    error TEXT NOT NULL,
    CONSTRAINT pk_import_error PRIMARY KEY (id),
    CONSTRAINT fk_import_error_agency_id_import_id_import_job
        FOREIGN KEY (agency_id, import_id) REFERENCES import_job (agency_id, id),
    CONSTRAINT ck_import_error_severity CHECK (severity IN ('error', 'warning'))
);
CREATE INDEX ix_import_error_import_id_line_id ON import_error (import_id, line, id);

CREATE TABLE import_refusal (
    import_id UUID NOT NULL,
    line BIGINT NOT NULL,
    agency_id UUID NOT NULL,
    text_encrypted BYTEA NOT NULL,
    CONSTRAINT pk_import_refusal PRIMARY KEY (import_id, line),
    CONSTRAINT fk_import_refusal_agency_id_import_id_import_job
        FOREIGN KEY (agency_id, import_id) REFERENCES import_job (agency_id, id)
);

CREATE TABLE posting (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    agency_id UUID NOT NULL,
    journal_id UUID NOT NULL,
    account_id UUID,
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    amount NUMERIC(14, 2) NOT NULL,
    currency TEXT NOT NULL,
    CONSTRAINT pk_posting PRIMARY KEY (id),
    CONSTRAINT fk_posting_agency_id_journal_id_journal
        FOREIGN KEY (agency_id, journal_id) REFERENCES journal (agency_id, id),
    CONSTRAINT fk_posting_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id),
    CONSTRAINT ck_posting_amount CHECK (amount > 0),
    CONSTRAINT ck_posting_sides CHECK (debit <> credit)
);
CREATE INDEX ix_posting_account_id ON posting (account_id);
CREATE INDEX ix_posting_journal_id ON posting (journal_id);

CREATE TABLE scoring_run (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    import_id UUID,
    scorecard_id UUID NOT NULL,
    status TEXT DEFAULT 'pending' NOT NULL,
    total BIGINT DEFAULT 0 NOT NULL,
    scored BIGINT DEFAULT 0 NOT NULL,
    errors BIGINT DEFAULT 0 NOT NULL,
    levels JSONB DEFAULT '{}'::jsonb NOT NULL,
    high_priority BIGINT DEFAULT 0 NOT NULL,
    reason TEXT,
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_scoring_run PRIMARY KEY (id),
    CONSTRAINT ck_scoring_run_status CHECK (status IN ('pending', 'running', 'completed', 'failed')),
    CONSTRAINT uq_scoring_run_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT fk_scoring_run_agency_id_import_id_import_job
        FOREIGN KEY (agency_id, import_id) REFERENCES import_job (agency_id, id),
    CONSTRAINT fk_scoring_run_agency_id_agency FOREIGN KEY(agency_id) REFERENCES agency (id),
    CONSTRAINT fk_scoring_run_scorecard_id_scorecard FOREIGN KEY(scorecard_id) REFERENCES scorecard (id)
);
CREATE UNIQUE INDEX ix_scoring_run_import_id ON scoring_run (import_id) WHERE import_id IS NOT NULL;
CREATE UNIQUE INDEX uq_scoring_run_running ON scoring_run (agency_id) WHERE status = 'running';

CREATE TABLE scoring_chunk (
    run_id UUID NOT NULL,
    chunk INTEGER NOT NULL,
    agency_id UUID NOT NULL,
    scored INTEGER NOT NULL,
    high_priority INTEGER NOT NULL,
    levels JSONB NOT NULL,
    scored_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_scoring_chunk PRIMARY KEY (run_id, chunk),
    CONSTRAINT fk_scoring_chunk_agency_id_run_id_scoring_run
        FOREIGN KEY (agency_id, run_id) REFERENCES scoring_run (agency_id, id)
);
"""

# Staging belongs to no tenant: its tables live for one import each, are named by its id and are read
# by nobody else. They are unlogged, cursor included, so that a crash of the server empties both
# together and the file is staged again from the start.
STAGING = """
CREATE SCHEMA staging;
GRANT USAGE, CREATE ON SCHEMA staging TO recoup_app;

CREATE UNLOGGED TABLE staging.cursor (
    import_id UUID NOT NULL,
    position JSONB NOT NULL,
    CONSTRAINT pk_cursor PRIMARY KEY (import_id)
);

CREATE UNLOGGED TABLE staging.placement (
    line BIGINT NOT NULL,
    creditor_name TEXT NOT NULL,
    external_ref TEXT NOT NULL,
    debtor_ref TEXT,
    bucket SMALLINT NOT NULL GENERATED ALWAYS AS (hashtext(external_ref) & 1023) STORED,
    debtor_bucket SMALLINT NOT NULL
        GENERATED ALWAYS AS (hashtext(COALESCE(debtor_ref, external_ref)) & 1023) STORED,
    full_name TEXT NOT NULL,
    ssn_last4_encrypted BYTEA,
    email TEXT,
    phone TEXT,
    address_line1 TEXT,
    address_line2 TEXT,
    city TEXT,
    state TEXT,
    postal_code TEXT,
    country TEXT,
    monthly_income NUMERIC(14, 2),
    late_payments_count INTEGER,
    employment_status TEXT,
    contract_type TEXT,
    industry_sector TEXT,
    family_situation TEXT,
    original_amount NUMERIC(14, 2) NOT NULL,
    account_type TEXT,
    due_date DATE,
    charge_off_date DATE,
    last_payment_date DATE,
    itemization_date DATE
);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA staging TO recoup_app;
"""

FUNCTIONS = """
-- Makes the monthly partitions of timeline and audit from the current month on; safe to repeat.
CREATE FUNCTION make_month_partitions(months INTEGER) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent TEXT;
    first_day TIMESTAMPTZ;
BEGIN
    FOREACH parent IN ARRAY ARRAY['audit_record', 'timeline_event'] LOOP
        FOR n IN -1 .. months LOOP
            first_day := date_trunc('month', now(), 'UTC') + make_interval(months => n);
            EXECUTE format(
                'CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                parent || to_char(first_day AT TIME ZONE 'UTC', '_YYYY_MM'), parent,
                first_day, first_day + make_interval(months => 1));
        END LOOP;
    END LOOP;
END $$;

-- Row-level security keeps trigram operators away from their index (they are not leakproof), so the
-- search runs as the owner and takes the agency as an argument: it must be the transaction's own.
-- at_most stops a pattern that half of the agency matches; it is planned for each pattern anew.
CREATE FUNCTION search_accounts(agency UUID, pattern TEXT, at_most INTEGER DEFAULT NULL)
RETURNS SETOF UUID
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF agency IS DISTINCT FROM NULLIF(current_setting('recoup.agency', true), '')::uuid THEN
        RAISE EXCEPTION 'search_accounts: the agency is not the one of this transaction'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY SELECT s.account_id FROM public.account_search s
        WHERE s.agency_id = agency AND s.document LIKE pattern LIMIT at_most;
END $$;
-- After a large import: until the planner knows of the new rows it may take an agency for one row, and
-- plan every query of that agency so. A table that another session is working on is left to autovacuum.
CREATE FUNCTION analyze_accounts() RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    ANALYZE (SKIP_LOCKED) public.debtor, public.account, public.posting;
END $$;
REVOKE ALL ON FUNCTION analyze_accounts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analyze_accounts() TO recoup_app;
REVOKE ALL ON FUNCTION search_accounts(UUID, TEXT, INTEGER) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_accounts(UUID, TEXT, INTEGER) TO recoup_app;
"""

DROP_ORDER = (
    "scoring_chunk",
    "scoring_run",
    "posting",
    "import_refusal",
    "import_error",
    "import_bucket",
    "account_search",
    "account_score",
    "import_job",
    "account",
    "sftp_source",
    "refresh_token",
    "collector",
    "journal",
    "debtor",
    "creditor",
    "app_user",
    "timeline_event",
    "scorecard",
    "command",
    "audit_record",
    "agency",
)

TENANT_POLICY = (
    "CREATE POLICY tenant ON {table} USING"
    " (agency_id = NULLIF(current_setting('recoup.agency', true), '')::uuid)"
)

# A platform administrator's acts (a new agency, a user) belong to no tenant; they may be recorded by
# anybody and are read by the owner only.
PLATFORM_AUDIT_POLICY = "CREATE POLICY platform ON audit_record FOR INSERT WITH CHECK (agency_id IS NULL)"


def upgrade() -> None:
    for extension in EXTENSIONS:
        op.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    op.execute(TABLES)
    op.execute(STAGING)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO recoup_app")
    for table in APPEND_ONLY_TABLES:
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM recoup_app")
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(TENANT_POLICY.format(table=table))
    op.execute("REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM recoup_app")
    op.execute(PLATFORM_AUDIT_POLICY)
    op.execute(FUNCTIONS)
    op.execute("SELECT make_month_partitions(18)")


def downgrade() -> None:
    op.execute("DROP FUNCTION search_accounts(UUID, TEXT, INTEGER)")
    op.execute("DROP FUNCTION analyze_accounts()")
    op.execute("DROP FUNCTION make_month_partitions(INTEGER)")
    op.execute("DROP SCHEMA staging CASCADE")
    for table in DROP_ORDER:
        op.execute(f"DROP TABLE {table}")
