"""The rules and the log of decisions: shown, derived again, and what tampering leaves behind."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from api.composition import build_services
from db.compliance_log import GENESIS, NewDecision, entry_hash
from db.rule_files import load_rule_sets
from domain.compliance import RULES
from domain.tenancy import Tenant
from services.compliance import Judge
from services.compliance_audit import Proof, differences
from tests.command_line import CommandLine
from tests.integration.api.contacting import check, days_ago, debt, logged, refused, results
from tests.integration.api.people import read

DECISIONS = 6


@pytest.fixture(scope="module")
async def account(world: Any) -> dict[str, Any]:
    """An account with six decisions: 1, 2, 4, 6 allowed contacts, 3 a refusal, 5 a question."""
    made = await debt(world)
    await logged(world, made, at=days_ago(6))
    await logged(world, made, at=days_ago(5), channel="letter")
    await refused(world, made, "contact_hours", at=days_ago(4, hour=9))
    await logged(world, made, at=days_ago(4))
    await check(world, made, at=days_ago(-2))
    await logged(world, made, at=days_ago(1), conversation=True, right_party=True)
    return made


async def found(world: Any) -> list[tuple[int | None, str]]:
    """What the audit says of acme's log."""
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "audit")) as tx:
        return [(d.number, d.what) async for d in differences(tx, Proof())]


@asynccontextmanager
async def tampered(superuser_url: str, *statements: Any) -> AsyncIterator[None]:
    """The database after what only its superuser can do to it; put back at the end."""
    tables = ("compliance_decision", "compliance_chain", "compliance_rule_set", "contact")
    async with await psycopg.AsyncConnection.connect(superuser_url, autocommit=True) as link:
        await link.execute("SET session_replication_role = replica")
        for table in tables:
            keep = SQL("CREATE TEMPORARY TABLE {} AS TABLE {}")
            await link.execute(keep.format(Identifier(f"kept_{table}"), Identifier(table)))
        try:
            for statement in statements:
                changed = await link.execute(*statement if isinstance(statement, tuple) else (statement,))
                assert changed.rowcount, statement
            yield
        finally:
            for table in tables:
                name, kept = Identifier(table), Identifier(f"kept_{table}")
                await link.execute(SQL("DELETE FROM {}").format(name))
                await link.execute(SQL("INSERT INTO {} SELECT * FROM {}").format(name, kept))


async def test_a_log_that_nobody_touched_is_sound(world: Any, account: Any) -> None:
    assert await found(world) == []
    shown = list(reversed(await results(world, account, "decisions")))
    assert [row["number"] for row in shown] == list(range(1, DECISIONS + 1))
    assert [row["allowed"] for row in shown] == [True, True, False, True, True, True]
    before = [GENESIS.hex(), *(row["hash"] for row in shown)]
    assert [row["previous_hash"] for row in shown] == before[:-1]
    assert {row["rule_set"]["name"] for row in shown} == {"federal"}


