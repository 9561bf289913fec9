#!/usr/bin/env bash
# Run once by the PostgreSQL image, as its superuser: the roles and databases that docker-compose.yml expects.
set -euo pipefail

psql --set=ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" \
    --set=owner="$RECOUP_OWNER_PASSWORD" --set=app="$RECOUP_APP_PASSWORD" --set=temporal="$TEMPORAL_PASSWORD" <<'SQL'
-- The owner migrates and passes row-level security; the application cannot.
CREATE ROLE recoup_owner LOGIN NOSUPERUSER NOCREATEROLE BYPASSRLS PASSWORD :'owner';
CREATE ROLE recoup_app LOGIN NOSUPERUSER NOCREATEROLE NOBYPASSRLS PASSWORD :'app';
CREATE ROLE temporal LOGIN NOSUPERUSER NOCREATEROLE PASSWORD :'temporal';
CREATE DATABASE recoup OWNER recoup_owner;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE temporal, temporal_visibility, recoup FROM PUBLIC;
GRANT CONNECT ON DATABASE recoup TO recoup_app;
\connect temporal_visibility
-- Trusted since PostgreSQL 13, yet made here so that the setup needs no CREATE on the database.
CREATE EXTENSION IF NOT EXISTS btree_gin;
SQL
