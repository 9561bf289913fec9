"""Partners over REST: set up, changed, refused, their rules by version, and what they say taken in."""

import asyncio
import base64
import uuid
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import text

from domain.tenancy import Tenant

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
HTTPS = {"delivery": "https", "delivery_url": "https://partner.example/in", "signing_secret": SECRET}
AT = "2026-03-31T14:05:00Z"


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


async def _lines(world: Any, partner_id: str) -> list[Any]:
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        rows = await tx.session.execute(
            text(
                "SELECT l.line, l.account_ref, l.debtor_ref, l.balance, l.status, l.processed_at, l.amount,"
                " l.currency, l.payer, s.lines, s.state"
                " FROM statement_line l JOIN statement s ON s.id = l.statement_id"
                " WHERE s.partner_id = :partner AND l.problem IS NULL ORDER BY l.line"
            ),
            {"partner": partner_id},
        )
        return list(rows)


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
    answer = await asyncio.wait_for(world.call("acme.admin", "PUT", path, {"rules": bomb}), timeout=10)
    assert answer.status_code == 422, answer.text
    assert "line 2: not YAML: *a is an alias" in answer.json()["detail"]


def _message(**values: Any) -> dict[str, Any]:
    return {"account_ref": "A-1", "balance": "100.00", "status": "PARTIAL", "processed_at": AT, **values}


async def test_messages_are_judged_alone_and_acknowledged_when_they_are_on_record(world: Any) -> None:
    partner = (await _made(world))["id"]
    path = f"/partners/{partner}/messages"
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    bad = [
        ({"balance": None}, "balance"),
        ({"balance": "1.005"}, "balance"),
        ({"balance": "ten"}, "balance"),
        ({"balance": True}, "balance"),
        ({"balance": 1e30}, "balance"),
        ({"status": "LATE"}, "status"),
        ({"status": None}, "status"),
        ({"processed_at": later}, "processed_at"),
        ({"processed_at": 1_700_000_000}, "processed_at"),
        ({"processed_at": "2026-03-31"}, "processed_at"),
        ({"processed_at": "0001-01-01T00:00:00+14:00"}, "processed_at"),
        ({"account_ref": None}, None),
        ({"account_ref": "  "}, "account_ref"),
        ({"account_ref": "A\x00"}, "account_ref"),
        ({"account_ref": "\ud800"}, "account_ref"),
        ({"account_ref": "A" * 101}, "account_ref"),
        ({"currency": "usd"}, "currency"),
        ({"agency_id": "x"}, "agency_id"),
    ]
    missing = [
        {key: value for key, value in _message().items() if key != name} for name in ("balance", "status")
    ]
    good = [
        _message(),
        _message(account_ref="A-2", balance=-100, status="unpaid"),
        _message(account_ref=None, debtor_id="D-7", balance=750.5, processed_at="2026-03-31 14:05:00"),
        _message(account_ref="A-3", balance=0, status="PAID", processed_at="2026-03-31T16:05:00+02:00"),
    ]
    sent = [*good, *(_message(**change) for change, _ in bad), *missing, 7, [], "text", None]
    answer = await world.call("acme.admin", "POST", path, sent)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["accepted"], told["duplicates"], told["refused"]) == (4, 0, len(sent) - 4)
    fields = [result["field"] for result in told["results"][4 : 4 + len(bad)]]
    assert fields == [field for _, field in bad]
    assert [result["error"] for result in told["results"][4 + len(bad) :]][:2] == ["is missing"] * 2
    assert [result["index"] for result in told["results"]] == list(range(len(sent)))
    rows = await _lines(world, partner)
    at = datetime.fromisoformat(AT)
    assert [tuple(row)[1:6] for row in rows] == [
        ("A-1", None, rows[0].balance, "PARTIAL", at),
        ("A-2", None, rows[1].balance, "UNPAID", at),
        (None, "D-7", rows[2].balance, "PARTIAL", at),
        ("A-3", None, rows[3].balance, "PAID", at),
    ]
    assert [str(row.balance) for row in rows] == ["100.00", "-100.00", "750.50", "0.00"]
    assert {(row.lines, row.state) for row in rows} == {(len(sent), "open")}


