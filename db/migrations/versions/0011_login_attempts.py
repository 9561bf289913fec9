"""Logins that have failed, by name and by address.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE login_attempt (
    name BYTEA NOT NULL,
    address BYTEA NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    locks INTEGER DEFAULT 0 NOT NULL,
    counted_from TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    locked_until TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_login_attempt PRIMARY KEY (name, address)
);
CREATE INDEX ix_login_attempt_expires_at ON login_attempt (expires_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON login_attempt TO recoup_app;
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE login_attempt")
