"""Partners over REST: set up, changed, refused, their rules by version, and what they say taken in."""

import asyncio
import base64
import uuid
from itertools import pairwise
from typing import Any

import pytest

from domain.tenancy import Tenant

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
HTTPS = {"delivery": "https", "delivery_url": "https://partner.example/in", "signing_secret": SECRET}


def _name() -> str:
    return f"p{uuid.uuid4().hex[:10]}"


async def _made(world: Any, **values: Any) -> dict[str, Any]:
    answer = await world.call("acme.admin", "POST", "/partners", {"name": _name(), **values})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def _records(world: Any, entity_id: str) -> list[Any]:
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        return list(await tx.audit.of("partner", entity_id))


async def test_a_partner_is_made_shown_changed_and_its_secret_never_told(world: Any) -> None:
    made = await _made(world, **HTTPS)
    assert made["has_signing_secret"] is True
    assert (made["kind"], made["tolerance_absolute"], made["tolerance_percent"]) == ("agency", "1.00", "1.00")
    assert made["folder"] == f"/partners/{made['name']}"
    path = f"/partners/{made['id']}"
    change = {"tolerance_percent": "0.5", "reconcile_at": "06:30", "stale_after_days": 30}
    changed = (await world.call("acme.admin", "PATCH", path, change)).json()
    assert (changed["tolerance_percent"], changed["reconcile_at"]) == ("0.50", "06:30")
    shown = await world.call("acme.auditor", "GET", path)
    assert shown.json() == changed
    created, second = await _records(world, made["id"])
    assert (created.action, second.action) == ("partner.created", "partner.changed")
    assert created.new["signing_secret"] == "(set)"
    assert second.old["reconcile_at"] is None
    said = f"{shown.text}{created.new}{second.old}{second.new}"
    assert SECRET not in said
    assert SECRET.removeprefix("whsec_") not in said
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        way = await tx.partners.delivery_way(uuid.UUID(made["id"]))
    assert way.signing_secret == SECRET
    assert SECRET not in repr(way)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "Not A Folder"}, "name"),
        ({"name": "../up"}, "name"),
        ({"kind": "shop"}, "kind"),
        ({"delivery": "https", "signing_secret": SECRET}, "delivery_url"),
        ({"delivery": "https", "delivery_url": "https://a.example/"}, "signing_secret"),
        ({"delivery": "sftp"}, "source_id"),
        ({"source_id": str(uuid.UUID(int=7))}, "source_id"),
        ({"kind": "bank", **HTTPS}, "delivery"),
        ({**HTTPS, "delivery_url": "http://partner.example/in"}, "delivery_url"),
        ({**HTTPS, "delivery_url": "ftp://partner.example/in"}, "delivery_url"),
        ({**HTTPS, "delivery_url": "https://user:pw@partner.example/in"}, "delivery_url"),
        ({**HTTPS, "delivery_url": "https://partner.example/in#part"}, "delivery_url"),
        ({**HTTPS, "delivery_url": "https:///in"}, "delivery_url"),
        ({**HTTPS, "delivery_url": "https://[::1/in"}, "delivery_url"),
        ({**HTTPS, "delivery_url": "https://partner.example:port/in"}, "delivery_url"),
        ({**HTTPS, "delivery_url": "https://169.254.169.254/in"}, "delivery_url"),
        ({**HTTPS, "delivery_url": "https://[::ffff:169.254.169.254]/in"}, "delivery_url"),
        ({**HTTPS, "delivery_url": "https://[::]/in"}, "delivery_url"),
        ({**HTTPS, "signing_secret": "short"}, "signing_secret"),
        ({**HTTPS, "signing_secret": "whsec_c2hvcnQ="}, "signing_secret"),
        ({"tolerance_absolute": "-1"}, "tolerance_absolute"),
        ({"tolerance_percent": "101"}, "tolerance_percent"),
        ({"tolerance_percent": 0.5}, "tolerance_percent"),
        ({"approval_limit": "NaN"}, "approval_limit"),
        ({"answer_within_hours": 0}, "answer_within_hours"),
        ({"stale_after_days": 0}, "stale_after_days"),
        ({"reconcile_at": "02:30"}, "reconcile_at"),
        ({"reconcile_at": "06:30:15"}, "reconcile_at"),
        ({"reconcile_at": 3600}, "reconcile_at"),
        ({"statement_profile": {"delimiter": "x"}}, "statement_profile.delimiter"),
        ({"statement_profile": {"columns": {"A": "payer"}}}, "statement_profile"),
        ({"kind": "bank", "statement_profile": {"columns": {"A": "balance"}}}, "statement_profile"),
        ({"statement_profile": []}, "statement_profile"),
        ({"colour": "blue"}, "colour"),
        ({"creditor_ids": [str(uuid.UUID(int=7))]}, "creditor_ids"),
        ({"creditor_ids": ["7"]}, "creditor_ids[0]"),
        ({"creditor_ids": None}, "creditor_ids"),
        ({"risk_levels": ["DREADFUL"]}, "risk_levels[0]"),
        ({"min_balance": "-0.01"}, "min_balance"),
        ({"min_balance": "1e400"}, "min_balance"),
        ({"share": -1}, "share"),
        ({"share": 101}, "share"),
        ({"share": 1.5}, "share"),
        ({"share": True}, "share"),
        ({"answer_within_hours": "72"}, "answer_within_hours"),
        ({**HTTPS, "delivery_url": "https://partner.example:0/in"}, "delivery_url"),
        ({"kind": "bank", "risk_levels": ["HIGH"]}, "risk_levels"),
        ({"kind": "bank", "min_balance": "1.00"}, "min_balance"),
    ],
)
async def test_what_could_never_work_is_refused_by_its_field(
    world: Any, values: dict[str, Any], field: str
) -> None:
    answer = await world.call("acme.admin", "POST", "/partners", {"name": _name(), **values})
    assert (answer.status_code, answer.json().get("field")) == (422, field), answer.text
    assert SECRET not in answer.text


