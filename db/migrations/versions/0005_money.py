"""Money: payments, refunds, chargebacks, plans, Stripe's events, and what a look at Stripe's books found.

Revision ID: 0005
Revises: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TENANT_TABLES = (
    "chargeback",
    "inbox_event",
    "payment",
    "payment_plan",
    "payment_reconciliation",
    "plan_instalment",
    "processor_break",
    "processor_item",
    "refund",
    "stripe_credentials",
)

ALTERATIONS = """
ALTER TABLE agency
    ADD COLUMN overpayments TEXT DEFAULT 'refuse' NOT NULL,
    ADD COLUMN least_settlement_percent INTEGER DEFAULT 60 NOT NULL,
    ADD CONSTRAINT ck_agency_overpayments CHECK (overpayments IN ('refuse', 'credit')),
    ADD CONSTRAINT ck_agency_least_settlement_percent
        CHECK (least_settlement_percent BETWEEN 0 AND 100);
ALTER TABLE lifecycle_notice ADD COLUMN signal TEXT DEFAULT 'account_changed' NOT NULL;
ALTER TABLE settlement_offer
    DROP CONSTRAINT ck_settlement_offer_status,
    ADD CONSTRAINT ck_settlement_offer_status
        CHECK (status IN ('open', 'accepted', 'kept', 'expired', 'cancelled')),
    ADD COLUMN write_off_id UUID,
    ADD CONSTRAINT fk_settlement_offer_agency_id_write_off_id_journal
        FOREIGN KEY (agency_id, write_off_id) REFERENCES journal (agency_id, id),
    ADD CONSTRAINT uq_settlement_offer_agency_id_id UNIQUE (agency_id, id);
-- A payment goes back in parts, and may come again: several journals correct one.
DROP INDEX uq_journal_reverses_id;
CREATE INDEX ix_journal_reverses_id ON journal (reverses_id) WHERE reverses_id IS NOT NULL;
"""

TABLES = """
CREATE TABLE payment_plan (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    account_id UUID NOT NULL,
    offer_id UUID,
    status TEXT DEFAULT 'active' NOT NULL,
    total NUMERIC(14, 2) NOT NULL,
    currency TEXT NOT NULL,
    frequency TEXT NOT NULL,
    first_due DATE NOT NULL,
    counted_from DATE NOT NULL,
    method TEXT,
    payment_method TEXT,
    customer_ref TEXT,
    agreed_on DATE NOT NULL,
    copy_sent_on DATE,
    made_by TEXT NOT NULL,
    paused_because TEXT,
    ended_because TEXT,
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_payment_plan PRIMARY KEY (id),
    CONSTRAINT uq_payment_plan_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT fk_payment_plan_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id),
    CONSTRAINT fk_payment_plan_agency_id_offer_id_settlement_offer
        FOREIGN KEY (agency_id, offer_id) REFERENCES settlement_offer (agency_id, id),
    CONSTRAINT ck_payment_plan_status
        CHECK (status IN ('active', 'paused', 'completed', 'broken', 'cancelled')),
    CONSTRAINT ck_payment_plan_frequency CHECK (frequency IN ('weekly', 'biweekly', 'monthly')),
    CONSTRAINT ck_payment_plan_method CHECK (method IN ('card', 'bank_transfer')),
    CONSTRAINT ck_payment_plan_paused_because CHECK ((status = 'paused') = (paused_because IS NOT NULL)),
    CONSTRAINT ck_payment_plan_total CHECK (total > 0)
);
CREATE INDEX ix_payment_plan_agency_id_account_id_id ON payment_plan (agency_id, account_id, id);
CREATE INDEX ix_payment_plan_agency_id_id ON payment_plan (agency_id, id);
CREATE UNIQUE INDEX uq_payment_plan_open ON payment_plan (account_id) WHERE status IN ('active', 'paused');

