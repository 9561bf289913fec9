"""Keys can be retired: everything encrypted is encrypted anew, once, and stays readable."""

import asyncio
import base64
import json
import os
import re
import uuid
from typing import Any

import asyncssh
import pytest
from sqlalchemy import text

from db.cipher import ColumnCipher, ColumnUnreadable, parse_keys, place
from db.rotation import ENCRYPTED_COLUMNS
from db.session import Database
from db.staging import SSN_COLUMN
from domain.tenancy import Actor, Tenant
from sandbox.processes import until
from services import rotation
from tests.command_line import CommandLine

OPERATOR = Actor("operator", "operator:test")


def _key(name: str) -> str:
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}"


WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)
OLD, NEW = _key("old"), _key("new")


def _database(url: str, keys: str) -> Database:
    return Database(url, ColumnCipher(parse_keys(keys)))


async def _fill(database: Database, debtors: int) -> tuple[Tenant, uuid.UUID]:
    agency_id = uuid.uuid4()
    tenant = Tenant.system(agency_id, "test")
    host_key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    cipher = ColumnCipher(parse_keys(OLD))
    async with database.transaction(tenant) as tx:
        await tx.agencies.add({"id": agency_id, "slug": f"a{agency_id.hex[:8]}", "name": "A"})
        values = {"name": "S", "host": "h", "port": 22, "username": "u", "host_key": host_key}
        source = await tx.sources.add(values, {"password": "pass", "private_key": "key"})
        for number in range(debtors):
            await tx.session.execute(
                text(
                    "INSERT INTO debtor (agency_id, natural_key, full_name, ssn_last4_encrypted)"
                    " VALUES (:agency, :key, 'D', :ssn)"
                ),
                {
                    "agency": agency_id,
                    "key": f"ref:{number}",
                    "ssn": cipher.encrypt(f"{number:04}", place(SSN_COLUMN, agency_id)),
                },
            )
    return tenant, source.id


async def _digits(database: Database, tenant: Tenant, keys: str) -> list[str]:
    cipher = ColumnCipher(parse_keys(keys))
    async with database.transaction(tenant) as tx:
        rows = await tx.session.execute(text("SELECT ssn_last4_encrypted FROM debtor ORDER BY natural_key"))
        return [cipher.decrypt(bytes(row[0]), place(SSN_COLUMN, tenant.agency_id)) for row in rows]


async def test_after_a_rotation_the_old_key_can_go(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH_ROWS", 4)
    before = _database(database.app_url, OLD)
    tenant, source_id = await _fill(before, debtors=10)
    other, _ = await _fill(before, debtors=3)
    both, after = _database(database.app_url, f"{NEW},{OLD}"), _database(database.app_url, NEW)

    with pytest.raises(ColumnUnreadable, match="old"):
        await rotation.rotate_keys(after, OPERATOR, lambda *_: None)

    seen: list[tuple[int, int]] = []
    report = await rotation.rotate_keys(both, OPERATOR, lambda done, total: seen.append((done, total)))
    assert (report.seen, report.rotated) == (17, 17)
    assert seen[-1] == (17, 17)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    assert await _digits(after, tenant, NEW) == [f"{number:04}" for number in range(10)]
    assert await _digits(after, other, NEW) == ["0000", "0001", "0002"]
    async with after.transaction(tenant) as tx:
        secrets = await tx.sources.endpoint_secrets(source_id)
        records = await tx.audit.of("agency", tenant.agency_id)
    assert (secrets.password, secrets.private_key) == ("pass", "key")
    assert {record.actor for record in records} == {"operator:test"}
    assert sum(record.new["values"] for record in records) == 12

    again = await rotation.rotate_keys(both, OPERATOR, lambda *_: None)
    assert (again.seen, again.rotated) == (17, 0)
    for pool in (before, both, after):
        await pool.close()


class Stopped(Exception):
    """Somebody has pressed Ctrl-C."""


async def test_a_rotation_that_was_stopped_goes_on(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH_ROWS", 4)
    before, both = _database(database.app_url, OLD), _database(database.app_url, f"{NEW},{OLD}")
    tenant, _ = await _fill(before, debtors=10)
    stopped_at = 6

    def stop(done: int, _: int) -> None:
        if done >= stopped_at:
            raise Stopped

    with pytest.raises(Stopped):
        await rotation.rotate_keys(both, OPERATOR, stop)
    # The two secrets of the source, and the first four debtors. Both keys open what is half done.
    assert await _digits(both, tenant, f"{NEW},{OLD}") == [f"{number:04}" for number in range(10)]
    rest = await rotation.rotate_keys(both, OPERATOR, lambda *_: None)
    assert (rest.seen, rest.rotated) == (12, 6)
    for pool in (before, both):
        await pool.close()


async def test_what_is_changed_while_keys_rotate_stays_as_it_was_changed(database: Any) -> None:
    before, both = _database(database.app_url, OLD), _database(database.app_url, f"{NEW},{OLD}")
    tenant, _ = await _fill(before, debtors=3)
    change = text("UPDATE debtor SET ssn_last4_encrypted = :ssn WHERE natural_key = 'ref:1'")
    digits = ColumnCipher(parse_keys(OLD)).encrypt("9999", place(SSN_COLUMN, tenant.agency_id))
    async with before.transaction(tenant) as tx:
        await tx.session.execute(change, {"ssn": digits})
        rotating = asyncio.create_task(rotation.rotate_keys(both, OPERATOR, lambda *_: None))

        async def waits() -> bool:
            async with before.platform() as other:
                return bool((await other.session.execute(WAITING)).scalar_one())

        await until(waits, within_s=60, what="the rotation to come to the locked row")
    report = await rotating
    assert (report.seen, report.rotated) == (5, 4)
    assert await _digits(both, tenant, f"{NEW},{OLD}") == ["0000", "9999", "0002"]
    again = await rotation.rotate_keys(both, OPERATOR, lambda *_: None)
    assert (again.seen, again.rotated) == (5, 1)
    assert await _digits(both, tenant, NEW) == ["0000", "9999", "0002"]
    for pool in (before, both):
        await pool.close()


async def test_the_command_says_what_it_has_done_and_which_key_it_lacks(
    database: Any, command_line: CommandLine
) -> None:
    before = _database(database.app_url, OLD)
    await _fill(before, debtors=3)
    await before.close()

    async def rotate(keys: str, *words: str) -> tuple[int, str, str]:
        settings = {"RECOUP_DATABASE_URL": database.app_url, "RECOUP_COLUMN_KEYS": keys}
        return await command_line.run("admin", "rotate-keys", *words, **settings)

    code, out, err = await rotate(NEW)
    assert (code, out) == (1, "")
    assert "needs the key “old”; add it to the column keys" in err
    for rotated in (5, 0):
        code, out, _ = await rotate(f"{NEW},{OLD}", "--json")
        assert (code, json.loads(out)) == (0, {"seen": 5, "rotated": rotated})
    code, out, _ = await rotate(NEW)
    assert code == 0
    assert re.search(r"seen\W+5\b", out)


async def test_every_encrypted_column_is_rotated(database: Any) -> None:
    pool = _database(database.app_url, OLD)
    async with pool.platform() as tx:
        found = await tx.session.execute(
            text(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema = 'public' AND column_name LIKE '%\\_encrypted'"
            )
        )
        columns = {(table, column) for table, column in found}
    await pool.close()
    assert columns == {(column.table, column.column) for column in ENCRYPTED_COLUMNS}
