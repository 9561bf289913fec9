"""Partners: what is sent to them, their statements, reconciliations with them, one queue of breaks.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NEW_TENANT_TABLES = (
    "break_proposal",
    "partner",
    "partner_account",
    "partner_batch",
    "partner_message",
    "partner_reconciliation",
    "partner_rules",
    "partner_sync",
    "partner_sync_item",
    "payment_match",
    "statement",
    "statement_line",
)

TABLES = """
CREATE TABLE partner (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    name TEXT NOT NULL,
    kind TEXT DEFAULT 'agency' NOT NULL,
    active BOOLEAN DEFAULT true NOT NULL,
    source_id UUID,
    delivery TEXT DEFAULT 'none' NOT NULL,
    delivery_url TEXT,
    signing_secret_encrypted BYTEA,
    statement_profile JSONB DEFAULT '{}' NOT NULL,
    tolerance_absolute NUMERIC(14, 2) DEFAULT 1.00 NOT NULL,
    tolerance_percent NUMERIC(5, 2) DEFAULT 1.00 NOT NULL,
    approval_limit NUMERIC(14, 2) DEFAULT 100.00 NOT NULL,
    material_amount NUMERIC(14, 2) DEFAULT 1000.00 NOT NULL,
    answer_within_hours INTEGER DEFAULT 72 NOT NULL,
    stale_after_days INTEGER DEFAULT 45 NOT NULL,
    reconcile_at TIME,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_partner PRIMARY KEY (id),
    CONSTRAINT uq_partner_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT uq_partner_agency_id_name UNIQUE (agency_id, name),
    CONSTRAINT fk_partner_agency_id_agency FOREIGN KEY (agency_id) REFERENCES agency (id),
    CONSTRAINT fk_partner_agency_id_source_id_sftp_source
        FOREIGN KEY (agency_id, source_id) REFERENCES sftp_source (agency_id, id),
    CONSTRAINT ck_partner_kind CHECK (kind IN ('agency', 'bank')),
    CONSTRAINT ck_partner_delivery CHECK (delivery IN ('none', 'sftp', 'https')),
    CONSTRAINT ck_partner_tolerance_absolute CHECK (tolerance_absolute >= 0),
    CONSTRAINT ck_partner_tolerance_percent CHECK (tolerance_percent BETWEEN 0 AND 100),
    CONSTRAINT ck_partner_limits CHECK (approval_limit >= 0 AND material_amount >= 0),
    CONSTRAINT ck_partner_times CHECK (answer_within_hours > 0 AND stale_after_days > 0)
);

CREATE TABLE partner_rules (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    partner_id UUID NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_partner_rules PRIMARY KEY (id),
    CONSTRAINT uq_partner_rules_partner_id_version UNIQUE (partner_id, version),
    CONSTRAINT fk_partner_rules_agency_id_partner_id_partner
        FOREIGN KEY (agency_id, partner_id) REFERENCES partner (agency_id, id)
);

CREATE TABLE partner_sync (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    partner_id UUID NOT NULL,
    scoring_run_id UUID,
    origin TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    delivery TEXT,
    status TEXT DEFAULT 'pending' NOT NULL,
    total INTEGER DEFAULT 0 NOT NULL,
    delivered INTEGER DEFAULT 0 NOT NULL,
    reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    completed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_partner_sync PRIMARY KEY (id),
    CONSTRAINT fk_partner_sync_agency_id_partner_id_partner
        FOREIGN KEY (agency_id, partner_id) REFERENCES partner (agency_id, id),
    CONSTRAINT uq_partner_sync_partner_id_scoring_run_id UNIQUE (partner_id, scoring_run_id),
    CONSTRAINT ck_partner_sync_delivery CHECK (delivery IN ('sftp', 'https')),
    CONSTRAINT ck_partner_sync_origin CHECK (origin IN ('manual', 'scoring')),
    CONSTRAINT ck_partner_sync_status CHECK (status IN ('pending', 'running', 'completed', 'failed'))
);
CREATE INDEX ix_partner_sync_agency_id_id ON partner_sync (agency_id, id);

