"""Figures: what the dashboard shows, computed ahead.

Revision ID: 0009
Revises: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NEW_TENANT_TABLES = ("figures", "account_figure", "daily_figure")

TABLES = """
CREATE TABLE figures (
    agency_id UUID NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    took_ms INTEGER NOT NULL,
    changes TEXT NOT NULL,
    today DATE NOT NULL,
    payments BIGINT DEFAULT 0 NOT NULL,
    received NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    refunded NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    charged_back NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    collected NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    owed_back NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    attempts BIGINT DEFAULT 0 NOT NULL,
    right_party BIGINT DEFAULT 0 NOT NULL,
    promises_open BIGINT DEFAULT 0 NOT NULL,
    promises_kept BIGINT DEFAULT 0 NOT NULL,
    promises_broken BIGINT DEFAULT 0 NOT NULL,
    promises_cancelled BIGINT DEFAULT 0 NOT NULL,
    breaks BIGINT DEFAULT 0 NOT NULL,
    breaks_elsewhere BIGINT DEFAULT 0 NOT NULL,
    breaks_value NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    CONSTRAINT pk_figures PRIMARY KEY (agency_id),
    CONSTRAINT fk_figures_agency_id_agency FOREIGN KEY (agency_id) REFERENCES agency (id)
);
COMMENT ON COLUMN figures.breaks_elsewhere IS 'of these, in another currency';

CREATE TABLE account_figure (
    agency_id UUID NOT NULL,
    slice TEXT NOT NULL,
    part TEXT NOT NULL,
    accounts BIGINT DEFAULT 0 NOT NULL,
    placed NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    balance NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    CONSTRAINT pk_account_figure PRIMARY KEY (agency_id, slice, part),
    CONSTRAINT fk_account_figure_agency_id_agency FOREIGN KEY (agency_id) REFERENCES agency (id),
    CONSTRAINT ck_account_figure_slice CHECK (slice IN ('status', 'risk', 'aging', 'collector'))
);

CREATE TABLE daily_figure (
    agency_id UUID NOT NULL,
    day DATE NOT NULL,
    collector_id UUID NOT NULL,
    payments BIGINT DEFAULT 0 NOT NULL,
    received NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    refunded NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    charged_back NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    collected NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    owed_back NUMERIC(18, 2) DEFAULT 0 NOT NULL,
    attempts BIGINT DEFAULT 0 NOT NULL,
    right_party BIGINT DEFAULT 0 NOT NULL,
    promises_kept BIGINT DEFAULT 0 NOT NULL,
    promises_broken BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_daily_figure PRIMARY KEY (agency_id, day, collector_id),
    CONSTRAINT fk_daily_figure_agency_id_agency FOREIGN KEY (agency_id) REFERENCES agency (id)
);
"""

TENANT_POLICY = (
    "CREATE POLICY tenant ON {table} USING"
    " (agency_id = NULLIF(current_setting('recoup.agency', true), '')::uuid)"
)


def upgrade() -> None:
    op.execute(TABLES)
    for table in NEW_TENANT_TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO recoup_app")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(TENANT_POLICY.format(table=table))


def downgrade() -> None:
    for table in NEW_TENANT_TABLES:
        op.execute(f"DROP TABLE {table}")