async def test_which_accounts_a_partner_takes_is_shown_kept_once_and_on_the_trail(world: Any) -> None:
    mine, theirs = [
        (await world.call(who, "POST", "/creditors", {"name": _name()})).json()["id"]
        for who in ("acme.admin", "rival.admin")
    ]
    chosen = {"creditor_ids": [mine, mine], "risk_levels": ["CRITICAL", "LOW", "LOW"], "min_balance": "250.5"}
    made = await _made(world, **chosen)
    assert (made["creditor_ids"], made["risk_levels"]) == ([mine], ["LOW", "CRITICAL"])
    assert (made["min_balance"], made["share"]) == ("250.50", 1)
    path = f"/partners/{made['id']}"
    refused = await world.call("acme.admin", "PATCH", path, {"creditor_ids": [theirs]})
    assert (refused.status_code, refused.json()["field"]) == (422, "creditor_ids")
    change = {"creditor_ids": [], "min_balance": None, "share": 0}
    changed = (await world.call("acme.admin", "PATCH", path, change)).json()
    assert {name: changed[name] for name in change} == change
    assert (await world.call("acme.auditor", "GET", path)).json() == changed
    created, second = await _records(world, made["id"])
    assert (created.new["creditor_ids"], second.old["creditor_ids"]) == ([mine], [mine])
    assert second.new == {"creditor_ids": [], "min_balance": None, "share": 0}


async def test_only_a_development_system_sends_to_itself_unencrypted(world: Any) -> None:
    made = await _made(world, **{**HTTPS, "delivery_url": "http://127.0.0.1:9/in"})
    assert made["delivery_url"] == "http://127.0.0.1:9/in"


async def test_a_taken_name_is_a_conflict_and_names_are_per_agency(world: Any) -> None:
    made = await _made(world)
    again = await world.call("acme.admin", "POST", "/partners", {"name": made["name"]})
    assert (again.status_code, again.json()["field"]) == (409, "name")
    other = await world.call("rival.admin", "POST", "/partners", {"name": made["name"]})
    assert other.status_code == 201


