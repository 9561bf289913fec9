"""Lifecycles: holds, promises, disputes, offers, contacts, and what the law said to each of them.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TENANT_TABLES = (
    "account_milestone",
    "assignment_run",
    "compliance_chain",
    "compliance_decision",
    "contact",
    "contact_preference",
    "dispute",
    "hold",
    "lifecycle_notice",
    "promise",
    "settlement_offer",
)
APPEND_ONLY = ("compliance_rule_set", "compliance_decision", "contact")

ALTERATIONS = """
ALTER TABLE agency ADD COLUMN rule_set TEXT DEFAULT 'federal' NOT NULL;
ALTER TABLE account ADD COLUMN promised BOOLEAN DEFAULT false NOT NULL;
CREATE UNIQUE INDEX uq_journal_reverses_id ON journal (reverses_id) WHERE reverses_id IS NOT NULL;

ALTER TABLE staging.placement
    ADD COLUMN record_type TEXT,
    ALTER COLUMN full_name DROP NOT NULL,
    ALTER COLUMN original_amount DROP NOT NULL,
    ADD CONSTRAINT ck_placement_whole
        CHECK (record_type IS NOT NULL OR (full_name IS NOT NULL AND original_amount IS NOT NULL));
CREATE INDEX ix_placement_record_type ON staging.placement (bucket) WHERE record_type IS NOT NULL;
-- Imports at work have tables without the column: without their cursors they are staged anew.
DELETE FROM staging.cursor;
"""

TABLES = """
CREATE TABLE compliance_rule_set (
    id UUID DEFAULT uuidv7() NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    definition JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_compliance_rule_set PRIMARY KEY (id),
    CONSTRAINT uq_compliance_rule_set_name_version UNIQUE (name, version)
);

CREATE TABLE hold (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    account_id UUID NOT NULL,
    debtor_id UUID NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    until DATE,
    placed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    placed_by TEXT NOT NULL,
    released_at TIMESTAMP WITH TIME ZONE,
    released_by TEXT,
    CONSTRAINT pk_hold PRIMARY KEY (id),
    CONSTRAINT fk_hold_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id),
    CONSTRAINT fk_hold_agency_id_debtor_id_debtor
        FOREIGN KEY (agency_id, debtor_id) REFERENCES debtor (agency_id, id)
);
CREATE INDEX ix_hold_agency_id_account_id_id ON hold (agency_id, account_id, id);
CREATE INDEX ix_hold_agency_id_debtor_id ON hold (agency_id, debtor_id);
CREATE UNIQUE INDEX uq_hold_in_force ON hold (account_id, kind) WHERE released_at IS NULL;

CREATE TABLE promise (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    account_id UUID NOT NULL,
    amount NUMERIC(14, 2) NOT NULL,
    currency TEXT NOT NULL,
    due_date DATE NOT NULL,
    status TEXT DEFAULT 'open' NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    made_by TEXT NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_promise PRIMARY KEY (id),
    CONSTRAINT fk_promise_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id),
    CONSTRAINT ck_promise_amount CHECK (amount > 0),
    CONSTRAINT ck_promise_status CHECK (status IN ('open', 'kept', 'broken', 'cancelled'))
);
CREATE INDEX ix_promise_agency_id_account_id_id ON promise (agency_id, account_id, id);
CREATE UNIQUE INDEX uq_promise_open ON promise (account_id) WHERE status = 'open';

CREATE TABLE dispute (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    account_id UUID NOT NULL,
    reason TEXT NOT NULL,
    received_on DATE NOT NULL,
    in_writing BOOLEAN NOT NULL,
    in_period BOOLEAN NOT NULL,
    duplicate_of UUID,
    status TEXT DEFAULT 'open' NOT NULL,
    outcome TEXT,
    verification_sent_on DATE,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    recorded_by TEXT NOT NULL,
    answered_at TIMESTAMP WITH TIME ZONE,
    answered_by TEXT,
    CONSTRAINT pk_dispute PRIMARY KEY (id),
    CONSTRAINT fk_dispute_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id),
    CONSTRAINT uq_dispute_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT fk_dispute_agency_id_duplicate_of_dispute
        FOREIGN KEY (agency_id, duplicate_of) REFERENCES dispute (agency_id, id),
    CONSTRAINT ck_dispute_status CHECK (status IN ('open', 'answered', 'cancelled'))
);
CREATE INDEX ix_dispute_agency_id_account_id_id ON dispute (agency_id, account_id, id);
CREATE UNIQUE INDEX uq_dispute_open ON dispute (account_id) WHERE status = 'open';