CREATE TABLE partner_batch (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    sync_id UUID NOT NULL,
    number INTEGER NOT NULL,
    items INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    status TEXT DEFAULT 'pending' NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    target TEXT,
    answer TEXT,
    last_problem TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    delivered_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_partner_batch PRIMARY KEY (id),
    CONSTRAINT uq_partner_batch_sync_id_number UNIQUE (sync_id, number),
    CONSTRAINT fk_partner_batch_sync_id_partner_sync
        FOREIGN KEY (sync_id) REFERENCES partner_sync (id) ON DELETE CASCADE,
    CONSTRAINT ck_partner_batch_status CHECK (status IN ('pending', 'delivered', 'failed'))
);

CREATE TABLE partner_sync_item (
    sync_id UUID NOT NULL,
    position INTEGER NOT NULL,
    agency_id UUID NOT NULL,
    batch INTEGER NOT NULL,
    account_id UUID NOT NULL,
    debtor_id UUID NOT NULL,
    account_ref TEXT NOT NULL,
    risk_score NUMERIC(10, 2) NOT NULL,
    internal_balance NUMERIC(14, 2) NOT NULL,
    internal_status TEXT NOT NULL,
    processed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_partner_sync_item PRIMARY KEY (sync_id, position),
    CONSTRAINT fk_partner_sync_item_sync_id_partner_sync
        FOREIGN KEY (sync_id) REFERENCES partner_sync (id) ON DELETE CASCADE
);
CREATE INDEX ix_partner_sync_item_sync_id_batch ON partner_sync_item (sync_id, batch);

CREATE TABLE partner_reconciliation (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    partner_id UUID NOT NULL,
    origin TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    scope TEXT DEFAULT 'full' NOT NULL,
    dry_run BOOLEAN DEFAULT false NOT NULL,
    status TEXT DEFAULT 'pending' NOT NULL,
    step TEXT,
    rules_version INTEGER,
    lines INTEGER DEFAULT 0 NOT NULL,
    problems INTEGER DEFAULT 0 NOT NULL,
    matched INTEGER DEFAULT 0 NOT NULL,
    breaks INTEGER DEFAULT 0 NOT NULL,
    resolved INTEGER DEFAULT 0 NOT NULL,
    cured INTEGER DEFAULT 0 NOT NULL,
    report JSONB DEFAULT '{}' NOT NULL,
    reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_partner_reconciliation PRIMARY KEY (id),
    CONSTRAINT uq_partner_reconciliation_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT fk_partner_reconciliation_agency_id_partner_id_partner
        FOREIGN KEY (agency_id, partner_id) REFERENCES partner (agency_id, id),
    CONSTRAINT ck_partner_reconciliation_origin CHECK (origin IN ('manual', 'schedule')),
    CONSTRAINT ck_partner_reconciliation_scope CHECK (scope IN ('full', 'messages')),
    CONSTRAINT ck_partner_reconciliation_status
        CHECK (status IN ('pending', 'running', 'completed', 'failed'))
);
CREATE INDEX ix_partner_reconciliation_agency_id_id ON partner_reconciliation (agency_id, id);
CREATE UNIQUE INDEX uq_partner_reconciliation_going ON partner_reconciliation (partner_id)
    WHERE status IN ('pending', 'running');

CREATE TABLE statement (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    partner_id UUID NOT NULL,
    channel TEXT NOT NULL,
    state TEXT DEFAULT 'open' NOT NULL,
    name TEXT,
    location TEXT,
    sha256 TEXT,
    file_bytes BIGINT,
    file_mtime BIGINT,
    as_of BIGINT DEFAULT 0 NOT NULL,
    cursor JSONB DEFAULT '{}' NOT NULL,
    lines INTEGER DEFAULT 0 NOT NULL,
    problems INTEGER DEFAULT 0 NOT NULL,
    oldest_at TIMESTAMP WITH TIME ZONE,
    newest_at TIMESTAMP WITH TIME ZONE,
    run_id UUID,
    reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    put_away_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_statement PRIMARY KEY (id),
    CONSTRAINT uq_statement_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT fk_statement_agency_id_partner_id_partner
        FOREIGN KEY (agency_id, partner_id) REFERENCES partner (agency_id, id),
    CONSTRAINT fk_statement_agency_id_run_id_partner_reconciliation
        FOREIGN KEY (agency_id, run_id) REFERENCES partner_reconciliation (agency_id, id),
    CONSTRAINT ck_statement_channel CHECK (channel IN ('file', 'messages')),
    CONSTRAINT ck_statement_state CHECK (state IN ('open', 'staged', 'closed', 'refused'))
);
CREATE INDEX ix_statement_agency_id_partner_id_id ON statement (agency_id, partner_id, id);
CREATE UNIQUE INDEX uq_statement_content ON statement (partner_id, sha256, as_of)
    WHERE channel = 'file' AND state <> 'refused';