CHAINED = "it was chained to another decision than the one before it"
HASH = "its hash does not fit what it says"
U = "UPDATE compliance_decision SET "
END_AT_5 = """
    UPDATE compliance_chain c SET number = 5, hash = d.hash FROM compliance_decision d WHERE d.number = 5
"""


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (
            [U + "answer = jsonb_set(answer, '{notes}', '[]') WHERE number = 2"],
            [(2, HASH), (2, "the answer was")],
        ),
        (
            [U + "allowed = true WHERE number = 3"],
            [(3, HASH), (3, "allowed is True, but the answer says False")],
        ),
        (
            [U + "allowed = true, answer = answer || '{\"allowed\": true, \"notes\": []}' WHERE number = 3"],
            [(3, HASH), (3, "the answer was allowed (0 notes); its inputs and rules give denied by contact")],
        ),
        (
            [U + "inputs = jsonb_set(inputs, '{channel}', '\"letter\"') WHERE number = 3"],
            [(3, HASH), (3, "the answer was denied by contact_hours")],
        ),
        (
            [U + "inputs = inputs - 'at' WHERE number = 1"],
            [(1, HASH), (1, "its inputs cannot be read: at"), (1, "decided otherwise: at")],
        ),
        (
            [U + "inputs = jsonb_set(inputs, '{at}', '\"0001-01-01T00:00:00Z\"') WHERE number = 1"],
            [(1, HASH), (1, "its inputs cannot be judged"), (1, "decided otherwise: at")],
        ),
        (
            [U + "answer = '[]' WHERE number = 1"],
            [(1, HASH), (1, "allowed is True"), (1, "the answer was none that can be read")],
        ),
        ([U + "decided_at = decided_at + interval '1 microsecond' WHERE number = 4"], [(4, HASH)]),
        ([U + "id = uuidv7() WHERE number = 3"], [(3, HASH)]),
        (["DELETE FROM compliance_decision WHERE number = 3"], [(4, "number 3 is missing")]),
        (["DELETE FROM compliance_decision WHERE number IN (1, 3)"],
         [(2, "number 1 is missing"), (4, "number 3 is missing"), (None, "is not in the log")]),
        (
            ["DELETE FROM compliance_decision WHERE number >= 5"],
            [(6, "numbers 5 to 6 are missing"), (None, "is not in the log")],
        ),
        (
            [
                "DELETE FROM compliance_decision WHERE number = 6",
                END_AT_5,
            ],
            [(None, "is not in the log")],
        ),
        (
            [
                U + "number = -number WHERE number IN (2, 3)",
                U + "number = 5 + number WHERE number < 0",
            ],
            [(2, CHAINED), (2, HASH), (3, CHAINED), (3, HASH), (4, CHAINED)],
        ),
        (["UPDATE compliance_chain SET number = 4"], [(6, "goes beyond the end"), (4, "another hash")]),
        (["UPDATE compliance_chain SET hash = 'x'"], [(6, "the end of the chain has another hash")]),
        (["DELETE FROM compliance_chain"], [(6, "the log has decisions, but its chain has no end")]),
        (
            ["UPDATE compliance_rule_set SET definition = jsonb_set(definition, '{calls,attempts}', '70')"],
            [(None, "the stored definition of the rule set federal@")],
        ),
        (["UPDATE compliance_rule_set SET definition = '{}'"], [(None, "the stored definition")]),
    ],
    ids=[
        *("answer", "allowed", "answer-and-allowed", "inputs", "unreadable-inputs", "endless-inputs"),
        *("unreadable-answer", "time", "id", "one-deleted", "two-deleted", "tail", "tail-and-end", "swapped"),
        *("end-rewound", "end-hash", "no-end", "rules", "unreadable-rules"),
    ],
)  # fmt: skip
async def test_tampering_is_reported(
    world: Any, account: Any, module_database: Any, statements: list[str], expected: list[tuple[Any, str]]
) -> None:
    async with tampered(module_database.superuser_url, *(s.encode() for s in statements)):
        differing = await found(world)
    assert [number for number, _ in differing] == [number for number, _ in expected], differing
    for (_, what), (_, part) in zip(differing, expected, strict=True):
        assert part in what
    assert await found(world) == []


C = "UPDATE contact SET "
OF_4 = " WHERE decision_id = (SELECT id FROM compliance_decision WHERE number = 4)"
NOW_OF_5 = "decision_id = (SELECT id FROM compliance_decision WHERE number = 5)"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("account_id = uuidv7()", "decided otherwise: account"),
        ("channel = 'letter'", "decided otherwise: channel"),
        ("direction = 'inbound'", "decided otherwise: direction"),
        ("purpose = 'reminder', recipient = 'attorney', place = 'home'", "purpose, recipient, place"),
        ("connected = false", "decided otherwise: connected"),
        ("at = at + interval '1 microsecond'", "decided otherwise: at"),
        ("consented = true", "decided otherwise: consented"),
        (NOW_OF_5, "decided otherwise: at"),
        ("decision_id = (SELECT id FROM compliance_decision WHERE number = 3)", "was refused"),
        ("decision_id = uuidv7()", "is not in the log"),
    ],
    ids=[
        *("account", "channel", "direction", "three", "connected", "at", "consented"),
        *("of-a-check", "of-a-refusal", "of-none"),
    ],
)
async def test_a_contact_other_than_it_was_decided_is_reported(
    world: Any, account: Any, module_database: Any, change: str, what: str
) -> None:
    async with tampered(module_database.superuser_url, (C + change + OF_4).encode()):
        [(number, said)] = await found(world)
    assert said.startswith("contact ")
    assert said.endswith(what), said
    assert number == {"is not in the log": None, "was refused": 3}.get(what, 5 if change == NOW_OF_5 else 4)
    assert await found(world) == []