CREATE TABLE settlement_offer (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    account_id UUID NOT NULL,
    amount NUMERIC(14, 2) NOT NULL,
    percent NUMERIC(5, 2),
    currency TEXT NOT NULL,
    instalments INTEGER NOT NULL,
    expires_on DATE NOT NULL,
    status TEXT DEFAULT 'open' NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    made_by TEXT NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_settlement_offer PRIMARY KEY (id),
    CONSTRAINT fk_settlement_offer_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id),
    CONSTRAINT ck_settlement_offer_amount CHECK (amount > 0),
    CONSTRAINT ck_settlement_offer_instalments CHECK (instalments > 0),
    CONSTRAINT ck_settlement_offer_status CHECK (status IN ('open', 'accepted', 'expired', 'cancelled'))
);
CREATE INDEX ix_settlement_offer_agency_id_account_id_id ON settlement_offer (agency_id, account_id, id);
CREATE UNIQUE INDEX uq_settlement_offer_open ON settlement_offer (account_id) WHERE status = 'open';

CREATE TABLE account_milestone (
    account_id UUID NOT NULL,
    agency_id UUID NOT NULL,
    kind TEXT NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    noted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_account_milestone PRIMARY KEY (account_id, kind, due_at),
    CONSTRAINT fk_account_milestone_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id)
);

CREATE TABLE lifecycle_notice (
    account_id UUID NOT NULL,
    agency_id UUID NOT NULL,
    noted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_lifecycle_notice PRIMARY KEY (account_id),
    CONSTRAINT fk_lifecycle_notice_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id)
);
CREATE INDEX ix_lifecycle_notice_agency_id_noted_at ON lifecycle_notice (agency_id, noted_at);

CREATE TABLE assignment_run (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    origin TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    status TEXT DEFAULT 'pending' NOT NULL,
    assigned BIGINT DEFAULT 0 NOT NULL,
    left_over BIGINT,
    shares JSONB DEFAULT '{}'::jsonb NOT NULL,
    after_rank BIGINT,
    after_id UUID,
    reason TEXT,
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_assignment_run PRIMARY KEY (id),
    CONSTRAINT fk_assignment_run_agency_id_agency FOREIGN KEY (agency_id) REFERENCES agency (id),
    CONSTRAINT ck_assignment_run_status CHECK (status IN ('pending', 'running', 'completed', 'failed')),
    CONSTRAINT ck_assignment_run_origin CHECK (origin IN ('manual', 'schedule'))
);
CREATE INDEX ix_assignment_run_newest ON assignment_run (agency_id, created_at DESC, id DESC);

CREATE TABLE contact (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    account_id UUID NOT NULL,
    debtor_id UUID NOT NULL,
    channel TEXT NOT NULL,
    direction TEXT NOT NULL,
    purpose TEXT NOT NULL,
    recipient TEXT NOT NULL,
    place TEXT NOT NULL,
    connected BOOLEAN NOT NULL,
    conversation BOOLEAN NOT NULL,
    right_party BOOLEAN NOT NULL,
    consented BOOLEAN NOT NULL,
    consent_given BOOLEAN NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    note TEXT,
    actor TEXT NOT NULL,
    decision_id UUID NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_contact PRIMARY KEY (id),
    CONSTRAINT uq_contact_decision_id UNIQUE (decision_id),
    CONSTRAINT fk_contact_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id),
    CONSTRAINT fk_contact_agency_id_debtor_id_debtor
        FOREIGN KEY (agency_id, debtor_id) REFERENCES debtor (agency_id, id),
    CONSTRAINT ck_contact_channel CHECK (channel IN ('call', 'email', 'sms', 'letter')),
    CONSTRAINT ck_contact_direction CHECK (direction IN ('outbound', 'inbound'))
);
CREATE INDEX ix_contact_agency_id_account_id_at_id ON contact (agency_id, account_id, at, id);
CREATE INDEX ix_contact_agency_id_debtor_id_at ON contact (agency_id, debtor_id, at);

