"""Bring a database to a revision, as its owner."""

from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from db.urls import sqlalchemy_url
from domain.errors import Conflict

LOCK_TIMEOUT = "5s"
"""How long a migration waits for a lock before it gives up rather than queue up all traffic."""

PARTITION_MONTHS = 18


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


def upgrade(url: str, revision: str = "head") -> str:
    """Migrate the database at ``url`` (owner role) and return the revision it then has.

    The application role ``recoup_app`` must exist, else ``Conflict``. Also makes the monthly
    partitions for the time ahead. Two migrations at once queue up on an advisory lock.
    """
    with _owner_connection(url) as connection:
        if not connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = 'recoup_app'")):
            raise Conflict(
                "the role recoup_app does not exist; create it first: "
                "CREATE ROLE recoup_app LOGIN NOBYPASSRLS PASSWORD '…'"
            )
        command.upgrade(_alone(connection), revision)
        connection.commit()
        connection.execute(text("SELECT make_month_partitions(:months)"), {"months": PARTITION_MONTHS})
        connection.commit()
        return _revision(connection) or "base"


def downgrade(url: str, revision: str) -> None:
    """Take the database at ``url`` back to ``revision`` ("base": empty); queues up as ``upgrade``."""
    with _owner_connection(url) as connection:
        command.downgrade(_alone(connection), revision)
        connection.commit()


def current(url: str) -> str | None:
    """The revision of the database at ``url``; None before the first migration."""
    with _owner_connection(url) as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _alone(connection: Connection) -> Config:
    """What migrates on ``connection`` once no other migration does, and waits for no lock for long."""
    connection.execute(text("SELECT pg_advisory_lock(hashtext('recoup.migrate'))"))
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.commit()
    config = _config()
    config.attributes["connection"] = connection
    return config


def _owner_connection(url: str) -> Connection:
    return create_engine(sqlalchemy_url(url), poolclass=NullPool).connect()
