"""Debtors over REST: making them, changing them and what follows from it."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.api.people import (
    PERSON,
    assert_scores_are_fresh,
    audit,
    change,
    ids,
    make,
    place,
    read,
    set_account,
)


async def test_a_debtor_is_made_without_accounts(world: Any) -> None:
    made = await make(world, debtor_ref=" D-new ")

    assert made["debtor_ref"] == "D-new"
    assert (made["phone"], made["employment_status"]) == ("+12145550100", "UNEMPLOYED")
    assert (made["monthly_income"], made["version"], made["ssn"]) == ("2000.00", 1, "***-**-****")
    assert made["agency_id"] == str(world.agencies["acme"])
    assert made["accounts"] == {
        "count": 0, "open": 0, "total_balance": "0.00", "highest_risk": None, "results": [],
        "truncated": False,
    }  # fmt: skip
    shown = await read(world, f"/debtors/{made['id']}")
    assert shown == {**made, "ssn": "***-**-9173"}
    [record] = await audit(world, made)
    assert (record.action, record.actor, record.old) == ("debtor.created", "acme.admin", None)
    assert (record.new["ssn_last4"], record.new["monthly_income"]) == ("(set)", "2000.00")
    explained = await read(world, f"/debtors/{made['id']}/score")
    assert (explained["accounts"], explained["highest"], explained["truncated"]) == ([], None, False)


async def test_a_known_reference_is_a_conflict_that_names_the_debtor(world: Any) -> None:
    made = await make(world, debtor_ref="D-twice")

    again = await world.call(
        "acme.admin", "POST", "/debtors", {"full_name": "Other", "debtor_ref": "D-twice"}
    )
    elsewhere = await make(world, "rival.admin", debtor_ref="D-twice")

    assert (again.status_code, again.json()["debtor_id"], again.json()["field"]) == (
        409,
        made["id"],
        "debtor_ref",
    )
    assert elsewhere["id"] != made["id"]
    assert (await read(world, f"/debtors/{made['id']}"))["full_name"] == "Ada Lovelace"


async def test_ten_at_once_make_one_debtor(world: Any) -> None:
    body = {"full_name": "Race", "debtor_ref": "D-race"}

    answers = await asyncio.gather(*(world.call("acme.admin", "POST", "/debtors", body) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


async def test_placements_find_the_debtor_by_reference(world: Any) -> None:
    made = await make(world, monthly_income="1000.00")
    paid, owed = await place(world, made, "50000.00"), await place(world, made, "100.00")
    await set_account(world, paid, status="settled", balance=Decimal(0))

    shown = await read(world, f"/debtors/{made['id']}")

    accounts = shown["accounts"]
    assert {paid["debtor"]["id"], owed["debtor"]["id"]} == {made["id"]}
    assert (accounts["count"], accounts["open"], accounts["total_balance"]) == (2, 1, "100.00")
    assert (paid["risk_level"], owed["risk_level"]) == ("HIGH", "MEDIUM")
    assert accounts["highest_risk"] == "MEDIUM"
    # Ordered by the scores that are stored; nothing has scored the one that was paid anew here.
    assert [account["id"] for account in accounts["results"]] == [paid["id"], owed["id"]]
    assert await ids(world, "/accounts", debtor=made["id"]) == [owed["id"], paid["id"]]


async def test_a_patch_changes_what_is_given_and_everything_that_follows(world: Any) -> None:
    made = await make(world)
    placed = await place(world, made)
    other = await place(world, await make(world))
    before = (await read(world, f"/accounts/{placed['id']}"))["risk_score"]

    changed = await change(
        world, made, full_name="Augusta King", late_payments_count=0, email=None, ssn_last4="0042"
    )

    assert (changed["full_name"], changed["email"], changed["version"]) == ("Augusta King", None, 2)
    assert (changed["phone"], changed["city"]) == (made["phone"], "Dallas")
    assert changed["ssn"] == "***-**-****"
    assert (await read(world, f"/debtors/{made['id']}"))["ssn"] == "***-**-0042"
    assert await ids(world, "/accounts", search="augusta king") == [placed["id"]]
    assert await ids(world, "/accounts", search="ada@example.com", debtor=made["id"]) == []
    account = await read(world, f"/accounts/{placed['id']}")
    assert account["risk_score"] < before
    assert account["score"]["current"] is True
    event = (await read(world, f"/accounts/{placed['id']}/timeline"))["results"][0]
    assert (event["kind"], event["actor"]) == ("debtor_changed", "acme.admin")
    assert set(event["metadata"]["fields"]) == {"full_name", "late_payments_count", "email", "ssn_last4"}
    assert "late payments count" in event["description"]
    assert len((await read(world, f"/accounts/{other['id']}/timeline"))["results"]) == 1
    records = await audit(world, made)
    assert [record.action for record in records] == ["debtor.created", "debtor.changed"]
    assert records[1].old == {
        "full_name": "Ada Lovelace", "late_payments_count": 4, "email": "ada@example.com",
        "ssn_last4": "(set)",
    }  # fmt: skip
    assert records[1].new == {
        "full_name": "Augusta King", "late_payments_count": 0, "email": None, "ssn_last4": "(changed)"
    }  # fmt: skip
    await assert_scores_are_fresh(world, made)


async def test_what_says_the_same_again_changes_nothing(world: Any) -> None:
    made = await make(world)
    placed = await place(world, made)

    same = await change(world, made, ssn_last4="9173", phone="214-555-0100", employment_status="Unemployed")
    empty = await change(world, made)

    assert (same["version"], empty["version"], same["updated_at"]) == (1, 1, made["updated_at"])
    assert len(await audit(world, made)) == 1
    assert len((await read(world, f"/accounts/{placed['id']}/timeline"))["results"]) == 1


async def test_a_put_clears_what_it_leaves_out_except_the_ssn(world: Any) -> None:
    made = await make(world)
    placed = await place(world, made)
    path = f"/debtors/{made['id']}"

    put = await world.call("acme.admin", "PUT", path, {"full_name": "Ada", "monthly_income": "9000.00"})
    kept = await read(world, path)
    cleared = await world.call("acme.admin", "PUT", path, {"full_name": "Ada", "ssn_last4": None})

    assert put.status_code == cleared.status_code == 200
    body = put.json()
    assert (body["full_name"], body["monthly_income"], body["debtor_ref"]) == (
        "Ada",
        "9000.00",
        made["debtor_ref"],
    )
    cleared_fields = {"email", "phone", "city", "state", "employment_status", "contract_type"}
    assert {name for name in PERSON if name in body and body[name] is None} == {
        *cleared_fields,
        "late_payments_count",
    }
    assert kept["ssn"] == "***-**-9173"
    assert cleared.json()["ssn"] is None
    assert (await audit(world, made))[-1].new == {"monthly_income": None, "ssn_last4": None}
    assert (await read(world, f"/accounts/{placed['id']}"))["score"]["current"] is True
    await assert_scores_are_fresh(world, made)


async def test_the_reference_of_a_debtor_cannot_change(world: Any) -> None:
    made = await make(world)
    path = f"/debtors/{made['id']}"

    for method in ("PUT", "PATCH"):
        body = {"full_name": "Ada", "debtor_ref": "another"}
        refused = await world.call("acme.admin", method, path, body)
        same = await world.call("acme.admin", method, path, {**body, "debtor_ref": made["debtor_ref"]})
        assert (refused.status_code, refused.json()["field"]) == (422, "debtor_ref")
        assert same.status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"surprise": 1}, "surprise"),
        ({"ssn": "***-**-1234"}, "ssn"),
        ({"full_name": ""}, "full_name"),
        ({"full_name": 5}, "full_name"),
        ({"full_name": "n" * 10_000}, "full_name"),
        ({"full_name": "a\x07b"}, "full_name"),
        ({"full_name": "a\x00b"}, "full_name"),
        ({"city": "\ud800"}, "city"),
        ({"city": ["Dallas"]}, "city"),
        ({"state": "s" * 51}, "state"),
        ({"ssn_last4": "123"}, "ssn_last4"),
        ({"ssn_last4": "12345"}, "ssn_last4"),
        ({"ssn_last4": 1234}, "ssn_last4"),
        ({"email": "nowhere"}, "email"),
        ({"phone": "call me"}, "phone"),
        ({"monthly_income": "1e3"}, "monthly_income"),
        ({"monthly_income": 10.5}, "monthly_income"),
        ({"monthly_income": "1.234"}, "monthly_income"),
        ({"late_payments_count": -1}, "late_payments_count"),
        ({"late_payments_count": 10_000}, "late_payments_count"),
        ({"late_payments_count": "many"}, "late_payments_count"),
        ({"late_payments_count": True}, "late_payments_count"),
        ({"late_payments_count": "3"}, "late_payments_count"),
        ({"employment_status": "E" * 51}, "employment_status"),
    ],
    ids=str,
)
async def test_a_bad_value_is_named_and_nothing_is_written(
    world: Any, method: str, changes: dict[str, Any], field: str
) -> None:
    made = await make(world)
    if method == "POST":
        path, body = "/debtors", {"full_name": "Ada", "debtor_ref": f"D-{uuid4().hex}", **changes}
    else:
        path, body = f"/debtors/{made['id']}", {"full_name": "Ada", **changes}

    answer = await world.call("acme.admin", method, path, body)

    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
    assert answer.headers["content-type"] == "application/problem+json"
    assert "123" not in answer.json()["detail"] or field != "ssn_last4"
    assert (await read(world, f"/debtors/{made['id']}"))["version"] == 1


@pytest.mark.parametrize("version", [0, -1, "1", 1.5, True])
async def test_a_version_is_a_number(world: Any, version: Any) -> None:
    made = await make(world)

    answer = await world.call("acme.admin", "PATCH", f"/debtors/{made['id']}", {"version": version})

    assert (answer.status_code, answer.json()["field"]) == (422, "version")


async def test_values_are_taken_as_files_take_them(world: Any) -> None:
    made = await make(world, monthly_income="-5.00", employment_status="beekeeper", city="'=cmd()", email="")
    placed = await place(world, made)

    assert (made["monthly_income"], made["employment_status"]) == ("-5.00", "BEEKEEPER")
    assert (made["city"], made["email"]) == ("'=cmd()", None)
    sentences = {factor["factor"]: factor["sentence"] for factor in placed["score"]["factors"]}
    assert "not one this scorecard knows" in sentences["employment_status"]
    await assert_scores_are_fresh(world, made)


@pytest.mark.parametrize("body", [{"full_name": None}, {"debtor_ref": None}])
async def test_what_a_debtor_needs_cannot_be_cleared(world: Any, body: dict[str, Any]) -> None:
    made = await make(world)

    answer = await world.call("acme.admin", "PATCH", f"/debtors/{made['id']}", body)

    assert answer.status_code == 422
    assert answer.json()["field"] == next(iter(body))


async def test_of_two_changes_at_once_one_wins(world: Any) -> None:
    made = await make(world)
    bodies = [{"city": f"City {n}", "version": 1} for n in range(6)]

    answers = await asyncio.gather(
        *(world.call("acme.admin", "PATCH", f"/debtors/{made['id']}", body) for body in bodies)
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    lost = next(answer.json() for answer in answers if answer.status_code == 409)
    won = next(answer.json() for answer in answers if answer.status_code == 200)
    assert (lost["version"], lost["field"]) == (2, "version")
    assert await read(world, f"/debtors/{made['id']}") == {**won, "ssn": "***-**-9173"}


async def test_a_key_gets_the_first_answer_and_refuses_another_body(world: Any) -> None:
    body = {"full_name": "Key", "debtor_ref": f"D-{uuid4().hex}", "ssn_last4": "9173"}
    key = {"Idempotency-Key": uuid4().hex}

    first = await world.call("acme.admin", "POST", "/debtors", body, **key)
    again = await world.call("acme.admin", "POST", "/debtors", body, **key)
    other = await world.call("acme.admin", "POST", "/debtors", {**body, "ssn_last4": "9174"}, **key)
    path = f"/debtors/{first.json()['id']}"
    changes = [
        await world.call("acme.admin", "PATCH", path, {"city": city, "version": 1}, **key)
        for city in ("Dallas", "Dallas", "Austin")
    ]

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.json() == first.json()
    assert [answer.status_code for answer in changes] == [200, 200, 422]
    assert changes[1].json() == changes[0].json()