CREATE UNIQUE INDEX uq_statement_messages ON statement (partner_id)
    WHERE channel = 'messages' AND state = 'open';

CREATE TABLE statement_line (
    statement_id UUID NOT NULL,
    line INTEGER NOT NULL,
    agency_id UUID NOT NULL,
    account_ref TEXT,
    debtor_ref TEXT,
    balance NUMERIC(14, 2),
    status TEXT,
    currency TEXT,
    processed_at TIMESTAMP WITH TIME ZONE,
    payment_ref TEXT,
    amount NUMERIC(14, 2),
    paid_on DATE,
    payer TEXT,
    problem TEXT,
    digest BYTEA,
    CONSTRAINT pk_statement_line PRIMARY KEY (statement_id, line)
);
CREATE UNIQUE INDEX uq_statement_line_digest ON statement_line (digest) WHERE digest IS NOT NULL;
CREATE INDEX ix_statement_line_problem ON statement_line (statement_id, line) WHERE problem IS NOT NULL;

CREATE TABLE partner_account (
    partner_id UUID NOT NULL,
    account_id UUID NOT NULL,
    agency_id UUID NOT NULL,
    reference TEXT,
    sent_at TIMESTAMP WITH TIME ZONE,
    sent_as_of TIMESTAMP WITH TIME ZONE,
    balance NUMERIC(14, 2),
    status TEXT,
    currency TEXT,
    processed_at TIMESTAMP WITH TIME ZONE,
    matched_by TEXT,
    statement_id UUID,
    line INTEGER,
    run_id UUID,
    CONSTRAINT pk_partner_account PRIMARY KEY (partner_id, account_id)
);
CREATE INDEX ix_partner_account_account_id ON partner_account (account_id);

CREATE TABLE payment_match (
    statement_id UUID NOT NULL,
    line INTEGER NOT NULL,
    item_id UUID NOT NULL,
    payment_id UUID NOT NULL,
    agency_id UUID NOT NULL,
    partner_id UUID NOT NULL,
    run_id UUID NOT NULL,
    rule TEXT NOT NULL,
    amount NUMERIC(14, 2) NOT NULL,
    CONSTRAINT pk_payment_match PRIMARY KEY (statement_id, line, item_id)
);
CREATE INDEX ix_payment_match_agency_id_payment_id ON payment_match (agency_id, payment_id);
CREATE INDEX ix_payment_match_partner_id_item_id ON payment_match (partner_id, item_id);
"""

BREAKS = """
ALTER TABLE processor_break RENAME TO reconciliation_break;
ALTER TABLE reconciliation_break RENAME COLUMN processor_ref TO subject;
DROP INDEX uq_processor_break_open;
ALTER INDEX ix_processor_break_agency_id_id RENAME TO ix_reconciliation_break_agency_id_id;
ALTER TABLE reconciliation_break RENAME CONSTRAINT pk_processor_break TO pk_reconciliation_break;
ALTER TABLE reconciliation_break RENAME CONSTRAINT fk_processor_break_agency_id_payment_id_payment
    TO fk_reconciliation_break_agency_id_payment_id_payment;
ALTER TABLE reconciliation_break
    DROP CONSTRAINT ck_processor_break_kind,
    DROP CONSTRAINT ck_processor_break_state,
    ADD COLUMN source TEXT DEFAULT 'processor' NOT NULL,
    ADD COLUMN partner_id UUID,
    ADD COLUMN run_id UUID,
    ADD COLUMN seen_run_id UUID,
    ADD COLUMN account_id UUID,
    ADD COLUMN account_ref TEXT,
    ADD COLUMN statement_id UUID,
    ADD COLUMN line INTEGER,
    ADD COLUMN ours_status TEXT,
    ADD COLUMN theirs_status TEXT,
    ADD COLUMN theirs_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN difference NUMERIC(14, 2),
    ADD COLUMN value NUMERIC(14, 2) DEFAULT 0 NOT NULL,
    ADD COLUMN rule TEXT DEFAULT 'processor' NOT NULL,
    ADD COLUMN owner_id UUID,
    ADD COLUMN resolution TEXT,
    ADD COLUMN resolution_note TEXT,
    ADD COLUMN resolved_by TEXT,
    ADD COLUMN journal_id UUID,
    ADD COLUMN item_id UUID,
    ADD COLUMN approval_limit NUMERIC(14, 2),
    ADD COLUMN told_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN case_started_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN answer_due_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN escalated_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN version INTEGER DEFAULT 1 NOT NULL;