async def test_a_key_makes_a_partner_once(world: Any) -> None:
    key, body = {"Idempotency-Key": uuid.uuid4().hex}, {"name": _name(), **HTTPS}
    first = await world.call("acme.admin", "POST", "/partners", body, **key)
    again = await world.call("acme.admin", "POST", "/partners", body, **key)
    assert (again.status_code, again.json()) == (201, first.json())
    other = {**body, "signing_secret": "whsec_" + base64.b64encode(b"x" * 32).decode()}
    assert (await world.call("acme.admin", "POST", "/partners", other, **key)).status_code == 422


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"delivery_url": None}, "delivery_url"),
        ({"signing_secret": None}, "signing_secret"),
        ({"delivery_url": "http://partner.example"}, "delivery_url"),
        ({"delivery": "sftp"}, "source_id"),
        ({"tolerance_absolute": None}, "tolerance_absolute"),
        ({"name": "another"}, "name"),
        ({"kind": "bank"}, "kind"),
        ({"share": None}, "share"),
        ({"risk_levels": None}, "risk_levels"),
        ({"creditor_ids": [str(uuid.UUID(int=7))]}, "creditor_ids"),
        ({"statement_profile": {"decimal_mark": ",", "thousands": ","}}, "statement_profile"),
    ],
)
async def test_a_change_must_leave_a_partner_that_works(
    world: Any, change: dict[str, Any], field: str
) -> None:
    made = await _made(world, **HTTPS)
    answer = await world.call("acme.admin", "PATCH", f"/partners/{made['id']}", change)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


async def test_rules_are_kept_by_version_and_the_same_text_is_no_new_one(world: Any) -> None:
    path = f"/partners/{(await _made(world))['id']}/rules"
    before = await world.call("acme.admin", "GET", path)
    assert before.status_code == 404
    versions = []
    for _ in range(2):
        put = await world.call("acme.admin", "PUT", path, {"rules": "matching: {}\n"})
        assert put.status_code == 200, put.text
        versions.append(put.json()["version"])
    assert versions == [1, 1]
    second = await world.call("acme.admin", "PUT", path, {"rules": "resolve: []\n"})
    assert second.json()["version"] == 2, second.text
    assert (await world.call("acme.auditor", "GET", path)).json() == second.json()
    first = (await world.call("acme.auditor", "GET", f"{path}?version=1")).json()
    assert (first["rules"], first["created_by"]) == ("matching: {}\n", "acme.admin")
    assert (await world.call("acme.admin", "GET", f"{path}?version=3")).status_code == 404
    records = await _records(world, path.split("/")[2])
    assert [row.new["version"] for row in records if row.action == "partner_rules.changed"] == [1, 2]


@pytest.mark.parametrize(
    "rules",
    [
        "a: [",
        "- a\n- b\n",
        "no_such_rule: 1\n",
        "matching: 1\n",
        "a: 1\na: 2\n",
        f"fees: [{{name: a, fixed: {'9' * 5000}}}]",
        "resolve: 2026-13-45",
        'fees: [{name: "a\\0b", fixed: 1}]',
        'matching: {variants: {strip_prefixes: ["\\0"]}}',
        f"matching: {{variants: {{strip_prefixes: [{', '.join(f'p{n}' for n in range(101))}]}}}}",
    ],
    ids=[
        "cut",
        "list",
        "unknown",
        "number",
        "twice",
        "huge",
        "no-day",
        "nul-name",
        "nul-prefix",
        "prefixes",
    ],
)
async def test_rules_that_cannot_be_used_are_refused_with_their_line(world: Any, rules: str) -> None:
    path = f"/partners/{(await _made(world))['id']}/rules"
    answer = await world.call("acme.admin", "PUT", path, {"rules": rules})
    assert answer.status_code == 422, answer.text
    assert "line " in answer.json()["detail"]
    assert (await world.call("acme.admin", "GET", path)).status_code == 404


async def test_rules_that_would_fill_the_memory_are_refused_at_once(world: Any) -> None:
    path = f"/partners/{(await _made(world))['id']}/rules"
    lists = [
        f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]" for before, after in pairwise("abcdefghi")
    ]
    bomb = "\n".join(["a: &a [x, x, x, x, x, x, x, x, x, x]", *lists])
    answer = await asyncio.wait_for(world.call("acme.admin", "PUT", path, {"rules": bomb}), timeout=60)
    assert answer.status_code == 422, answer.text
    assert "line 2: not YAML: *a is an alias" in answer.json()["detail"]