CREATE TABLE plan_instalment (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    plan_id UUID NOT NULL,
    number INTEGER NOT NULL,
    amount NUMERIC(14, 2) NOT NULL,
    due_on DATE NOT NULL,
    collect_on DATE NOT NULL,
    status TEXT DEFAULT 'scheduled' NOT NULL,
    tries INTEGER DEFAULT 0 NOT NULL,
    asked_on DATE,
    next_try_on DATE,
    payment_id UUID,
    paid_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_plan_instalment PRIMARY KEY (id),
    CONSTRAINT uq_plan_instalment_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT uq_plan_instalment_plan_id_number UNIQUE (plan_id, number),
    CONSTRAINT fk_plan_instalment_agency_id_plan_id_payment_plan
        FOREIGN KEY (agency_id, plan_id) REFERENCES payment_plan (agency_id, id),
    CONSTRAINT ck_plan_instalment_amount CHECK (amount > 0),
    CONSTRAINT ck_plan_instalment_status
        CHECK (status IN ('scheduled', 'collecting', 'paid', 'missed', 'cancelled'))
);

CREATE TABLE payment (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    account_id UUID NOT NULL,
    instalment_id UUID,
    origin TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    amount NUMERIC(14, 2) NOT NULL,
    currency TEXT NOT NULL,
    method TEXT NOT NULL,
    status TEXT DEFAULT 'pending' NOT NULL,
    refunded_amount NUMERIC(14, 2) DEFAULT 0 NOT NULL,
    payment_method TEXT,
    customer_ref TEXT,
    off_session BOOLEAN DEFAULT false NOT NULL,
    authorised_at TIMESTAMP WITH TIME ZONE,
    reference TEXT,
    received_on DATE,
    processor_ref TEXT,
    charge_ref TEXT,
    checkout_ref TEXT,
    action_url TEXT,
    action_until TIMESTAMP WITH TIME ZONE,
    failure_code TEXT,
    failure_message TEXT,
    requested_by TEXT NOT NULL,
    journal_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_payment PRIMARY KEY (id),
    CONSTRAINT uq_payment_agency_id_id UNIQUE (agency_id, id),
    CONSTRAINT uq_payment_agency_id_origin_idempotency_key UNIQUE (agency_id, origin, idempotency_key),
    CONSTRAINT fk_payment_agency_id_account_id_account
        FOREIGN KEY (agency_id, account_id) REFERENCES account (agency_id, id),
    CONSTRAINT fk_payment_agency_id_instalment_id_plan_instalment
        FOREIGN KEY (agency_id, instalment_id) REFERENCES plan_instalment (agency_id, id),
    CONSTRAINT fk_payment_agency_id_journal_id_journal
        FOREIGN KEY (agency_id, journal_id) REFERENCES journal (agency_id, id),
    CONSTRAINT ck_payment_amount CHECK (amount > 0),
    CONSTRAINT ck_payment_refunded_amount CHECK (refunded_amount BETWEEN 0 AND amount),
    CONSTRAINT ck_payment_origin CHECK (origin IN ('request', 'plan', 'link', 'provider')),
    CONSTRAINT ck_payment_method CHECK (method IN ('card', 'bank_transfer', 'check', 'cash')),
    CONSTRAINT ck_payment_status CHECK (status IN (
        'pending', 'processing', 'succeeded', 'failed', 'requires_action', 'refunded',
        'partially_refunded', 'disputed'))
);
CREATE INDEX ix_payment_agency_id_account_id_id ON payment (agency_id, account_id, id);
CREATE INDEX ix_payment_unfinished ON payment (agency_id, updated_at)
    WHERE status IN ('pending', 'processing', 'requires_action');
CREATE INDEX ix_payment_instalment_id ON payment (instalment_id) WHERE instalment_id IS NOT NULL;
CREATE UNIQUE INDEX uq_payment_processor_ref ON payment (agency_id, processor_ref)
    WHERE processor_ref IS NOT NULL;