async def test_a_consented_call_must_have_been_one(world: Any, account: Any, module_database: Any) -> None:
    other = await debt(world)
    told = {"conversation": True, "right_party": True, "consent_given": True}
    await logged(world, other, at=days_ago(6), **told)
    made = await logged(world, other, at=days_ago(4), purpose="consented")
    await logged(world, other, at=days_ago(4, hour=19), purpose="consented")
    assert made["consented"] is True
    assert await found(world) == []

    change = f"{C} consented = false WHERE id = '{made['id']}'"
    async with tampered(module_database.superuser_url, change.encode()):
        [(_, said)] = await found(world)
    assert said == f"contact {made['id']}: decided otherwise: consented"


async def test_a_decision_serves_one_contact(world: Any, account: Any, module_database: Any) -> None:
    [row, *_] = await results(world, account, "contacts")
    columns = "agency_id, account_id, debtor_id, channel, direction, purpose, recipient, place, connected,"
    columns += " conversation, right_party, consented, consent_given, at, actor, decision_id"
    async with await psycopg.AsyncConnection.connect(module_database.superuser_url) as link:
        again = f"INSERT INTO contact ({columns}) SELECT {columns} FROM contact WHERE id = '{row['id']}'"  # noqa: S608
        with pytest.raises(psycopg.errors.UniqueViolation, match="uq_contact_decision_id"):
            await link.execute(again.encode())


async def test_whoever_computes_a_hash_anew_breaks_the_next_link(
    world: Any, account: Any, module_database: Any
) -> None:
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        rows = [row async for row in tx.compliance_log.every()]
        (label,) = (await tx.rule_sets.labels([rows[2].rule_set_id])).values()
    forged = NewDecision(
        id=rows[2].id,
        account_id=rows[2].account_id,
        rule_set_id=rows[2].rule_set_id,
        rule_set="@".join(label),
        inputs={**rows[2].inputs, "channel": "letter"},
        answer=rows[1].answer,
        decided_at=rows[2].decided_at,
    )
    digest = entry_hash(
        bytes(rows[2].previous_hash),
        agency_id=world.agencies["acme"],
        number=3,
        allowed=True,
        decision=forged,
    )
    update = (
        (U + "inputs = %s, answer = %s, allowed = true, hash = %s WHERE number = 3").encode(),
        [json.dumps(forged.inputs), json.dumps(forged.answer), digest],
    )
    async with tampered(module_database.superuser_url, update):
        differing = await found(world)
    assert (4, CHAINED) in differing
    assert HASH not in [what for _, what in differing]


async def test_decisions_that_are_logged_during_the_audit_do_no_harm(world: Any, account: Any) -> None:
    other = await debt(world)
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "audit")) as tx:
        proof = Proof()
        head = await tx.compliance_log.head()
        await check(world, other, at=days_ago(1))
        seen = [d async for d in differences(tx, proof)]
    assert seen == []
    assert proof.last.number == head.number + 1


