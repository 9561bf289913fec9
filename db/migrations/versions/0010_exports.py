"""Exports: lists as files.

Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE export_job (
    id UUID DEFAULT uuidv7() NOT NULL,
    agency_id UUID NOT NULL,
    list_name TEXT NOT NULL,
    filters JSONB DEFAULT '{}' NOT NULL,
    wanted JSONB DEFAULT '{}' NOT NULL,
    format TEXT DEFAULT 'csv' NOT NULL,
    requested_by TEXT NOT NULL,
    requested_by_id UUID,
    status TEXT DEFAULT 'pending' NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    sees_only UUID,
    total BIGINT,
    rows_written BIGINT DEFAULT 0 NOT NULL,
    bytes_written BIGINT DEFAULT 0 NOT NULL,
    location TEXT,
    sha256 TEXT,
    reason TEXT,
    reason_type TEXT,
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    removed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_export_job PRIMARY KEY (id),
    CONSTRAINT fk_export_job_agency_id_agency FOREIGN KEY (agency_id) REFERENCES agency (id),
    CONSTRAINT ck_export_job_status CHECK (status IN ('pending', 'running', 'completed', 'failed')),
    CONSTRAINT ck_export_job_format CHECK (format IN ('csv')),
    CONSTRAINT ck_export_job_whole CHECK (
        status <> 'completed'
        OR num_nulls(location, sha256, completed_at, expires_at) = 0),
    CONSTRAINT ck_export_job_failed CHECK ((status = 'failed') = (reason IS NOT NULL))
);
CREATE INDEX ix_export_job_agency_id_id ON export_job (agency_id, id);
CREATE INDEX ix_export_job_at_work ON export_job (agency_id, created_at)
    WHERE status IN ('pending', 'running');
GRANT SELECT, INSERT, UPDATE, DELETE ON export_job TO recoup_app;
ALTER TABLE export_job ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON export_job
    USING (agency_id = NULLIF(current_setting('recoup.agency', true), '')::uuid);
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE export_job")
