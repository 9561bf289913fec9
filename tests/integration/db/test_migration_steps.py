"""Every revision, up and down, on a database with rows in every table: nothing is lost, nobody has to wait.

One walk from an empty database to the newest revision, looked at from all sides.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg.sql import SQL, Identifier

from db import migrate
from sandbox.postgres import OWNER, SUPERUSER, ensure_database
from tests.integration.db.filling import Filler, tables
from tests.integration.db.online import Schema, Watched, watching

WALKED = "recoup_walked"
REVISIONS = [
    str(script.revision) for script in ScriptDirectory.from_config(migrate._config()).walk_revisions()
][::-1]
RELEASED = "0011"
"""The revisions up to this one were made before there was an installation to upgrade."""

RENAMED = {"0006": {"processor_break": "reconciliation_break"}}
GIVEN_UP = {
    # Imports at work are staged anew.
    "0004": {"staging.cursor"},
}
GIVEN_UP_ON_THE_WAY_BACK: dict[str, set[str]] = {
    # How the chunks of a run were cut is not known to the release before.
    "0002": {"scoring_chunk"},
    "0004": {"staging.cursor"},
}

Rows = dict[str, list[dict[str, Any]]]


@dataclass(slots=True)
class Step:
    """What became of the rows that were there before a revision, and of those who work."""

    empty: set[str] = field(default_factory=set)
    lost_up: set[str] = field(default_factory=set)
    lost_down: set[str] = field(default_factory=set)
    lost_up_again: set[str] = field(default_factory=set)
    rewritten: set[str] = field(default_factory=set)
    kept_out: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
async def walked(postgres_server: Any) -> AsyncIterator[dict[str, Step]]:
    """Each revision's step: up, down and up again, with rows of both revisions."""
    await ensure_database(postgres_server, WALKED)
    yield await asyncio.to_thread(_walk, postgres_server.url(OWNER, WALKED))
    async with await psycopg.AsyncConnection.connect(
        postgres_server.url(SUPERUSER, "postgres"), autocommit=True
    ) as admin:
        await admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(WALKED)))


def _walk(url: str) -> dict[str, Step]:
    steps, filler = {}, Filler()
    with psycopg.connect(url, autocommit=True) as link:
        migrate.upgrade(url, REVISIONS[0])
        filler.fill(link, 0)
        for number, (before, revision) in enumerate(pairwise(REVISIONS), 1):
            steps[revision] = _step(url, link, filler, (before, revision), number)
    return steps


def _step(
    url: str, link: psycopg.Connection[Any], filler: Filler, revisions: tuple[str, str], number: int
) -> Step:
    before, revision = revisions
    step, renamed = Step(), RENAMED.get(revision, {})
    rows, schema = _rows(link), Schema.of(link)
    step.empty = {table for table, found in rows.items() if not found}
    with watching(schema) as watched:
        migrate.upgrade(url, revision)
    step.kept_out = watched.kept_out
    after = Schema.of(link)
    step.rewritten, step.broken = schema.rewritten(after), schema.broken(after)
    step.lost_up = _lost(rows, _rows(link), renamed)
    # What only the newer release could write must not keep the older one's from coming back.
    filler.fill(link, number * 2)
    migrate.downgrade(url, before)
    step.lost_down = _lost(rows, _rows(link), {})
    back = _rows(link)
    migrate.upgrade(url, revision)
    step.lost_up_again = _lost(back, _rows(link), renamed)
    filler.fill(link, number * 2 + 1)
    return step


def _rows(link: psycopg.Connection[Any]) -> Rows:
    found = {}
    for table in tables(link):
        name = Identifier(*table.name.split("."))
        found[table.name] = [row for (row,) in link.execute(SQL("SELECT to_jsonb(t) FROM {} t").format(name))]
    return found


def _lost(before: Rows, after: Rows, renamed: dict[str, str]) -> set[str]:
    """Tables in both that lack a row of before, or have it otherwise, in the columns that both know."""
    lost = set()
    for table, rows in before.items():
        if (there := after.get(renamed.get(table, table))) is None or not rows:
            continue
        common = rows[0].keys() & there[0].keys() if there else set()
        have = {_of(row, common) for row in there}
        if not common or any(_of(row, common) not in have for row in rows):
            lost.add(table)
    return lost