CREATE TABLE refund (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    payment_id UUID NOT NULL,
    origin TEXT NOT NULL,
    amount NUMERIC(14, 2) NOT NULL,
    currency TEXT NOT NULL,
    status TEXT DEFAULT 'pending' NOT NULL,
    reason TEXT,
    processor_ref TEXT,
    failure_code TEXT,
    requested_by TEXT NOT NULL,
    journal_id UUID,
    undone_by_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_refund PRIMARY KEY (id),
    CONSTRAINT fk_refund_agency_id_payment_id_payment
        FOREIGN KEY (agency_id, payment_id) REFERENCES payment (agency_id, id),
    CONSTRAINT fk_refund_agency_id_journal_id_journal
        FOREIGN KEY (agency_id, journal_id) REFERENCES journal (agency_id, id),
    CONSTRAINT fk_refund_agency_id_undone_by_id_journal
        FOREIGN KEY (agency_id, undone_by_id) REFERENCES journal (agency_id, id),
    CONSTRAINT ck_refund_amount CHECK (amount > 0),
    CONSTRAINT ck_refund_origin CHECK (origin IN ('request', 'provider')),
    CONSTRAINT ck_refund_status CHECK (status IN ('pending', 'succeeded', 'failed', 'canceled'))
);
CREATE INDEX ix_refund_agency_id_payment_id_id ON refund (agency_id, payment_id, id);
CREATE INDEX ix_refund_unfinished ON refund (agency_id, updated_at) WHERE status = 'pending';
CREATE UNIQUE INDEX uq_refund_processor_ref ON refund (agency_id, processor_ref)
    WHERE processor_ref IS NOT NULL;

CREATE TABLE chargeback (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    payment_id UUID NOT NULL,
    processor_ref TEXT NOT NULL,
    amount NUMERIC(14, 2) NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    respond_by TIMESTAMP WITH TIME ZONE,
    hold_id UUID,
    journal_id UUID,
    undone_by_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_chargeback PRIMARY KEY (id),
    CONSTRAINT uq_chargeback_agency_id_processor_ref UNIQUE (agency_id, processor_ref),
    CONSTRAINT fk_chargeback_agency_id_payment_id_payment
        FOREIGN KEY (agency_id, payment_id) REFERENCES payment (agency_id, id),
    CONSTRAINT fk_chargeback_hold_id_hold FOREIGN KEY (hold_id) REFERENCES hold (id),
    CONSTRAINT fk_chargeback_agency_id_journal_id_journal
        FOREIGN KEY (agency_id, journal_id) REFERENCES journal (agency_id, id),
    CONSTRAINT fk_chargeback_agency_id_undone_by_id_journal
        FOREIGN KEY (agency_id, undone_by_id) REFERENCES journal (agency_id, id),
    CONSTRAINT ck_chargeback_amount CHECK (amount > 0)
);
CREATE INDEX ix_chargeback_agency_id_payment_id ON chargeback (agency_id, payment_id);

CREATE TABLE stripe_credentials (
    agency_id UUID NOT NULL,
    secret_key_encrypted BYTEA NOT NULL,
    webhook_secret_encrypted BYTEA,
    account_ref TEXT NOT NULL,
    webhook_ref TEXT,
    webhook_url TEXT,
    changed_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_stripe_credentials PRIMARY KEY (agency_id),
    CONSTRAINT fk_stripe_credentials_agency_id_agency FOREIGN KEY (agency_id) REFERENCES agency (id)
);

CREATE TABLE inbox_event (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    provider TEXT NOT NULL,
    event_ref TEXT NOT NULL,
    type TEXT NOT NULL,
    object_ref TEXT,
    intent_ref TEXT,
    body BYTEA NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    status TEXT DEFAULT 'received' NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    reason TEXT,
    handled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_inbox_event PRIMARY KEY (id),
    CONSTRAINT uq_inbox_event_agency_id_provider_event_ref UNIQUE (agency_id, provider, event_ref),
    CONSTRAINT fk_inbox_event_agency_id_agency FOREIGN KEY (agency_id) REFERENCES agency (id),
    CONSTRAINT ck_inbox_event_status
        CHECK (status IN ('received', 'handled', 'ignored', 'unmatched', 'failed'))
);
CREATE INDEX ix_inbox_event_unhandled ON inbox_event (agency_id, received_at)
    WHERE status IN ('received', 'unmatched', 'failed');

