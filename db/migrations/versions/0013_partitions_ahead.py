"""Monthly partitions that the application may have made ahead, without keeping readers and writers waiting.

Revision ID: 0013
Revises: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# CREATE TABLE … PARTITION OF locks the parent against everybody; attaching a table does not. Months are those
# of UTC whatever the session's time zone. The application owns no table: it may have months added by this
# function, and has nothing that takes any away.
ADD = """
CREATE FUNCTION add_month_partitions(months INTEGER) RETURNS SETOF TEXT LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
SET lock_timeout = '5s' AS $$
DECLARE
    parent TEXT;
    part TEXT;
    first_day TIMESTAMPTZ;
BEGIN
    IF months IS NULL OR months NOT BETWEEN 0 AND 120 THEN
        RAISE EXCEPTION 'add_month_partitions: % months ahead are not between 0 and 120', months
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('recoup.partitions'));
    FOR parent IN
        SELECT c.relname FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
         WHERE c.relnamespace = 'public'::regnamespace AND p.partstrat = 'r' AND p.partnatts = 1
           AND a.atttypid = 'timestamptz'::regtype
         ORDER BY c.relname
    LOOP
        FOR n IN -1 .. months LOOP
            first_day := date_trunc('month', now()) + make_interval(months => n);
            part := parent || to_char(first_day, '_YYYY_MM');
            CONTINUE WHEN to_regclass(format('public.%I', part)) IS NOT NULL;
            EXECUTE format(
                'CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS'
                ' INCLUDING INDEXES INCLUDING STORAGE INCLUDING COMPRESSION)', part, parent);
            EXECUTE format(
                'ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                parent, part, first_day, first_day + make_interval(months => 1));
            RETURN NEXT part;
        END LOOP;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION add_month_partitions(INTEGER) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION add_month_partitions(INTEGER) TO recoup_app;
"""

# The release before still calls this one.
CALLED_BY_THE_RELEASE_BEFORE = """
CREATE OR REPLACE FUNCTION make_month_partitions(months INTEGER) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_month_partitions(months);
END $$;
"""

AS_IT_WAS = """
CREATE OR REPLACE FUNCTION make_month_partitions(months INTEGER) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent TEXT;
    first_day TIMESTAMPTZ;
BEGIN
    FOREACH parent IN ARRAY ARRAY['audit_record', 'timeline_event', 'account_score_history'] LOOP
        FOR n IN -1 .. months LOOP
            first_day := date_trunc('month', now(), 'UTC') + make_interval(months => n);
            EXECUTE format(
                'CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                parent || to_char(first_day AT TIME ZONE 'UTC', '_YYYY_MM'), parent,
                first_day, first_day + make_interval(months => 1));
        END LOOP;
    END LOOP;
END $$;
"""


def upgrade() -> None:
    op.execute(ADD)
    op.execute(CALLED_BY_THE_RELEASE_BEFORE)


def downgrade() -> None:
    op.execute(AS_IT_WAS)
    op.execute("DROP FUNCTION add_month_partitions(INTEGER)")
