"""What an account can be told over REST, carried out by its workflow on a real server and worker."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from sandbox.processes import until
from tests.integration.api.commanding import (
    account_of,
    collectors,
    events,
    key,
    records,
    second_collector,
    tell,
    working,
)
from tests.integration.api.people import read
from workflows.queues import account_workflow_id

TODAY = datetime.now(ZoneInfo("America/New_York")).date()
"""Where the agency is; tests that begin a second before midnight there may fail."""


def day(days: int) -> str:
    """A day so many days from now."""
    return (TODAY + timedelta(days=days)).isoformat()


@pytest.fixture(scope="module", autouse=True)
async def worker(world: Any, temporal_client: Client) -> AsyncIterator[None]:
    async with working(world, temporal_client):
        yield


@pytest.fixture(scope="module")
async def people(world: Any) -> dict[str, UUID]:
    """The collectors of acme by their logins."""
    return {**await collectors(world), "acme.second": await second_collector(world)}


async def test_assigning_a_new_account_starts_its_work(world: Any, people: dict[str, UUID]) -> None:
    account = await account_of(world)

    answer = await tell(world, account, "assign", {"collector_id": str(people["acme.collector"])})

    assert answer.status_code == 200, answer.text
    told = answer.json()
    shown = await read(world, f"/accounts/{account['id']}")
    assert told == {name: shown[name] for name in told} | {"debtor": told["debtor"]}
    assert (told["status"], told["assigned_to"]) == ("assigned", str(people["acme.collector"]))
    assert told["legal_moves"] == ["in_contact", "disputed", "closed"]
    assert [event["kind"] for event in await events(world, account)][-2:] == ["assigned", "status_changed"]
    [record] = await records(world, account, "account.assigned")
    assert (record.actor, record.old["assigned_to"]) == ("acme.admin", None)


async def test_an_account_goes_by_hand_where_the_table_lets_it(world: Any, people: dict[str, UUID]) -> None:
    account = await account_of(world, status="assigned", assigned_to=people["acme.collector"])

    moved = await tell(
        world,
        account,
        "transition",
        {"new_status": "in_contact", "note": "reached at home"},
        "acme.collector",
    )
    refused = await tell(world, account, "transition", {"new_status": "settled"}, "acme.collector")

    assert (moved.status_code, moved.json()["status"]) == (200, "in_contact")
    [event] = await events(world, account, "status_changed")
    assert (event["old"], event["new"], event["actor"]) == ("assigned", "in_contact", "acme.collector")
    assert event["metadata"]["note"] == "reached at home"
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["type"] == "urn:recoup:problem:illegal-move"
    assert problem["legal_moves"] == ["negotiating", "disputed", "closed"]
    assert problem["status_now"] == "in_contact"
    assert problem["status"] == 409


async def test_of_two_collectors_who_move_one_account_at_once_one_wins(
    world: Any, people: dict[str, UUID]
) -> None:
    for _ in range(3):
        account = await account_of(world, status="in_contact", assigned_to=people["acme.collector"])

        answers = await asyncio.gather(
            tell(world, account, "transition", {"new_status": "negotiating"}, "acme.collector"),
            tell(world, account, "transition", {"new_status": "negotiating"}, "acme.admin"),
        )

        assert sorted(answer.status_code for answer in answers) == [200, 409]
        [lost] = [answer.json() for answer in answers if answer.status_code == 409]
        assert lost["legal_moves"] == ["payment_plan", "settled", "disputed", "closed"]
        assert len(await events(world, account, "status_changed")) == 1


async def test_a_key_used_twice_is_one_event_and_one_answer(world: Any) -> None:
    account = await account_of(world, status="in_contact")
    once, body = key(), {"amount": "100", "due_date": day(10)}

    first, second = await asyncio.gather(*(tell(world, account, "promises", body, **once) for _ in range(2)))
    later = await tell(world, account, "promises", body, **once)
    other = await tell(world, account, "promises", {**body, "amount": "101"}, **once)

    assert [first.status_code, second.status_code, later.status_code] == [201] * 3
    assert first.json() == second.json() == later.json()
    assert (other.status_code, other.json()["type"]) == (422, "urn:recoup:problem:idempotency-key-reused")
    assert other.json()["field"] == "Idempotency-Key"
    assert len(await events(world, account, "promise")) == 1
    promises = (await read(world, f"/accounts/{account['id']}/promises"))["results"]
    assert promises == [first.json()]


async def test_a_key_used_with_two_bodies_at_once_is_the_first_one_s(world: Any) -> None:
    account = await account_of(world, status="in_contact")
    once = key()

    answers = await asyncio.gather(
        *(
            tell(world, account, "promises", {"amount": amount, "due_date": day(10)}, **once)
            for amount in ("100", "101")
        )
    )

    assert sorted(answer.status_code for answer in answers) == [201, 422]
    assert len(await events(world, account, "promise")) == 1


async def test_the_same_key_on_another_account_is_another_body(world: Any) -> None:
    one, other = await account_of(world), await account_of(world)
    once, body = key(), {"new_status": "assigned"}

    first = await tell(world, one, "transition", body, **once)
    second = await tell(world, other, "transition", body, **once)

    assert (first.status_code, second.status_code) == (200, 422)
    assert second.json()["type"] == "urn:recoup:problem:idempotency-key-reused"


async def test_a_closed_account_is_answered_without_a_workflow(world: Any, temporal_client: Client) -> None:
    account = await account_of(world)
    once = key()
    closed = await tell(world, account, "close", {"reason": "too small"}, **once)
    handle = temporal_client.get_workflow_handle(account_workflow_id(UUID(account["id"])))
    await handle.result()
    before = await handle.describe()

    again = await tell(world, account, "close", {"reason": "too small"}, **once)
    reused = await tell(world, account, "close", {"reason": "too old"}, **once)
    refused = {
        what: await tell(world, account, what, body)
        for what, body in (
            ("transition", {"new_status": "assigned"}),
            ("close", {"reason": "again"}),
            ("recall", {"reason": "again"}),
            ("assign", {"collector_id": str(uuid4())}),
            ("promises", {"amount": "1", "due_date": day(1)}),
            ("holds", {"kind": "cease", "reason": "a letter"}),
            ("offers", {"amount": "1", "expires_on": day(1)}),
            (f"offers/{uuid4()}/accept", None),
            ("disputes", {"reason": "no", "received_on": day(0), "in_writing": True}),
            (f"disputes/{uuid4()}/answer", {"outcome": "verified"}),
        )
    }

    assert (closed.status_code, closed.json()["closed_reason"]) == (200, "too small")
    assert again.json() == closed.json()
    assert reused.status_code == 422
    for what, answer in refused.items():
        assert (answer.status_code, answer.json()["legal_moves"]) == (409, []), what
    after = await handle.describe()
    assert (after.status, after.run_id) == (WorkflowExecutionStatus.COMPLETED, before.run_id)
    noted = await tell(world, account, "notes", {"text": "the debtor called after all"})
    assert noted.status_code == 201


async def test_a_person_s_hold_outlives_the_account_it_was_placed_on(
    world: Any, temporal_client: Client
) -> None:
    account = await account_of(world)
    await tell(world, account, "holds", {"kind": "bankruptcy", "reason": "chapter 7"})
    await tell(world, account, "recall", {"reason": "asked for by the creditor"})
    await temporal_client.get_workflow_handle(account_workflow_id(UUID(account["id"]))).result()

    released = await tell(world, account, "DELETE holds/bankruptcy")

    assert (released.status_code, released.json()["released_by"]) == (200, "acme.admin")


async def test_holds_are_placed_listed_and_released(world: Any, people: dict[str, UUID]) -> None:
    account = await account_of(world, status="in_contact", assigned_to=people["acme.collector"])

    placed = await tell(
        world, account, "holds", {"kind": "cease", "reason": "a letter came"}, "acme.collector"
    )
    twice = await tell(world, account, "holds", {"kind": "cease", "reason": "another"}, "acme.collector")
    early = await tell(world, account, "DELETE holds/cease", who="acme.collector")
    released = await tell(world, account, "DELETE holds/cease")
    absent = await tell(world, account, "DELETE holds/attorney")
    unknown = await tell(world, account, "DELETE holds/whim")

    assert placed.status_code == 201
    assert (placed.json()["kind"], placed.json()["placed_by"]) == ("cease", "acme.collector")
    assert twice.status_code == 409
    assert early.status_code == 403
    assert (released.status_code, released.json()["id"]) == (200, placed.json()["id"])
    assert absent.status_code == 404
    assert unknown.status_code == 422
    [listed] = (await read(world, f"/accounts/{account['id']}/holds", "acme.auditor"))["results"]
    assert listed == released.json()


async def test_a_dispute_stops_an_account_and_its_answer_lets_it_go_on(world: Any) -> None:
    account = await account_of(world, status="in_contact")
    body = {"reason": "not my debt", "received_on": day(-1), "in_writing": True}

    disputed = await tell(world, account, "disputes", body)
    second = await tell(world, account, "disputes", {**body, "reason": "wrong amount"})
    status = (await read(world, f"/accounts/{account['id']}"))["status"]
    answered = await tell(
        world,
        account,
        f"disputes/{disputed.json()['id']}/answer",
        {"outcome": "verified", "verification_sent_on": day(0)},
    )
    unknown = await tell(world, account, f"disputes/{uuid4()}/answer", {"outcome": "withdrawn"})

    assert (disputed.status_code, disputed.json()["status"], status) == (201, "open", "disputed")
    assert second.status_code == 409
    assert (answered.status_code, answered.json()["outcome"]) == (200, "verified")
    assert (await read(world, f"/accounts/{account['id']}"))["status"] == "in_contact"
    assert unknown.status_code == 404
    assert (await read(world, f"/accounts/{account['id']}/disputes"))["results"] == [answered.json()]


async def test_an_offer_is_made_replaced_and_accepted(world: Any) -> None:
    account = await account_of(world, status="negotiating")

    first = await tell(world, account, "offers", {"amount": "900", "expires_on": day(5)})
    second = await tell(world, account, "offers", {"percent": "40", "instalments": 3, "expires_on": day(5)})
    gone = await tell(world, account, f"offers/{first.json()['id']}/accept")
    accepted = await tell(world, account, f"offers/{second.json()['id']}/accept")
    unknown = await tell(world, account, f"offers/{uuid4()}/accept")

    assert (first.status_code, first.json()["amount"]) == (201, "900.00")
    assert (second.json()["amount"], second.json()["instalments"]) == ("500.00", 3)
    assert (gone.status_code, gone.json()["offer_status"]) == (409, "cancelled")
    assert (accepted.status_code, accepted.json()["status"]) == (200, "accepted")
    assert unknown.status_code == 404
    listed = (await read(world, f"/accounts/{account['id']}/offers"))["results"]
    assert [offer["status"] for offer in listed] == ["accepted", "cancelled"]


async def test_what_is_on_record_is_listed_in_pages_newest_first(world: Any) -> None:
    account = await account_of(world, status="in_contact")
    made = [
        (await tell(world, account, "promises", {"amount": str(n), "due_date": day(n)})).json()["id"]
        for n in (1, 2, 3)
    ]

    first = await read(world, f"/accounts/{account['id']}/promises", page_size=2)
    second = (await world.call("acme.admin", "GET", first["next"].removeprefix("http://test/api/v1"))).json()

    assert [row["id"] for row in first["results"] + second["results"]] == made[::-1]
    assert [row["status"] for row in first["results"] + second["results"]] == [
        "open",
        "cancelled",
        "cancelled",
    ]


async def test_a_recall_closes_the_account(world: Any) -> None:
    account = await account_of(world, status="in_contact")

    recalled = await tell(world, account, "recall", {"reason": "sold to another agency"})

    assert recalled.status_code == 200
    assert (recalled.json()["status"], recalled.json()["closed_reason"]) == ("closed", "recalled")
    assert recalled.json()["legal_moves"] == []


async def test_another_agency_s_collector_and_account_are_unknown(world: Any) -> None:
    account = await account_of(world)
    stranger = (await collectors(world, "rival"))["rival.collector"]

    assigned = await tell(world, account, "assign", {"collector_id": str(stranger)})
    nobody = await tell(world, account, "assign", {"collector_id": str(uuid4())})
    theirs = await tell(world, account, "transition", {"new_status": "closed"}, "rival.admin")
    noted = await tell(world, account, "notes", {"text": "mine now"}, "rival.admin")
    listed = await world.call("rival.admin", "GET", f"/accounts/{account['id']}/holds")

    assert (assigned.status_code, assigned.json()["field"]) == (422, "collector_id")
    assert assigned.json()["detail"] == nobody.json()["detail"]
    assert [theirs.status_code, noted.status_code, listed.status_code] == [404, 404, 404]
    assert (await read(world, f"/accounts/{account['id']}"))["version"] == account["version"]


async def test_a_collector_commands_their_own_accounts_only(world: Any, people: dict[str, UUID]) -> None:
    account = await account_of(world, status="assigned", assigned_to=people["acme.second"])

    answers = [
        await tell(world, account, "transition", {"new_status": "in_contact"}, "acme.collector"),
        await tell(world, account, "notes", {"text": "x"}, "acme.collector"),
        await tell(world, account, "promises", {"amount": "1", "due_date": day(1)}, "acme.collector"),
        await world.call("acme.collector", "GET", f"/accounts/{account['id']}/promises"),
    ]
    own = await tell(world, account, "transition", {"new_status": "in_contact"}, "acme.second")

    assert {answer.status_code for answer in answers} == {404}
    assert own.status_code == 200


async def test_an_account_that_changes_hands_on_the_way_is_not_theirs_any_more(
    world: Any, people: dict[str, UUID]
) -> None:
    """The workflow's activity judges by the row, not by what the service has seen."""
    account = await account_of(world, status="assigned", assigned_to=people["acme.collector"])

    answers = await asyncio.gather(
        tell(world, account, "assign", {"collector_id": str(people["acme.second"])}),
        tell(world, account, "transition", {"new_status": "in_contact"}, "acme.collector"),
    )

    moved = [event["kind"] for event in await events(world, account)][1:]
    allowed = {(200, 200): {"status_changed", "assigned"}, (200, 404): {"assigned"}}
    outcome = tuple(answer.status_code for answer in answers)
    assert set(moved) == allowed[outcome]
    if outcome == (200, 200):
        assert moved == ["status_changed", "assigned"]


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        ("promises", {"amount": "10", "due_date": "2020-01-01"}, "due_date"),
        ("promises", {"amount": "99999", "due_date": day(2)}, "amount"),
        ("promises", {"amount": "0", "due_date": day(2)}, "amount"),
        ("promises", {"amount": 10.5, "due_date": day(2)}, "amount"),
        ("promises", {"amount": "10", "due_date": "31.12.2030"}, "due_date"),
        ("offers", {"amount": "10", "percent": "10", "expires_on": day(2)}, "amount"),
        ("offers", {"expires_on": day(2)}, "amount"),
        ("offers", {"amount": "10", "expires_on": "2020-01-01"}, "expires_on"),
        ("offers", {"percent": "101", "expires_on": day(2)}, "percent"),
        ("offers", {"amount": "10", "instalments": True, "expires_on": day(2)}, "instalments"),
        ("disputes", {"reason": "no", "received_on": day(3), "in_writing": True}, "received_on"),
        ("disputes", {"reason": "no", "received_on": day(-3661), "in_writing": True}, "received_on"),
        ("disputes", {"reason": "no", "received_on": day(0), "in_writing": "yes"}, "in_writing"),
        ("holds", {"kind": "whim", "reason": "none"}, "kind"),
        ("holds", {"kind": "cease", "reason": " "}, "reason"),
        ("transition", {"new_status": "paid"}, "new_status"),
        ("transition", {"new_status": "closed", "notes": "typed wrong"}, "notes"),
        ("notes", {"text": "x" * 100_000}, "text"),
        ("notes", {"text": "bell\x07"}, "text"),
        ("notes", {"text": "nul\x00"}, "text"),
        ("notes", {"text": "\ud800"}, "text"),
        ("assign", {}, "collector_id"),
        ("close", {"reason": "x" * 2001}, "reason"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() and len(value) < 20 else "",
)
async def test_a_bad_value_is_named(world: Any, what: str, body: dict[str, Any], field: str) -> None:
    account = await account_of(world, status="in_contact")

    answer = await tell(world, account, what, body)

    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert len(answer.text) < 1000, "what was sent is not quoted"
    assert (await read(world, f"/accounts/{account['id']}"))["version"] == 1


