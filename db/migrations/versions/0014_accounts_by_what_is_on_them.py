"""Accounts by what there is on them, driven by indexes of that.

Revision ID: 0014
Revises: 0013
"""

from alembic import op
from sqlalchemy import text

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_promise_status": "promise (agency_id, status, account_id)",
    "ix_contact_right_party": (
        "contact (agency_id, account_id) WHERE conversation AND right_party AND direction = 'outbound'"
    ),
    "ix_posting_owed_back": (
        "posting (agency_id, account_id) INCLUDE (debit, credit, amount)"
        " WHERE debit IN ('credit_balances', 'unapplied') OR credit IN ('credit_balances', 'unapplied')"
    ),
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