async def test_what_was_refused_is_on_the_statement_with_its_reason_once(world: Any) -> None:
    partner = (await _made(world))["id"]
    path = f"/partners/{partner}/messages"
    sent = [
        _message(),
        _message(account_ref="A-2", balance="ten"),
        {"debtor_id": "D-7", "status": "PAID", "processed_at": AT},
        7,
        _message(account_ref="A\ud800", balance="-1.001"),
        _message(account_ref="A-3", **{"\x00\n" * 100: 1}),
        _message(account_ref="A-4", **{"=cmd()": "x" * 5000}),
    ]
    for _ in range(2):
        answer = await world.call("acme.admin", "POST", path, sent)
        assert (answer.status_code, answer.json()["refused"]) == (200, 6), answer.text
    [statement] = (await world.call("acme.auditor", "GET", f"/partners/{partner}/statements")).json()[
        "results"
    ]
    assert (statement["state"], statement["lines"], statement["problems"]) == ("open", 7, 6)
    listed = await world.call("acme.auditor", "GET", f"/statements/{statement['id']}/problems")
    problems = listed.json()["results"]
    assert [(one["line"], one["account_ref"], one["debtor_ref"]) for one in problems] == [
        (2, "A-2", None),
        (3, None, "D-7"),
        (4, None, None),
        (5, None, None),
        (6, "A-3", None),
        (7, "A-4", None),
    ]
    assert [one["problem"].split(":")[0] for one in problems[:4]] == [
        "balance",
        "balance",
        "must be an object with account_ref or debtor_id, balance, status, processed_at",
        "account_ref",
    ]
    assert problems[4]["problem"] == f"{'??' * 30}…: there is no such field"
    assert problems[5]["problem"] == "=cmd(): there is no such field"
    mended = [_message(account_ref="A-2", balance="10"), sent[1]]
    told = (await world.call("acme.admin", "POST", path, mended)).json()
    assert (told["accepted"], told["refused"]) == (1, 1)
    theirs = await world.call("rival.admin", "GET", f"/statements/{statement['id']}/problems")
    assert theirs.status_code == 404


async def test_the_same_message_again_is_a_duplicate_whatever_the_request(world: Any) -> None:
    partner, other = (await _made(world))["id"], (await _made(world))["id"]
    path, key = f"/partners/{partner}/messages", {"Idempotency-Key": uuid.uuid4().hex}
    first = await world.call("acme.admin", "POST", path, [_message(), _message(balance=100)], **key)
    again = await world.call("acme.admin", "POST", path, [_message(), _message(balance=100)], **key)
    assert [result["outcome"] for result in first.json()["results"]] == ["accepted", "duplicate"]
    assert again.json() == first.json()
    third = await world.call(
        "acme.admin", "POST", path, [_message(balance="100.0"), _message(balance="99.99")]
    )
    assert [result["outcome"] for result in third.json()["results"]] == ["duplicate", "accepted"]
    theirs = await world.call("acme.admin", "POST", f"/partners/{other}/messages", [_message()])
    assert theirs.json()["accepted"] == 1
    assert [len(await _lines(world, one)) for one in (partner, other)] == [2, 1]


async def test_of_the_same_message_sent_at_once_one_is_accepted(world: Any) -> None:
    partner = (await _made(world))["id"]
    path, sent = f"/partners/{partner}/messages", [_message(), _message(account_ref="A-2")]
    answers = await asyncio.gather(*(world.call("acme.admin", "POST", path, sent) for _ in range(8)))
    told = [answer.json() for answer in answers]
    assert (sum(one["accepted"] for one in told), sum(one["duplicates"] for one in told)) == (2, 14)
    assert [row.line for row in await _lines(world, partner)] == [1, 2]


async def test_messages_have_the_words_and_the_currency_of_the_partner_s_statements(world: Any) -> None:
    profile = {"statuses": {"Offen": "UNPAID"}, "currency": "EUR"}
    partner = (await _made(world, statement_profile=profile))["id"]
    sent = [_message(status=" offen "), _message(status="paid", currency="USD"), _message(status="zu")]
    told = (await world.call("acme.admin", "POST", f"/partners/{partner}/messages", sent)).json()
    assert [result["outcome"] for result in told["results"]] == ["accepted", "accepted", "refused"]
    assert told["results"][2]["error"] == "must be one of UNPAID, PARTIAL, PAID, OFFEN"
    rows = await _lines(world, partner)
    assert [(row.status, row.currency) for row in rows] == [("UNPAID", "EUR"), ("PAID", "USD")]


async def test_a_bank_states_payments(world: Any) -> None:
    partner = (await _made(world, kind="bank"))["id"]
    paid = {"payment_ref": "pi_1", "amount": "40.00", "paid_on": "2026-03-31", "payer": "Ann Lee"}
    sent = [
        paid,
        {**paid, "amount": "0"},
        {**paid, "paid_on": (datetime.now(UTC) + timedelta(days=2)).date().isoformat()},
        {**paid, "paid_on": "31.03.2026"},
        {"amount": "1.00", "paid_on": "2026-03-31"},
        _message(),
    ]
    told = (await world.call("acme.admin", "POST", f"/partners/{partner}/messages", sent)).json()
    assert [result["outcome"] for result in told["results"]] == ["accepted"] + ["refused"] * 5
    [row] = await _lines(world, partner)
    assert (str(row.amount), row.payer, row.balance) == ("40.00", "Ann Lee", None)


@pytest.mark.parametrize(
    ("body", "status"),
    [([], 422), ({}, 422), ([_message()] * 1001, 422), ("text", 422), (None, 422)],
    ids=["none", "object", "too-many", "text", "nothing"],
)
async def test_what_is_no_array_of_messages_is_refused(world: Any, body: Any, status: int) -> None:
    partner = (await _made(world))["id"]
    answer = await world.call("acme.admin", "POST", f"/partners/{partner}/messages", body)
    assert answer.status_code == status, answer.text
    assert not await _lines(world, partner)
