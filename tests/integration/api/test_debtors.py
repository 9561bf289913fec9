"""Debtors over REST: making, changing, listing, explaining, and who may see whom."""

import asyncio
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text, update

from db.models import Account
from domain.scoring import DebtorFacts
from domain.scoring.facts import FACT_NAMES
from domain.tenancy import Tenant
from sandbox.processes import until
from services.rescoring import rescore

NOBODY = "00000000-0000-7000-8000-000000000000"

PERSON = {
    "full_name": "Ada Lovelace",
    "ssn_last4": "9173",
    "email": "ada@example.com",
    "phone": "(214) 555-0100",
    "city": "Dallas",
    "state": "TX",
    "monthly_income": "2000.00",
    "late_payments_count": 4,
    "employment_status": "unemployed",
    "contract_type": "temporary",
}


async def make(world: Any, who: str = "acme.admin", **changes: Any) -> dict[str, Any]:
    body = {"debtor_ref": f"D-{uuid4().hex}", **PERSON, **changes}
    answer = await world.call(who, "POST", "/debtors", body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def place(
    world: Any, debtor: dict[str, Any], amount: str = "1250.00", who: str = "acme.admin", **more: Any
) -> dict[str, Any]:
    """An account of the debtor; nothing that is known of them changes."""
    known = {"full_name": debtor["full_name"], "debtor_ref": debtor["debtor_ref"]}
    body = {"external_ref": f"R-{uuid4().hex}", "original_amount": amount, "debtor": known, **more}
    answer = await world.call(who, "POST", "/accounts", body)
    assert answer.status_code == 201, answer.text
    placed: dict[str, Any] = answer.json()
    return placed


async def read(world: Any, path: str, who: str = "acme.admin", **query: Any) -> dict[str, Any]:
    answer = await world.call(who, "GET", f"{path}?{urlencode(query, doseq=True)}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def ids(world: Any, path: str = "/debtors", who: str = "acme.admin", **query: Any) -> list[str]:
    return [row["id"] for row in (await read(world, path, who, **query))["results"]]


async def change(world: Any, debtor: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await world.call("acme.admin", "PATCH", f"/debtors/{debtor['id']}", fields)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def set_account(world: Any, account: dict[str, Any], **values: Any) -> None:
    """What other commands will do to an account's row."""
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        await tx.session.execute(update(Account).where(Account.id == UUID(account["id"])).values(**values))


async def collector_of(world: Any) -> UUID:
    collectors = (await read(world, "/collectors"))["results"]
    return UUID(collectors[0]["id"])


async def audit(world: Any, debtor: dict[str, Any]) -> list[Any]:
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        return list(await tx.audit.of("debtor", debtor["id"]))


async def until_it_waits(world: Any, task: asyncio.Task[Any]) -> None:
    """Until the task is over, or waits for the lock of another transaction."""

    async def waits() -> bool:
        async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
            locks = await tx.session.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
            return task.done() or bool(locks.scalar_one())

    await until(waits, within_s=20, what="the change to wait")


async def assert_scores_are_fresh(world: Any, debtor: dict[str, Any]) -> None:
    """The stored scores are what the scorecard says of the facts as they are shown."""
    shown = await read(world, f"/debtors/{debtor['id']}")
    card = world.services.debtors._scorers["recovery-v1"]
    facts = DebtorFacts.model_validate({name: shown[name] for name in FACT_NAMES})
    explained = await read(world, f"/debtors/{debtor['id']}/score")
    for account in shown["accounts"]["results"]:
        fresh = card.score(facts, Decimal(account["current_balance"]))
        assert (account["risk_score"], account["risk_level"]) == (fresh.total, fresh.level)
        assert Decimal(account["priority_score"]) == fresh.priority_score
    assert [account["stored"]["current"] for account in explained["accounts"]] == [True] * len(
        explained["accounts"]
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
    made = await make(world)
    first, second = await place(world, made, "1000.00"), await place(world, made, "50000.00")
    await set_account(world, first, status="settled", balance=Decimal(0))

    shown = await read(world, f"/debtors/{made['id']}")

    accounts = shown["accounts"]
    assert {first["debtor"]["id"], second["debtor"]["id"]} == {made["id"]}
    assert (accounts["count"], accounts["open"], accounts["total_balance"]) == (2, 1, "50000.00")
    assert accounts["highest_risk"] == second["risk_level"]
    assert [account["id"] for account in accounts["results"]] == [second["id"], first["id"]]
    assert await ids(world, "/accounts", debtor=made["id"]) == [second["id"], first["id"]]


async def test_a_patch_changes_what_is_given_and_everything_that_follows(world: Any) -> None:
    made = await make(world)
    placed = await place(world, made)
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
    assert next(iter(body)) in answer.json()["detail"]


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


async def test_scores_are_never_stale_when_changes_race_with_scoring(world: Any) -> None:
    made = await make(world)
    for amount in ("100.00", "5000.00", "90000.00"):
        await place(world, made, amount)

    async def scored() -> None:
        async with world.database.transaction(Tenant.system(world.agencies["acme"], "run")) as tx:
            await rescore(tx, world.services.debtors._scorers, await tx.accounts.of_debtor(UUID(made["id"])))

    for n in range(6):
        put = {"full_name": "Ada", "monthly_income": f"{10 ** (n % 3 + 1)}.00", "late_payments_count": n}
        answers = await asyncio.gather(
            scored(),
            world.call("acme.admin", "PUT", f"/debtors/{made['id']}", put),
            scored(),
            world.call("acme.admin", "PATCH", f"/debtors/{made['id']}", {"late_payments_count": n + 1}),
        )
        assert [answer.status_code for answer in answers if answer is not None] == [200, 200]
        await assert_scores_are_fresh(world, made)


async def to_other_facts_and_back(world: Any, debtor: dict[str, Any]) -> None:
    """What an import does: facts change, and their scoring is still to come."""
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "import")) as tx:
        await tx.session.execute(
            text("UPDATE debtor SET late_payments_count = 0, version = version + 1 WHERE id = :id"),
            {"id": debtor["id"]},
        )


async def test_a_score_under_way_does_not_outlive_a_change_back(world: Any) -> None:
    """The stored score is of the facts that the change brings back, until the other commits."""
    made = await make(world)
    placed = await place(world, made)
    await to_other_facts_and_back(world, made)
    patch = {"late_payments_count": PERSON["late_payments_count"]}

    async with world.database.transaction(Tenant.system(world.agencies["acme"], "run")) as tx:
        await rescore(tx, world.services.debtors._scorers, [UUID(placed["id"])])
        changing = asyncio.create_task(world.call("acme.admin", "PATCH", f"/debtors/{made['id']}", patch))
        await until_it_waits(world, changing)

    assert (await changing).status_code == 200
    await assert_scores_are_fresh(world, made)


async def test_a_score_read_before_a_change_back_is_not_written_after_it(world: Any) -> None:
    """A run has read the other facts and comes to write them when the change has been made."""
    made = await make(world)
    placed = await place(world, made)
    await to_other_facts_and_back(world, made)
    await change(world, made, late_payments_count=PERSON["late_payments_count"])

    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        kept = await tx.session.execute(
            text("SELECT debtor_version FROM account_score WHERE account_id = :id"), {"id": placed["id"]}
        )
        assert kept.scalar_one() == 3


async def test_the_score_is_explained_in_words_and_nothing_is_written(
    world: Any, module_database: Any
) -> None:
    made = await make(world)
    small, large = await place(world, made, "100.00"), await place(world, made, "90000.00")
    counted = "SELECT (SELECT count(*) FROM account_score_history), (SELECT max(xmin::text) FROM debtor)"
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as link:
        before = await (await link.execute(counted)).fetchone()
        explained = await read(world, f"/debtors/{made['id']}/score", "acme.auditor")
        assert await (await link.execute(counted)).fetchone() == before

    assert explained["scorecard"].startswith("recovery-v1 version ")
    assert [account["account_id"] for account in explained["accounts"]] == [large["id"], small["id"]]
    first = explained["accounts"][0]
    assert len(first["factors"]) == 6
    assert "unemployed" in next(f["sentence"] for f in first["factors"] if f["factor"] == "employment_status")
    assert any("risk level" in sentence for sentence in first["summary"])
    assert first["stored"]["current"] is True
    assert (first["total"], first["level"]) == (large["risk_score"], large["risk_level"])
    assert explained["highest"]["account_id"] == large["id"]
    assert explained["highest"]["priority_score"] == first["priority_score"] == large["priority_score"]


async def test_a_stored_score_of_other_facts_is_told_apart(world: Any) -> None:
    made = await make(world)
    placed = await place(world, made)
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        await tx.session.execute(
            text("UPDATE debtor SET late_payments_count = 0 WHERE id = :id"), {"id": made["id"]}
        )

    [account] = (await read(world, f"/debtors/{made['id']}/score"))["accounts"]

    assert account["stored"]["current"] is False
    assert account["stored"]["total"] == placed["risk_score"] > account["total"]


async def test_many_accounts_are_cut_off_and_said_to_be(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.debtors.ACCOUNTS_EXPLAINED", 2)
    monkeypatch.setattr("services.debtors.ACCOUNTS_SHOWN", 2)
    made = await make(world)
    placed = [await place(world, made, f"{n}00.00") for n in range(1, 4)]

    explained = await read(world, f"/debtors/{made['id']}/score")
    shown = await read(world, f"/debtors/{made['id']}")

    wanted = [placed[2]["id"], placed[1]["id"]]
    assert (explained["count"], explained["truncated"]) == (3, True)
    assert [account["account_id"] for account in explained["accounts"]] == wanted
    assert (shown["accounts"]["count"], shown["accounts"]["truncated"]) == (3, True)
    assert shown["accounts"]["total_balance"] == "600.00"
    assert [account["id"] for account in shown["accounts"]["results"]] == wanted


async def test_lists_are_paged_filtered_and_searched(world: Any) -> None:
    mark = uuid4().hex[:8]
    people = [
        await make(
            world, full_name=f"{mark} {n}", email=f"{mark}.{n}@example.com", debtor_ref=f"REF-{mark}-{n}",
            state="TX" if n % 2 else "CA", employment_status="student" if n else "retired",
        )
        for n in range(5)
    ]  # fmt: skip
    placed = await place(world, people[1])
    newest = [person["id"] for person in reversed(people)]

    path, pages = f"/debtors?search={mark}&page_size=2", list[dict[str, Any]]()
    while path:
        pages.append((await world.call("acme.admin", "GET", path)).json())
        path = (pages[-1]["next"] or "").removeprefix("/api/v1")
    back = (await world.call("acme.admin", "GET", pages[2]["previous"].removeprefix("/api/v1"))).json()

    assert [row["id"] for page in pages for row in page["results"]] == newest
    assert back["results"] == pages[1]["results"]
    assert await ids(world, search=f"{mark.upper()}.3@") == [people[3]["id"]]
    assert await ids(world, search=f"REF-{mark}-2") == [people[2]["id"]]
    assert await ids(world, search=f"ref-{mark}-2") == []
    assert await ids(world, search=placed["external_ref"][2:]) == [people[1]["id"]]
    assert await ids(world, debtor_ref=f"REF-{mark}-4") == [people[4]["id"]]
    assert await ids(world, debtor_ref=f"REF-{mark}") == []
    assert await ids(world, search=mark, state="TX") == [people[3]["id"], people[1]["id"]]
    assert await ids(world, search=mark, state=["TX", "CA"]) == newest
    assert await ids(world, search=mark, employment_status="retired") == [people[0]["id"]]
    assert await ids(world, search="100%") == await ids(world, search="_" * 50) == []
    [row] = (await read(world, "/debtors", search=f"REF-{mark}-1"))["results"]
    assert row["accounts"] == {
        "count": 1, "open": 1, "total_balance": "1250.00", "highest_risk": placed["risk_level"]
    }  # fmt: skip


async def test_a_search_that_many_match_finds_the_same(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = uuid4().hex[:8]
    people = [await make(world, full_name=f"{mark} {n}", debtor_ref=f"{mark}{n}") for n in range(3)]
    placed = await place(world, people[0], external_ref=f"R-{mark}")
    await change(world, people[0], full_name="Somebody Else")
    wanted = [person["id"] for person in reversed(people)]

    async def found() -> list[list[str]]:
        searches = (mark, f"{mark}0", placed["external_ref"].lower())
        return [await ids(world, search=search) for search in searches]

    probed = await found()
    monkeypatch.setattr("db.debtor_lists.SEARCH_PROBE", 0)

    assert await found() == probed == [wanted, [people[0]["id"]], [people[0]["id"]]]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/debtors?search=a%00b", "search"),
        ("/debtors?search=" + "x" * 201, "search"),
        ("/debtors?state=" + "x" * 51, "state[0]"),
        ("/debtors?debtor_ref=a%0ab", "debtor_ref"),
        ("/debtors?page_size=501", "page_size"),
        ("/debtors?cursor=!!!", "cursor"),
        ("/debtors/high-risk?level=LOW", "level[0]"),
        ("/debtors/high-risk?level=HIGH&level=extreme", "level[1]"),
        ("/debtors/high-risk?min_priority=4", "min_priority"),
        ("/debtors/high-risk?cursor=e30", "cursor"),
        ("/debtors/highrisk", "debtor_id"),
    ],
)
async def test_a_bad_filter_is_named(world: Any, path: str, field: str) -> None:
    answer = await world.call("acme.admin", "GET", path)

    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_a_cursor_of_another_list_is_refused(world: Any) -> None:
    for _ in range(2):
        await make(world)
    first = await read(world, "/debtors", page_size=1)
    cursor = first["next"].split("cursor=")[1].split("&")[0]

    answer = await world.call("acme.admin", "GET", f"/debtors/high-risk?cursor={cursor}")

    assert (answer.status_code, answer.json()["field"]) == (422, "cursor")


RISKY: dict[str, Any] = {
    "monthly_income": "1.00",
    "late_payments_count": 9,
    "contract_type": "freelance",
    "industry_sector": "entertainment",
    "family_situation": "divorced_with_dependents",
}


async def risky(world: Any, *amounts: str, **facts: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    debtor = await make(world, "rival.admin", **{**RISKY, **facts})
    return debtor, [await place(world, debtor, amount, "rival.admin") for amount in amounts]


async def test_debtors_at_high_risk_come_once_the_most_valuable_first(world: Any) -> None:
    """In an agency of its own: the list has every debtor at high risk."""
    one, ones = await risky(world, "700.00", "9000.00", "300.00")
    two, twos = await risky(world, "8000.00", "8000.00", "2000.00")
    three, threes = await risky(world, "400.00", employment_status="employed", industry_sector="retail")
    calm, _ = await risky(
        world,
        "999999.00",
        monthly_income="9000000.00",
        late_payments_count=0,
        employment_status="employed",
        contract_type="permanent",
        industry_sector="government",
        family_situation="married_dual_income",
    )
    paid, paids = await risky(world, "9999.00", "50.00")
    async with world.database.transaction(Tenant.system(world.agencies["rival"], "test")) as tx:
        await tx.session.execute(
            update(Account)
            .where(Account.id.in_([UUID(account["id"]) for account in paids]))
            .values(status="closed")
        )

    rows = (await read(world, "/debtors/high-risk", "rival.admin"))["results"]

    assert [(row["id"], row["account"]["id"]) for row in rows] == [
        (one["id"], ones[1]["id"]),
        (two["id"], twos[0]["id"]),
        (three["id"], threes[0]["id"]),
    ]
    assert (rows[0]["risk_level"], rows[2]["risk_level"]) == ("CRITICAL", "HIGH")
    assert rows[0]["priority_score"] == ones[1]["priority_score"]
    assert (rows[0]["risk_score"], rows[0]["priority"]) == (ones[1]["risk_score"], ones[1]["priority"])
    high = await ids(world, "/debtors/high-risk", "rival.admin", level="high")
    assert high == [three["id"]]
    urgent = await ids(world, "/debtors/high-risk", "rival.admin", min_priority=2)
    assert urgent == [one["id"], two["id"]]
    assert calm["id"] not in {row["id"] for row in rows}
    assert paid["id"] not in {row["id"] for row in rows}

    path, pages = "/debtors/high-risk?page_size=1", list[dict[str, Any]]()
    while path:
        pages.append((await world.call("rival.admin", "GET", path)).json())
        path = (pages[-1]["next"] or "").removeprefix("/api/v1")
    back = (await world.call("rival.admin", "GET", pages[2]["previous"].removeprefix("/api/v1"))).json()
    assert [row for page in pages for row in page["results"]] == rows
    assert back["results"] == pages[1]["results"]


async def test_a_collector_sees_the_debtors_of_their_accounts_only(world: Any) -> None:
    theirs, another = await make(world, **RISKY), await make(world, **RISKY)
    own, foreign = await place(world, theirs, "500.00"), await place(world, theirs, "60000.00")
    await place(world, another)
    await set_account(world, own, assigned_to=await collector_of(world))
    who = "acme.collector"

    assert await ids(world, who=who) == await ids(world, "/debtors/high-risk", who) == [theirs["id"]]
    assert await ids(world, who=who, search=another["debtor_ref"]) == []
    shown = await read(world, f"/debtors/{theirs['id']}", who)
    assert (shown["accounts"]["count"], shown["accounts"]["total_balance"]) == (1, "500.00")
    assert shown["ssn"] == "***-**-9173"
    [row] = (await read(world, "/debtors/high-risk", who))["results"]
    assert row["account"]["id"] == own["id"]
    explained = await read(world, f"/debtors/{theirs['id']}/score", who)
    assert [account["account_id"] for account in explained["accounts"]] == [own["id"]]
    assert explained["count"] == 1
    assert foreign["id"] not in str(explained)
    for path in ("", "/score"):
        answer = await world.call(who, "GET", f"/debtors/{another['id']}{path}")
        assert answer.status_code == 404
    for method in ("PUT", "PATCH"):
        answer = await world.call(who, method, f"/debtors/{theirs['id']}", {"full_name": "X"})
        assert answer.status_code == 403


async def test_nobody_sees_another_agencys_debtor(world: Any) -> None:
    made = await make(world, full_name="Walled Off")
    await place(world, made)

    for method, path, body in (
        ("GET", "", None),
        ("GET", "/score", None),
        ("PUT", "", {"full_name": "X"}),
        ("PATCH", "", {"city": "X"}),
    ):
        foreign = await world.call("rival.admin", method, f"/debtors/{made['id']}{path}", body)
        unknown = await world.call("rival.admin", method, f"/debtors/{NOBODY}{path}", body)
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json()["detail"] == unknown.json()["detail"]
    assert await ids(world, who="rival.admin", search="walled off") == []
    assert await ids(world, who="rival.admin", debtor_ref=made["debtor_ref"]) == []
    assert (await read(world, f"/debtors/{made['id']}"))["full_name"] == "Walled Off"


async def test_ssn_digits_are_shown_to_few_and_kept_in_the_clear_nowhere(
    world: Any, module_database: Any
) -> None:
    made = await make(world, ssn_last4="9173")
    await place(world, made)
    await change(world, made, ssn_last4="0000")
    key = {"Idempotency-Key": uuid4().hex}
    await world.call("acme.admin", "PATCH", f"/debtors/{made['id']}", {"ssn_last4": "9173"}, **key)
    picked = {"X-Agency": str(world.agencies["acme"])}

    shown = {
        who: (await world.call(who, "GET", f"/debtors/{made['id']}", **headers)).json()["ssn"]
        for who, headers in (("acme.admin", {}), ("acme.auditor", {}), ("platform", picked))
    }

    assert shown == {
        "acme.admin": "***-**-9173", "acme.auditor": "***-**-****", "platform": "***-**-****"
    }  # fmt: skip
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as link:
        for table in ("audit_record", "command", "timeline_event", "debtor_search"):
            statement = f"SELECT t::text FROM {table} t WHERE t::text ~ '(\\W|^)9173(\\W|$)'"  # noqa: S608
            assert await (await link.execute(statement)).fetchall() == []
