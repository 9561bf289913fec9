"""What partners say over REST: each message judged alone, and on record when it is acknowledged."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from domain.tenancy import Tenant

AT = "2026-03-31T14:05:00Z"


def _name() -> str:
    return f"p{uuid.uuid4().hex[:10]}"


async def _made(world: Any, **values: Any) -> dict[str, Any]:
    answer = await world.call("acme.admin", "POST", "/partners", {"name": _name(), **values})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


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