async def test_the_command_tells_and_exits_1_on_a_difference(
    world: Any, account: Any, module_database: Any, command_line: CommandLine
) -> None:
    async def run(*words: str) -> tuple[int, str, str]:
        settings = {"RECOUP_DATABASE_URL": module_database.app_url}
        return await command_line.run("audit", "compliance", *words, **settings)

    code, out, err = await run("--json")
    report = json.loads(out)
    assert (code, report["differing"], report["breaches"], report["agencies"]) == (0, 0, [], 2), err
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        head = await tx.compliance_log.head()
    assert report["ends"]["acme"] == {"number": head.number, "hash": head.hash.hex()}
    async with tampered(module_database.superuser_url, b"DELETE FROM compliance_decision WHERE number = 3"):
        code, out, _ = await run("--agency", "acme", "--json")
        assert code == 1
        assert json.loads(out)["breaches"] == [{"agency": "acme", "number": 4, "what": "number 3 is missing"}]
        code, out, _ = await run()
        assert code == 1
        assert "number 3 is missing" in out
        code, out, _ = await run("--agency", "rival")
        assert (code, out.count("every decision follows")) == (0, 1)
    code, _, err = await run("--agency", "atlantis")
    assert (code, err.strip()) == (1, "there is no agency “atlantis”")


STRICT = """
name: three-a-week
title: At most three contacts a week with one person
limits:
  - channels: [call, sms]
    attempts: 3
    days: 7
    scope: person
    citation: Agency policy 7
states:
  TX:
    hours: {opens: "09:00", closes: "20:00", citation: Agency policy 8}
"""


async def test_rules_are_shown_and_an_agency_chooses_them(
    world: Any, temporal_client: Any, tmp_path: Path
) -> None:
    shown = await read(world, "/compliance/rules", "acme.collector")
    assert (shown["name"], len(shown["version"])) == ("federal", 64)
    assert "federal" in [known["name"] for known in shown["known"]]
    rules = {rule["name"]: rule for rule in shown["rules"]}
    assert list(rules) == list(RULES)
    assert all(rule["function"] and rule["citation"] for rule in rules.values()), rules
    assert rules["call_frequency"]["limits"]["attempts"] == 7
    assert rules["call_frequency"]["citation"].startswith("12 CFR 1006.14(b)(2)")
    assert rules["contact_hours"]["limits"]["hours"]["opens"].startswith("08:00")

    path = f"/agencies/{world.agencies['rival']}"
    unknown = await world.call("platform", "PATCH", path, {"rule_set": "lawless"})
    assert (unknown.status_code, unknown.json()["field"]) == (422, "rule_set")
    assert "federal" in unknown.json()["detail"]
    assert (await world.call("rival.admin", "PATCH", path, {"rule_set": "federal"})).status_code == 403

    (tmp_path / "strict.yaml").write_text(STRICT)
    settings = world.settings.model_copy(update={"rules": tmp_path})
    served = build_services(settings, world.database, temporal_client)
    before, world.app.state.services = world.app.state.services, served
    try:
        chosen = await world.call("platform", "PATCH", path, {"rule_set": "three-a-week"})
        assert (chosen.status_code, chosen.json()["rule_set"]) == (200, "three-a-week"), chosen.text
        mine = await read(world, "/compliance/rules", "rival.admin")
        assert (mine["name"], mine["title"]) == (
            "three-a-week",
            "At most three contacts a week with one person",
        )
        limits = {rule["name"]: rule["limits"] for rule in mine["rules"]}
        assert limits["contact_limits"]["limits"][0]["scope"] == "person"
        assert limits["contact_hours"]["states"]["TX"]["opens"].startswith("09:00")
    finally:
        world.app.state.services = before
    lost = await world.call("rival.admin", "GET", "/compliance/rules")
    assert (lost.status_code, "three-a-week" in lost.json()["detail"]) == (409, True)


async def test_a_decision_is_derived_by_the_version_it_was_made_by(
    world: Any, account: Any, tmp_path: Path
) -> None:
    (tmp_path / "strict.yaml").write_text(STRICT.replace("three-a-week", "federal-2"))
    rules = load_rule_sets(tmp_path)
    contacts = world.services.contacts
    before, contacts._judge = contacts._judge, Judge({"federal": rules["federal-2"]})
    try:
        other = await debt(world)
        answer = await check(world, other, at=days_ago(1, hour=14))
        assert (answer["rule"], answer["rule_set"].split("@")[0]) == ("contact_hours", "federal-2")
    finally:
        contacts._judge = before
    assert (await check(world, other, at=days_ago(1, hour=15)))["rule_set"].startswith("federal@")
    assert await found(world) == []
