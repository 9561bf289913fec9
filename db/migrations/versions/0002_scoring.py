"""Scoring: planned chunks, score history, errors of single accounts, notices of high priority.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TENANT_TABLES = ("account_score_history", "high_priority_notice", "scoring_error")

# A score that was made before there were hashes has the hash of nothing: the next run makes it anew.
ALTERATIONS = """
ALTER TABLE agency ALTER COLUMN high_priority_threshold DROP NOT NULL;
ALTER TABLE agency ALTER COLUMN high_priority_threshold DROP DEFAULT;

ALTER TABLE account ADD COLUMN held BOOLEAN DEFAULT false NOT NULL;

ALTER TABLE account_score ALTER COLUMN total TYPE INTEGER USING total::integer;
ALTER TABLE account_score ADD COLUMN inputs_hash BYTEA DEFAULT '' NOT NULL;
ALTER TABLE account_score ALTER COLUMN inputs_hash DROP DEFAULT;
ALTER TABLE account_score ADD COLUMN account_version INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE account_score ALTER COLUMN account_version DROP DEFAULT;
ALTER TABLE account_score ADD COLUMN debtor_version INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE account_score ALTER COLUMN debtor_version DROP DEFAULT;

ALTER TABLE scoring_run ADD COLUMN origin TEXT DEFAULT 'import' NOT NULL;
ALTER TABLE scoring_run ALTER COLUMN origin DROP DEFAULT;
ALTER TABLE scoring_run ADD COLUMN requested_by TEXT DEFAULT 'portfolio-import' NOT NULL;
ALTER TABLE scoring_run ALTER COLUMN requested_by DROP DEFAULT;
ALTER TABLE scoring_run ADD COLUMN batch_size INTEGER DEFAULT 25000 NOT NULL;
ALTER TABLE scoring_run ADD COLUMN threshold NUMERIC(14, 2);
ALTER TABLE scoring_run ADD COLUMN changed BIGINT DEFAULT 0 NOT NULL;
ALTER TABLE scoring_run ADD COLUMN top JSONB DEFAULT '[]'::jsonb NOT NULL;
ALTER TABLE scoring_run ADD COLUMN chunks INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE scoring_run ADD COLUMN chunks_done INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE scoring_run ADD CONSTRAINT ck_scoring_run_origin
    CHECK (origin IN ('manual', 'schedule', 'import'));
ALTER TABLE scoring_run ADD CONSTRAINT ck_scoring_run_import
    CHECK ((origin = 'import') = (import_id IS NOT NULL));
CREATE INDEX ix_scoring_run_newest ON scoring_run (agency_id, created_at DESC, id DESC);

ALTER TABLE scoring_chunk ADD COLUMN first_id UUID;
ALTER TABLE scoring_chunk ADD COLUMN last_id UUID;
ALTER TABLE scoring_chunk ADD COLUMN changed INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE scoring_chunk ADD COLUMN errors INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE scoring_chunk ALTER COLUMN scored SET DEFAULT 0;
ALTER TABLE scoring_chunk ALTER COLUMN high_priority SET DEFAULT 0;
ALTER TABLE scoring_chunk ALTER COLUMN levels SET DEFAULT '{}'::jsonb;
ALTER TABLE scoring_chunk ALTER COLUMN scored_at DROP NOT NULL;
ALTER TABLE scoring_chunk ALTER COLUMN scored_at DROP DEFAULT;
"""

TABLES = """
CREATE TABLE account_score_history (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    agency_id UUID NOT NULL,
    account_id UUID NOT NULL,
    scored_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    run_id UUID,
    scorecard_id UUID NOT NULL,
    threshold NUMERIC(14, 2) NOT NULL,
    total INTEGER NOT NULL,
    level TEXT NOT NULL,
    priority SMALLINT NOT NULL,
    rank BIGINT NOT NULL,
    high_priority BOOLEAN NOT NULL,
    points SMALLINT[] NOT NULL,
    balance NUMERIC(14, 2) NOT NULL,
    monthly_income NUMERIC(14, 2),
    late_payments_count INTEGER,
    employment_status TEXT,
    contract_type TEXT,
    industry_sector TEXT,
    family_situation TEXT,
    inputs_hash BYTEA NOT NULL,
    CONSTRAINT pk_account_score_history PRIMARY KEY (account_id, scored_at, id)
) PARTITION BY RANGE (scored_at);

