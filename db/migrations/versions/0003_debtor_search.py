"""Debtors: found by text, those without accounts as well; search documents that know how new they are.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE debtor_search (
    debtor_id UUID NOT NULL,
    agency_id UUID NOT NULL,
    document TEXT NOT NULL,
    CONSTRAINT pk_debtor_search PRIMARY KEY (debtor_id),
    CONSTRAINT fk_debtor_search_agency_id_debtor_id_debtor
        FOREIGN KEY (agency_id, debtor_id) REFERENCES debtor (agency_id, id)
);
CREATE INDEX ix_debtor_search_document ON debtor_search USING gin (agency_id, document gin_trgm_ops);
GRANT SELECT, INSERT, UPDATE, DELETE ON debtor_search TO recoup_app;
ALTER TABLE debtor_search ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON debtor_search USING
    (agency_id = NULLIF(current_setting('recoup.agency', true), '')::uuid);
"""

DOCUMENTS = "ALTER TABLE account_search ADD COLUMN debtor_version INTEGER DEFAULT 0 NOT NULL"

# Row-level security keeps trigram operators away from their indexes: see search_accounts. A debtor comes
# once for each way that they are found; as many as at_most of one way mean that there may be more. The
# documents of debtors who have got accounts are not kept up by imports, so they are passed over.
FUNCTION = """
CREATE FUNCTION search_debtors(agency UUID, pattern TEXT, reference TEXT, at_most INTEGER)
RETURNS SETOF UUID
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF agency IS DISTINCT FROM NULLIF(current_setting('recoup.agency', true), '')::uuid THEN
        RAISE EXCEPTION 'search_debtors: the agency is not the one of this transaction'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY
        (SELECT a.debtor_id FROM public.account_search s JOIN public.account a ON a.id = s.account_id
          WHERE s.agency_id = agency AND s.document LIKE pattern LIMIT at_most)
        UNION ALL
        (SELECT s.debtor_id FROM public.debtor_search s
          WHERE s.agency_id = agency AND s.document LIKE pattern
            AND NOT EXISTS (SELECT FROM public.account a WHERE a.debtor_id = s.debtor_id) LIMIT at_most)
        UNION ALL
        (SELECT d.id FROM public.debtor d
          WHERE d.agency_id = agency AND d.natural_key LIKE reference LIMIT at_most);
END $$;
REVOKE ALL ON FUNCTION search_debtors(UUID, TEXT, TEXT, INTEGER) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_debtors(UUID, TEXT, TEXT, INTEGER) TO recoup_app;
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(DOCUMENTS)
    op.execute(FUNCTION)


def downgrade() -> None:
    op.execute("DROP FUNCTION search_debtors(UUID, TEXT, TEXT, INTEGER)")
    op.execute("ALTER TABLE account_search DROP COLUMN debtor_version")
    op.execute("DROP TABLE debtor_search")