CREATE TABLE payment_reconciliation (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    origin TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    status TEXT DEFAULT 'running' NOT NULL,
    looked_up INTEGER DEFAULT 0 NOT NULL,
    mended INTEGER DEFAULT 0 NOT NULL,
    breaks INTEGER DEFAULT 0 NOT NULL,
    reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    completed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_payment_reconciliation PRIMARY KEY (id),
    CONSTRAINT fk_payment_reconciliation_agency_id_agency FOREIGN KEY (agency_id) REFERENCES agency (id),
    CONSTRAINT ck_payment_reconciliation_origin CHECK (origin IN ('manual', 'schedule')),
    CONSTRAINT ck_payment_reconciliation_status CHECK (status IN ('running', 'completed', 'failed'))
);
CREATE INDEX ix_payment_reconciliation_agency_id_id ON payment_reconciliation (agency_id, id);

CREATE TABLE processor_item (
    run_id UUID NOT NULL,
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    agency_id UUID NOT NULL,
    intent_ref TEXT,
    status TEXT NOT NULL,
    amount NUMERIC(14, 2) NOT NULL,
    currency TEXT NOT NULL,
    CONSTRAINT pk_processor_item PRIMARY KEY (run_id, kind, ref),
    CONSTRAINT fk_processor_item_run_id_payment_reconciliation
        FOREIGN KEY (run_id) REFERENCES payment_reconciliation (id) ON DELETE CASCADE,
    CONSTRAINT ck_processor_item_kind CHECK (kind IN ('charge', 'refund', 'dispute'))
);
CREATE INDEX ix_processor_item_run_id_intent_ref ON processor_item (run_id, intent_ref);

CREATE TABLE processor_break (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    kind TEXT NOT NULL,
    payment_id UUID,
    processor_ref TEXT NOT NULL,
    ours NUMERIC(14, 2),
    theirs NUMERIC(14, 2),
    currency TEXT NOT NULL,
    probable_cause TEXT NOT NULL,
    state TEXT DEFAULT 'open' NOT NULL,
    found_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_processor_break PRIMARY KEY (id),
    CONSTRAINT fk_processor_break_agency_id_payment_id_payment
        FOREIGN KEY (agency_id, payment_id) REFERENCES payment (agency_id, id),
    CONSTRAINT ck_processor_break_kind
        CHECK (kind IN ('balance', 'status', 'missing_here', 'missing_there', 'currency')),
    CONSTRAINT ck_processor_break_state CHECK (state IN ('open', 'resolved'))
);
CREATE INDEX ix_processor_break_agency_id_id ON processor_break (agency_id, id);
CREATE UNIQUE INDEX uq_processor_break_open ON processor_break (agency_id, kind, processor_ref)
    WHERE state = 'open';
"""

TENANT_POLICY = (
    "CREATE POLICY tenant ON {table} USING"
    " (agency_id = NULLIF(current_setting('recoup.agency', true), '')::uuid)"
)

AS_IT_WAS = """
UPDATE settlement_offer SET status = 'accepted' WHERE status = 'kept';
ALTER TABLE settlement_offer
    DROP COLUMN write_off_id,
    DROP CONSTRAINT uq_settlement_offer_agency_id_id,
    DROP CONSTRAINT ck_settlement_offer_status,
    ADD CONSTRAINT ck_settlement_offer_status
        CHECK (status IN ('open', 'accepted', 'expired', 'cancelled'));
DROP INDEX ix_journal_reverses_id;
CREATE UNIQUE INDEX uq_journal_reverses_id ON journal (reverses_id) WHERE reverses_id IS NOT NULL;
ALTER TABLE lifecycle_notice DROP COLUMN signal;
ALTER TABLE agency DROP COLUMN overpayments, DROP COLUMN least_settlement_percent;
"""


def upgrade() -> None:
    op.execute(ALTERATIONS)
    op.execute(TABLES)
    for table in TENANT_TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO recoup_app")
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(TENANT_POLICY.format(table=table))


def downgrade() -> None:
    for table in (
        "processor_break",
        "processor_item",
        "payment_reconciliation",
        "inbox_event",
        "stripe_credentials",
        "chargeback",
        "refund",
        "payment",
        "plan_instalment",
        "payment_plan",
    ):
        op.execute(f"DROP TABLE {table}")
    op.execute(AS_IT_WAS)
