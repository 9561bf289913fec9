"""Partners: which accounts go to which; of each reconciliation, what it has found and which workflow it is.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NEW_TENANT_TABLES = ("partner_assignment", "partner_run_break")

TABLES = """
CREATE TABLE partner_assignment (
    account_id UUID NOT NULL,
    agency_id UUID NOT NULL,
    partner_id UUID NOT NULL,
    assigned_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_partner_assignment PRIMARY KEY (account_id)
);

CREATE TABLE partner_run_break (
    run_id UUID NOT NULL,
    break_id UUID NOT NULL,
    agency_id UUID NOT NULL,
    CONSTRAINT pk_partner_run_break PRIMARY KEY (run_id, break_id)
);
"""

TENANT_POLICY = (
    "CREATE POLICY tenant ON {table} USING"
    " (agency_id = NULLIF(current_setting('recoup.agency', true), '')::uuid)"
)

COLUMNS = """
ALTER TABLE partner
    ADD COLUMN creditor_ids UUID[] DEFAULT '{}' NOT NULL,
    ADD COLUMN risk_levels TEXT[] DEFAULT '{}' NOT NULL,
    ADD COLUMN min_balance NUMERIC(14, 2),
    ADD COLUMN share INTEGER DEFAULT 1 NOT NULL,
    ADD CONSTRAINT ck_partner_risk_levels CHECK (risk_levels <@ ARRAY['LOW', 'MEDIUM', 'HIGH', 'CRITICAL']),
    ADD CONSTRAINT ck_partner_share CHECK (share BETWEEN 0 AND 100);
ALTER TABLE partner_reconciliation ADD COLUMN workflow_id TEXT;
"""

AS_IT_WAS = """
ALTER TABLE partner_reconciliation DROP COLUMN workflow_id;
ALTER TABLE partner
    DROP COLUMN share, DROP COLUMN min_balance, DROP COLUMN risk_levels, DROP COLUMN creditor_ids;
DROP TABLE partner_run_break;
DROP TABLE partner_assignment;
"""


def upgrade() -> None:
    op.execute(TABLES)
    for table in NEW_TENANT_TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO recoup_app")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(TENANT_POLICY.format(table=table))
    op.execute(COLUMNS)


def downgrade() -> None:
    op.execute(AS_IT_WAS)