UPDATE reconciliation_break
   SET resolution = CASE WHEN state = 'resolved' THEN 'cured' END,
       difference = theirs - ours,
       value = greatest(abs(coalesce(theirs, 0) - coalesce(ours, 0)), 0);
ALTER TABLE reconciliation_break
    ADD CONSTRAINT uq_reconciliation_break_agency_id_id UNIQUE (agency_id, id),
    ADD CONSTRAINT fk_reconciliation_break_agency_id_partner_id_partner
        FOREIGN KEY (agency_id, partner_id) REFERENCES partner (agency_id, id),
    ADD CONSTRAINT fk_reconciliation_break_agency_id_journal_id_journal
        FOREIGN KEY (agency_id, journal_id) REFERENCES journal (agency_id, id),
    ADD CONSTRAINT ck_reconciliation_break_source CHECK (source IN ('processor', 'partner')),
    ADD CONSTRAINT ck_reconciliation_break_kind CHECK (kind IN (
        'balance', 'status', 'missing_here', 'missing_there', 'duplicate', 'ambiguous', 'timing', 'fee',
        'currency', 'stale')),
    ADD CONSTRAINT ck_reconciliation_break_state CHECK (state IN ('open', 'proposed', 'resolved')),
    ADD CONSTRAINT ck_reconciliation_break_resolution CHECK (resolution IN (
        'accept_theirs', 'keep_ours', 'write_off', 'explain', 'rule', 'cured')),
    ADD CONSTRAINT ck_reconciliation_break_resolved
        CHECK ((state = 'resolved') = (resolution IS NOT NULL));
CREATE UNIQUE INDEX uq_reconciliation_break_processor ON reconciliation_break (agency_id, kind, subject)
    WHERE source = 'processor' AND state <> 'resolved';
CREATE UNIQUE INDEX uq_reconciliation_break_partner ON reconciliation_break (partner_id, kind, subject)
    WHERE source = 'partner' AND state <> 'resolved';
CREATE INDEX ix_reconciliation_break_queue ON reconciliation_break (agency_id, found_at, id)
    WHERE state <> 'resolved';