def _of(row: dict[str, Any], columns: set[str]) -> str:
    return json.dumps({column: row[column] for column in sorted(columns)})


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_no_row_is_lost_or_changed_on_the_way_up_down_and_up(walked: dict[str, Step], revision: str) -> None:
    step = walked[revision]
    assert step.empty == set()
    assert step.lost_up == GIVEN_UP.get(revision, set())
    assert step.lost_down == GIVEN_UP_ON_THE_WAY_BACK.get(revision, set())
    assert step.lost_up_again == GIVEN_UP.get(revision, set()) - step.lost_down


def _contracts(revision: str) -> str:
    script = ScriptDirectory.from_config(migrate._config()).get_revision(revision)
    return getattr(script.module, "contracts", "") if script else ""


ONLINE = [revision for revision in REVISIONS if revision > RELEASED]


@pytest.mark.parametrize("revision", ONLINE)
def test_nobody_waits_for_a_large_table_to_be_looked_through_or_written_anew(
    walked: dict[str, Step], revision: str
) -> None:
    step = walked[revision]
    assert step.kept_out == []
    assert step.rewritten == set()


@pytest.mark.parametrize("revision", ONLINE)
def test_the_release_before_works_on_the_newer_schema(walked: dict[str, Step], revision: str) -> None:
    """Expand, migrate, contract: what takes a thing away says in ``contracts`` since when nobody uses it."""
    assert walked[revision].broken == [] or _contracts(revision)


def test_such_steps_are_noticed(walked: dict[str, Step]) -> None:
    """The first revisions were made before anybody had to wait for them, and took such steps."""
    assert walked["0002"].rewritten == {"account_score"}
    assert "scoring_run is looked through under AccessExclusiveLock" in walked["0002"].kept_out
    assert "journal is looked through under ShareLock" in walked["0004"].kept_out
    assert "processor_break.processor_ref is gone" in walked["0006"].broken
    assert "stripe_credentials has the new rule uq_stripe_credentials_account_ref" in walked["0007"].broken


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("CREATE INDEX ix_new ON payment (created_at)", "payment is looked through under ShareLock"),
        (
            "ALTER TABLE account ALTER due_date SET NOT NULL",
            "account is looked through under AccessExclusiveLock",
        ),
        (
            "ALTER TABLE account ADD CHECK (balance < 1e9)",
            "account is looked through under AccessExclusiveLock",
        ),
        (
            "ALTER TABLE timeline_event ADD CHECK (kind <> '')",
            "timeline_event_{month} is looked through under AccessExclusiveLock",
        ),
        (
            "ALTER TABLE debtor ADD FOREIGN KEY (agency_id) REFERENCES agency (id)",
            "debtor is looked through under ShareRowExclusiveLock",
        ),
        (
            "ALTER TABLE account ADD note TEXT; UPDATE account SET note = status",
            "account is looked through under AccessExclusiveLock",
        ),
        ("ALTER TABLE account ADD drawn UUID DEFAULT uuidv7()", "account is written anew"),
        ("ALTER TABLE journal ALTER kind TYPE VARCHAR(9)", "journal is written anew"),
        ("ALTER TABLE account ADD note TEXT DEFAULT 'none' NOT NULL", None),
        ("ALTER TABLE account ADD CHECK (balance < 1e9) NOT VALID", None),
        ("ALTER TABLE debtor ADD FOREIGN KEY (agency_id) REFERENCES agency (id) NOT VALID", None),
        ("ALTER TABLE partner ADD CHECK (name <> '')", None),
        ("UPDATE account SET status = status WHERE false", None),
    ],
)
def test_what_keeps_people_waiting(
    walked: object, migrated: str, statement: str, expected: str | None
) -> None:
    with psycopg.connect(migrated) as link:
        before = Schema.of(link)
        watched = Watched(set(before.files))
        link.execute("SELECT pg_stat_force_next_flush()")
        link.commit()
        link.execute(statement.encode())
        watched.look(link.cursor())
        told = watched.kept_out + [f"{name} is written anew" for name in before.rewritten(Schema.of(link))]
        month = link.execute("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')").fetchone()
        link.rollback()
    assert (told == []) if expected is None else (expected.format(month=(month or [""])[0]) in told)


@pytest.fixture
def migrated(postgres_server: Any) -> str:
    """The database at the end of the walk, rows in every table."""
    url: str = postgres_server.url(OWNER, WALKED)
    return url