async def test_a_note_of_megabytes_is_too_large(world: Any) -> None:
    account = await account_of(world)

    answer = await tell(world, account, "notes", {"text": "x" * (2 << 20)})

    assert answer.status_code == 413


async def test_a_note_is_one_event_with_its_words(world: Any, people: dict[str, UUID]) -> None:
    account = await account_of(world, assigned_to=people["acme.collector"])
    once, body = key(), {"text": "  called;\r\n\tasked for a copy — “für später” 📞  "}

    answers = await asyncio.gather(
        *(tell(world, account, "notes", body, "acme.collector", **once) for _ in range(2))
    )

    first, second = (answer.json() for answer in answers)
    assert [answer.status_code for answer in answers] == [201, 201]
    assert first == second
    [event] = await events(world, account, "note")
    assert event == first
    assert event["description"] == "called;\n\tasked for a copy — “für später” 📞"
    assert (event["kind"], event["actor"]) == ("note", "acme.collector")
    [record] = await records(world, account, "account.noted")
    assert record.new == {"event_id": event["id"]}


async def test_a_note_moves_the_follow_up_of_a_running_lifecycle(world: Any) -> None:
    account = await account_of(world)
    await tell(world, account, "transition", {"new_status": "assigned"})
    before = await follow_up(world, account)

    noted = await tell(world, account, "notes", {"text": "a call"})

    assert noted.status_code == 201

    async def moved() -> bool:
        return await follow_up(world, account) > before

    await until(moved, within_s=60, what="the lifecycle to hear of the note")


async def follow_up(world: Any, account: dict[str, Any]) -> str:
    """When an account's lifecycle says that it has been left alone for too long."""
    steps = (await read(world, f"/accounts/{account['id']}/workflow"))["next"]
    [at] = [step["at"] for step in steps if step["what"].startswith("follow-up")]
    return str(at)


def test_the_schema_says_what_commands_answer(world: Any) -> None:
    paths = world.app.openapi()["paths"]

    def shape(path: str, status: str, method: str = "post") -> str:
        answer = paths[f"/api/v1/accounts/{{account_id}}/{path}"][method]["responses"][status]
        reference: str = answer["content"]["application/json"]["schema"]["$ref"]
        return reference.rsplit("/", 1)[-1]

    assert {shape(path, "200") for path in ("assign", "transition", "recall", "close")} == {"ChangedAccount"}
    assert shape("notes", "201") == "TimelineEntry"
    assert [shape(path, "201") for path in ("holds", "disputes", "promises", "offers")] == [
        "HoldAnswer",
        "DisputeAnswer",
        "PromiseAnswer",
        "OfferAnswer",
    ]
    assert shape("holds/{kind}", "200", "delete") == "HoldAnswer"