CREATE TABLE scoring_error (
    run_id UUID NOT NULL,
    account_id UUID NOT NULL,
    agency_id UUID NOT NULL,
    error TEXT NOT NULL,
    CONSTRAINT pk_scoring_error PRIMARY KEY (run_id, account_id),
    CONSTRAINT fk_scoring_error_agency_id_run_id_scoring_run
        FOREIGN KEY (agency_id, run_id) REFERENCES scoring_run (agency_id, id),
    CONSTRAINT fk_scoring_error_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id)
);

CREATE TABLE high_priority_notice (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    account_id UUID NOT NULL,
    run_id UUID,
    rank BIGINT NOT NULL,
    total INTEGER NOT NULL,
    level TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    delivered_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_high_priority_notice PRIMARY KEY (id),
    CONSTRAINT fk_high_priority_notice_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id)
);
CREATE UNIQUE INDEX uq_high_priority_notice_undelivered ON high_priority_notice (account_id)
    WHERE delivered_at IS NULL;
CREATE INDEX ix_high_priority_notice_undelivered ON high_priority_notice (agency_id, id)
    WHERE delivered_at IS NULL;
"""

# PARENTS is filled in; a table named here gets its partitions with the others.
PARTITIONS = """
CREATE OR REPLACE FUNCTION make_month_partitions(months INTEGER) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent TEXT;
    first_day TIMESTAMPTZ;
BEGIN
    FOREACH parent IN ARRAY ARRAY[{parents}] LOOP
        FOR n IN -1 .. months LOOP
            first_day := date_trunc('month', now(), 'UTC') + make_interval(months => n);
            EXECUTE format(
                'CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                parent || to_char(first_day AT TIME ZONE 'UTC', '_YYYY_MM'), parent,
                first_day, first_day + make_interval(months => 1));
        END LOOP;
    END LOOP;
END $$;
"""
PARENTS_BEFORE = "'audit_record', 'timeline_event'"
PARENTS = f"{PARENTS_BEFORE}, 'account_score_history'"

STATISTICS = """
CREATE OR REPLACE FUNCTION analyze_scores() RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    ANALYZE (SKIP_LOCKED) public.account_score;
END $$;
REVOKE ALL ON FUNCTION analyze_scores() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analyze_scores() TO recoup_app;
"""

TENANT_POLICY = (
    "CREATE POLICY tenant ON {table} USING"
    " (agency_id = NULLIF(current_setting('recoup.agency', true), '')::uuid)"
)


def upgrade() -> None:
    op.execute(ALTERATIONS)
    op.execute(TABLES)
    op.execute("GRANT SELECT, INSERT ON account_score_history TO recoup_app")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON scoring_error, high_priority_notice TO recoup_app")
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(TENANT_POLICY.format(table=table))
    op.execute(PARTITIONS.format(parents=PARENTS))
    op.execute(STATISTICS)
    op.execute("SELECT make_month_partitions(18)")


def downgrade() -> None:
    op.execute("DROP FUNCTION analyze_scores()")
    op.execute(PARTITIONS.format(parents=PARENTS_BEFORE))
    for table in TENANT_TABLES:
        op.execute(f"DROP TABLE {table}")
    op.execute("DELETE FROM scoring_chunk")
    op.execute("DELETE FROM scoring_run WHERE import_id IS NULL")
    op.execute(
        "ALTER TABLE scoring_chunk DROP COLUMN first_id, DROP COLUMN last_id, DROP COLUMN changed,"
        " DROP COLUMN errors, ALTER COLUMN scored DROP DEFAULT, ALTER COLUMN high_priority DROP DEFAULT,"
        " ALTER COLUMN levels DROP DEFAULT, ALTER COLUMN scored_at SET DEFAULT now(),"
        " ALTER COLUMN scored_at SET NOT NULL"
    )
    op.execute("DROP INDEX ix_scoring_run_newest")
    op.execute(
        "ALTER TABLE scoring_run DROP COLUMN origin, DROP COLUMN requested_by, DROP COLUMN batch_size,"
        " DROP COLUMN threshold, DROP COLUMN changed, DROP COLUMN top, DROP COLUMN chunks,"
        " DROP COLUMN chunks_done"
    )
    op.execute(
        "ALTER TABLE account_score DROP COLUMN inputs_hash, DROP COLUMN account_version,"
        " DROP COLUMN debtor_version, ALTER COLUMN total TYPE NUMERIC"
    )
    op.execute("ALTER TABLE account DROP COLUMN held")
    op.execute("UPDATE agency SET high_priority_threshold = 500000 WHERE high_priority_threshold IS NULL")
    op.execute("ALTER TABLE agency ALTER COLUMN high_priority_threshold SET DEFAULT 500000")
    op.execute("ALTER TABLE agency ALTER COLUMN high_priority_threshold SET NOT NULL")
