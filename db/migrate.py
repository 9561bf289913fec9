"""Bring a database to a revision, as its owner."""

from collections.abc import Callable, Sequence
from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool
from tenacity import Retrying, retry_if_result, wait_fixed

from db.migration_locks import PATIENCE, LockWatch, Patience, give_way, patiently
from db.urls import sqlalchemy_url
from domain.errors import Conflict

PARTITION_MONTHS = 18
"""As far ahead as there are partitions, unless the caller says otherwise."""
TURN_POLL_S = 0.2


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("db") / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def head() -> str:
    """The newest revision that this build knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None  # noqa: S101 - there is always a first migration
    return revision


def known() -> Sequence[str]:
    """Every revision that this build has, the newest last. Another was made by a newer release: migrations
    add before later ones take away, so that this build works with it."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return [script.revision for script in scripts][::-1]


def upgrade(
    url: str, revision: str = "head", *, months: int = PARTITION_MONTHS, patience: Patience = PATIENCE
) -> str:
    """Migrate the database at ``url`` (owner role) and return the revision it then has.

    The application role ``recoup_app`` must exist, else ``Conflict``. Also makes the monthly partitions for
    as many ``months`` ahead. Two migrations at once queue up on an advisory lock. A revision that meets a
    lock gives up its wait, so that others get on, and is tried again; ``Unavailable`` in the end, which
    leaves the schema at the last revision that is whole. A schema of a newer release stays as it is.
    """
    with _owner_connection(url) as connection:
        if not connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = 'recoup_app'")):
            raise Conflict(
                "the role recoup_app does not exist; create it first: "
                "CREATE ROLE recoup_app LOGIN NOBYPASSRLS PASSWORD '…'"
            )

        def go(config: Config) -> None:
            ours = _revision(connection) in {None, *known()}
            connection.commit()
            if ours:
                command.upgrade(config, revision)
                connection.commit()
            connection.execute(text("SELECT make_month_partitions(:months)"), {"months": months})

        _migrate(url, connection, patience, go)
        return _revision(connection) or "base"


def downgrade(url: str, revision: str, *, patience: Patience = PATIENCE) -> None:
    """Take the database at ``url`` back to ``revision`` ("base": empty); waits and raises as ``upgrade``."""
    with _owner_connection(url) as connection:
        _migrate(url, connection, patience, lambda config: command.downgrade(config, revision))


def current(url: str) -> str | None:
    """The revision of the database at ``url``; None before the first migration."""
    with _owner_connection(url) as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _migrate(url: str, connection: Connection, patience: Patience, go: Callable[[Config], None]) -> None:
    """Have ``go`` migrate on ``connection`` once no other migration does, waiting for no lock for long."""
    _take_turn(connection)
    give_way(connection, patience)
    pid = connection.scalar(text("SELECT pg_backend_pid()"))
    connection.commit()
    config = _config()
    config.attributes["connection"] = connection

    def one_try() -> None:
        try:
            go(config)
            connection.commit()
        finally:
            connection.rollback()

    def give_up(held_by: str) -> str:
        return (
            f"the migration gave up after waiting {patience.tries} times for a lock, of {held_by}. The schema"
            f" is whole, at revision {_revision(connection) or 'base'}: let that transaction end, or end it,"
            " and migrate again"
        )

    with LockWatch(url, pid or 0, patience.lock_timeout_ms / 5_000) as watch:
        patiently(one_try, watch, patience, give_up=give_up)


def _take_turn(connection: Connection) -> None:
    """Wait until no other migration goes on; in no transaction, for who builds an index waits for all."""

    def taken() -> bool:
        found = connection.scalar(text("SELECT pg_try_advisory_lock(hashtext('recoup.migrate'))"))
        connection.commit()
        return bool(found)

    Retrying(retry=retry_if_result(lambda found: not found), wait=wait_fixed(TURN_POLL_S))(taken)


def _owner_connection(url: str) -> Connection:
    return create_engine(
        sqlalchemy_url(url), poolclass=NullPool, connect_args={"application_name": "recoup-migrate"}
    ).connect()
