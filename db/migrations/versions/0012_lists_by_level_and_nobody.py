"""Worklists by risk level, and accounts that are nobody's, each in the order of an index.

Revision ID: 0012
Revises: 0011
"""

from alembic import op
from sqlalchemy import text

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_account_score_level": "account_score (agency_id, level, rank DESC, account_id) WHERE queued",
    "ix_account_nobody": "account (agency_id, id) WHERE assigned_to IS NULL",
}


def upgrade() -> None:
    """While accounts are worked: an index is built concurrently, anew where that was broken off."""
    with op.get_context().autocommit_block():
        for name, definition in INDEXES.items():
            built = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
            if op.get_bind().scalar(built, {"name": f"public.{name}"}) is False:
                op.execute(f"DROP INDEX CONCURRENTLY {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {definition}")


def downgrade() -> None:
    op.execute(f"DROP INDEX IF EXISTS {', '.join(INDEXES)}")
