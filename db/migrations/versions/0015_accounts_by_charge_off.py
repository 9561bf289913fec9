"""Accounts without a due date by their charge-off, since which they are past due.

Revision ID: 0015
Revises: 0014
"""

from alembic import op
from sqlalchemy import text

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_account_charged_off": "account (agency_id, charge_off_date, id) WHERE due_date IS NULL",
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
