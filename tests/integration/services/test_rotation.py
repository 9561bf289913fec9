"""Keys can be retired: everything encrypted is encrypted anew, once, and stays readable."""

import base64
import os
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
from services import rotation

OPERATOR = Actor("operator", "operator:test")


def _key(name: str) -> str:
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}"


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