CREATE INDEX ix_reconciliation_break_run_id ON reconciliation_break (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX ix_reconciliation_break_agency_id_item_id ON reconciliation_break (agency_id, item_id)
    WHERE item_id IS NOT NULL;

CREATE TABLE break_proposal (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    break_id UUID NOT NULL,
    resolution TEXT NOT NULL,
    note TEXT NOT NULL,
    ours NUMERIC(14, 2),
    theirs NUMERIC(14, 2),
    state TEXT DEFAULT 'open' NOT NULL,
    proposed_by UUID NOT NULL,
    proposed_by_name TEXT NOT NULL,
    decided_by_name TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    decided_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_break_proposal PRIMARY KEY (id),
    CONSTRAINT fk_break_proposal_agency_id_break_id_reconciliation_break
        FOREIGN KEY (agency_id, break_id) REFERENCES reconciliation_break (agency_id, id),
    CONSTRAINT ck_break_proposal_resolution
        CHECK (resolution IN ('accept_theirs', 'keep_ours', 'write_off', 'explain')),
    CONSTRAINT ck_break_proposal_state CHECK (state IN ('open', 'approved', 'rejected', 'withdrawn'))
);
CREATE UNIQUE INDEX uq_break_proposal_open ON break_proposal (break_id) WHERE state = 'open';
CREATE INDEX ix_break_proposal_agency_id_break_id ON break_proposal (agency_id, break_id);

CREATE TABLE partner_message (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    partner_id UUID NOT NULL,
    break_id UUID NOT NULL,
    account_ref TEXT,
    balance NUMERIC(14, 2),
    status TEXT,
    payment_id UUID,
    their_balance NUMERIC(14, 2),
    their_status TEXT,
    currency TEXT NOT NULL,
    state TEXT DEFAULT 'pending' NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    target TEXT,
    last_problem TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    delivered_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_partner_message PRIMARY KEY (id),
    CONSTRAINT fk_partner_message_agency_id_partner_id_partner
        FOREIGN KEY (agency_id, partner_id) REFERENCES partner (agency_id, id),
    CONSTRAINT fk_partner_message_agency_id_break_id_reconciliation_break
        FOREIGN KEY (agency_id, break_id) REFERENCES reconciliation_break (agency_id, id),
    CONSTRAINT ck_partner_message_state CHECK (state IN ('pending', 'delivered', 'failed'))
);
CREATE UNIQUE INDEX uq_partner_message_break_id ON partner_message (break_id);
CREATE INDEX ix_partner_message_agency_id_partner_id ON partner_message (agency_id, partner_id);
"""

TENANT_POLICY = (
    "CREATE POLICY tenant ON {table} USING"
    " (agency_id = NULLIF(current_setting('recoup.agency', true), '')::uuid)"
)

AS_IT_WAS = """
DROP TABLE partner_message;
DROP TABLE break_proposal;
DELETE FROM reconciliation_break
 WHERE source <> 'processor'
    OR kind NOT IN ('balance', 'status', 'missing_here', 'missing_there', 'currency');
UPDATE reconciliation_break SET state = 'open' WHERE state = 'proposed';
DROP INDEX uq_reconciliation_break_processor;
DROP INDEX uq_reconciliation_break_partner;
DROP INDEX ix_reconciliation_break_queue;
DROP INDEX ix_reconciliation_break_run_id;
DROP INDEX ix_reconciliation_break_agency_id_item_id;
ALTER TABLE reconciliation_break
    DROP CONSTRAINT uq_reconciliation_break_agency_id_id,
    DROP CONSTRAINT ck_reconciliation_break_source,
    DROP CONSTRAINT ck_reconciliation_break_kind,
    DROP CONSTRAINT ck_reconciliation_break_state,
    DROP CONSTRAINT ck_reconciliation_break_resolution,
    DROP CONSTRAINT ck_reconciliation_break_resolved,
    DROP COLUMN source, DROP COLUMN partner_id, DROP COLUMN run_id, DROP COLUMN seen_run_id,
    DROP COLUMN account_id, DROP COLUMN account_ref, DROP COLUMN statement_id, DROP COLUMN line,
    DROP COLUMN ours_status, DROP COLUMN theirs_status, DROP COLUMN theirs_at, DROP COLUMN difference,
    DROP COLUMN value, DROP COLUMN rule, DROP COLUMN owner_id, DROP COLUMN resolution,
    DROP COLUMN resolution_note, DROP COLUMN resolved_by, DROP COLUMN journal_id,
    DROP COLUMN item_id, DROP COLUMN approval_limit,
    DROP COLUMN told_at,
    DROP COLUMN case_started_at, DROP COLUMN answer_due_at, DROP COLUMN escalated_at, DROP COLUMN version,
    ADD CONSTRAINT ck_processor_break_kind
        CHECK (kind IN ('balance', 'status', 'missing_here', 'missing_there', 'currency')),
    ADD CONSTRAINT ck_processor_break_state CHECK (state IN ('open', 'resolved'));
ALTER TABLE reconciliation_break RENAME CONSTRAINT fk_reconciliation_break_agency_id_payment_id_payment
    TO fk_processor_break_agency_id_payment_id_payment;
ALTER TABLE reconciliation_break RENAME CONSTRAINT pk_reconciliation_break TO pk_processor_break;
ALTER INDEX ix_reconciliation_break_agency_id_id RENAME TO ix_processor_break_agency_id_id;
ALTER TABLE reconciliation_break RENAME COLUMN subject TO processor_ref;
ALTER TABLE reconciliation_break RENAME TO processor_break;
CREATE UNIQUE INDEX uq_processor_break_open ON processor_break (agency_id, kind, processor_ref)
    WHERE state = 'open';
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(BREAKS)
    for table in NEW_TENANT_TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO recoup_app")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(TENANT_POLICY.format(table=table))


def downgrade() -> None:
    op.execute(AS_IT_WAS)
    for table in (
        "payment_match",
        "partner_account",
        "statement_line",
        "statement",
        "partner_reconciliation",
        "partner_sync_item",
        "partner_batch",
        "partner_sync",
        "partner_rules",
        "partner",
    ):
        op.execute(f"DROP TABLE {table}")