CREATE TABLE contact_preference (
    agency_id UUID NOT NULL,
    debtor_id UUID NOT NULL,
    time_zone TEXT,
    inconvenient JSONB DEFAULT '[]'::jsonb NOT NULL,
    inconvenient_places JSONB DEFAULT '[]'::jsonb NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_contact_preference PRIMARY KEY (agency_id, debtor_id),
    CONSTRAINT fk_contact_preference_agency_id_debtor_id_debtor
        FOREIGN KEY (agency_id, debtor_id) REFERENCES debtor (agency_id, id)
);

CREATE TABLE compliance_decision (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    number BIGINT NOT NULL,
    account_id UUID NOT NULL,
    rule_set_id UUID NOT NULL,
    inputs JSONB NOT NULL,
    allowed BOOLEAN NOT NULL,
    answer JSONB NOT NULL,
    decided_at TIMESTAMP WITH TIME ZONE NOT NULL,
    previous_hash BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    CONSTRAINT pk_compliance_decision PRIMARY KEY (agency_id, number),
    CONSTRAINT uq_compliance_decision_id UNIQUE (id),
    CONSTRAINT fk_compliance_decision_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id),
    CONSTRAINT fk_compliance_decision_rule_set_id_compliance_rule_set
        FOREIGN KEY (rule_set_id) REFERENCES compliance_rule_set (id)
);
CREATE INDEX ix_compliance_decision_agency_id_account_id_number
    ON compliance_decision (agency_id, account_id, number);

CREATE TABLE compliance_chain (
    agency_id UUID NOT NULL,
    number BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    CONSTRAINT pk_compliance_chain PRIMARY KEY (agency_id),
    CONSTRAINT fk_compliance_chain_agency_id_agency
        FOREIGN KEY (agency_id) REFERENCES agency (id)
);
"""

# The rank is risk times balance: a balance that changes takes the score along, or is not committed.
SCORE_FOLLOWS_BALANCE = """
CREATE FUNCTION score_follows_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version = OLD.version OR EXISTS (
        SELECT FROM account_score s JOIN account a ON a.agency_id = s.agency_id AND a.id = s.account_id
         WHERE s.account_id = NEW.id AND s.agency_id = NEW.agency_id AND s.account_version < a.version)
    THEN
        RAISE EXCEPTION 'the balance of account % has changed, its version or its score has not', NEW.id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'score_follows_balance';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER score_follows_balance AFTER UPDATE OF balance ON account
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.balance <> NEW.balance)
    EXECUTE FUNCTION score_follows_balance();
"""

TENANT_POLICY = (
    "CREATE POLICY tenant ON {table} USING"
    " (agency_id = NULLIF(current_setting('recoup.agency', true), '')::uuid)"
)


STAGING_AS_IT_WAS = """
DELETE FROM staging.cursor;
ALTER TABLE staging.placement
    DROP CONSTRAINT ck_placement_whole,
    DROP COLUMN record_type,
    ALTER COLUMN full_name SET NOT NULL,
    ALTER COLUMN original_amount SET NOT NULL;
"""


def upgrade() -> None:
    op.execute(ALTERATIONS)
    op.execute(TABLES)
    for table in ("compliance_rule_set", *TENANT_TABLES):
        rights = "SELECT, INSERT" if table in APPEND_ONLY else "SELECT, INSERT, UPDATE, DELETE"
        op.execute(f"GRANT {rights} ON {table} TO recoup_app")
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(TENANT_POLICY.format(table=table))
    op.execute(SCORE_FOLLOWS_BALANCE)


def downgrade() -> None:
    op.execute("DROP TRIGGER score_follows_balance ON account")
    op.execute("DROP FUNCTION score_follows_balance()")
    for table in (*TENANT_TABLES, "compliance_rule_set"):
        op.execute(f"DROP TABLE {table}")
    op.execute(STAGING_AS_IT_WAS)
    op.execute("DROP INDEX uq_journal_reverses_id")
    op.execute("ALTER TABLE account DROP COLUMN promised")
    op.execute("ALTER TABLE agency DROP COLUMN rule_set")
