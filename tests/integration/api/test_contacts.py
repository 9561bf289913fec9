"""Contacts over REST: logged where the law allows, refused with the rule where not."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from domain.tenancy import Tenant
from tests.integration.api.contacting import (
    CALL,
    check,
    days_ago,
    debt,
    dispute,
    hold,
    logged,
    new_key,
    post,
    refused,
    results,
)
from tests.integration.api.people import make, read, set_account


async def test_a_contact_is_logged_with_everything_that_follows(world: Any) -> None:
    account = await debt(world)
    at = days_ago(1)

    made = await logged(
        world, account, at=at, conversation=True, right_party=True, note=" Hears\r\nbadly\t. "
    )

    assert {name: made[name] for name in CALL} == {**CALL, "conversation": True, "right_party": True}
    assert (made["purpose"], made["recipient"], made["place"]) == ("general", "consumer", "unknown")
    assert (made["note"], made["actor"]) == ("Hears\nbadly\t.", "acme.collector")
    assert (made["consented"], made["consent_given"]) == (False, False)
    assert datetime.fromisoformat(made["at"]) == at
    assert any("1006.34" in note for note in made["notes"])

    [shown] = await results(world, account, "contacts")
    assert shown == {name: value for name, value in made.items() if name != "notes"}
    [event] = [e for e in await results(world, account, "timeline") if e["kind"] == "contact"]
    assert (event["description"], event["actor"]) == ("Outbound call: conversation", "acme.collector")
    assert event["metadata"]["contact_id"] == made["id"]
    assert "Hears" not in str(event)
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        [record] = await tx.audit.of("contact", made["id"])
    assert (record.action, record.actor, record.new["decision_id"]) == (
        "contact.logged", "acme.collector", made["decision_id"],
    )  # fmt: skip
    assert "Hears" not in str(record.new)
    [decision] = await results(world, account, "decisions")
    assert (decision["id"], decision["allowed"], decision["rule"]) == (made["decision_id"], True, None)
    detail = await read(world, f"/accounts/{account['id']}")
    assert detail["version"] == account["version"]


async def test_the_running_lifecycle_is_told_after_the_commit(world: Any) -> None:
    account, told = await debt(world), []

    async def tell(agency_id: UUID, account_ids: Any) -> None:
        told.append((agency_id, list(account_ids), len(await results(world, account, "contacts"))))

    contacts = world.services.contacts
    before, contacts._notify = contacts._notify, tell
    try:
        await logged(world, account, at=days_ago(1))
        await refused(world, account, "contact_hours", at=days_ago(2, hour=9))
    finally:
        contacts._notify = before
    assert told == [(world.agencies["acme"], [UUID(account["id"])], 1)]


async def test_a_refusal_says_why_and_until_when_and_is_kept(world: Any) -> None:
    account = await debt(world)
    spoken = days_ago(3)
    await logged(world, account, at=spoken, conversation=True, right_party=True)

    problem = await refused(world, account, "call_after_conversation", at=days_ago(1))

    assert problem["status"] == 409
    assert "1006.14(b)(2)(i)(B)" in problem["citation"]
    assert problem["explanation"] in problem["detail"]
    again = datetime.fromisoformat(problem["retry_at"])
    assert spoken + timedelta(days=6) < again < spoken + timedelta(days=8)
    assert len(await results(world, account, "contacts")) == 1
    kept = (await results(world, account, "decisions"))[0]
    assert {name: kept[name] for name in ("rule", "citation", "retry_at", "explanation")} == {
        name: problem[name] for name in ("rule", "citation", "retry_at", "explanation")
    }
    assert (kept["id"], kept["allowed"]) == (problem["decision_id"], False)
    asked = await check(world, account, at=again)
    assert (asked["allowed"], asked["rule"], asked["retry_at"]) == (True, None, None)
    earlier = await check(world, account, at=again - timedelta(seconds=1))
    assert (earlier["allowed"], earlier["rule"]) == (False, "contact_hours")
    the_day_before = await check(world, account, at=again - timedelta(hours=20))
    assert (the_day_before["allowed"], the_day_before["rule"]) == (False, "call_after_conversation")
    assert datetime.fromisoformat(earlier["retry_at"]) == again


async def test_a_refused_key_may_be_used_again_and_an_allowed_one_answers_the_same(world: Any) -> None:
    account, key = await debt(world), new_key()
    night, day = days_ago(2, hour=9), days_ago(2)

    first = await post(world, account, key=key, at=night)
    again = await post(world, account, key=key, at=night)
    assert (first.status_code, again.status_code) == (409, 409)
    assert first.json()["decision_id"] != again.json()["decision_id"]
    made = await post(world, account, key=key, at=day)
    assert made.status_code == 201, made.text
    repeated = await post(world, account, key=key, at=day)
    assert (repeated.status_code, repeated.json()) == (201, made.json())
    other = await post(world, account, key=key, at=day, note="another")
    assert other.status_code == 422
    assert len(await results(world, account, "contacts")) == 1
    assert len(await results(world, account, "decisions")) == 3


async def test_an_inbound_contact_is_never_refused_and_its_conversation_counts(world: Any) -> None:
    account = await debt(world)
    await hold(world, account, "cease", days_ago(9))
    await set_account(world, account, status="closed", closed_reason="paid")

    made = await logged(
        world, account, direction="inbound", conversation=True, right_party=True, at=days_ago(1, hour=8)
    )
    assert made["direction"] == "inbound"
    assert (await post(world, account, channel="letter", at=days_ago(1))).status_code == 409

    other = await debt(world)
    await logged(world, other, direction="inbound", conversation=True, right_party=True, at=days_ago(2))
    await refused(world, other, "call_after_conversation", at=days_ago(1))


async def test_a_closed_account_is_contacted_no_more(world: Any) -> None:
    account = await debt(world)
    await set_account(world, account, status="closed", closed_reason="recalled")
    problem = await refused(world, account, "account_closed", at=days_ago(1))
    assert problem["retry_at"] is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"at": "2026-03-31T14:00:00"}, "at"),
        ({"at": 1_700_000_000}, "at"),
        ({"at": "1700000000"}, "at"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "at"),
        ({"at": "9999-12-31T23:59:59-12:00"}, "at"),
        ({"at": "2026-02-30T12:00:00Z"}, "at"),
        ({"note": "x" * 2001}, "note"),
        ({"note": "x" * 100_000}, "note"),
        ({"note": "bell \x07"}, "note"),
        ({"note": "lone \r return"}, "note"),
        ({"note": "nul \x00"}, "note"),
        ({"note": "line \u2028 separator"}, "note"),
        ({"note": ["x"]}, "note"),
        ({"channel": "fax"}, "channel"),
        ({"direction": "sideways"}, "direction"),
        ({"purpose": "fun"}, "purpose"),
        ({"recipient": "neighbour"}, "recipient"),
        ({"place": "pub"}, "place"),
        ({"connected": "yes"}, "connected"),
        ({"connected": None}, "connected"),
        ({"conversation": True, "connected": False}, "conversation"),
        ({"consent_given": True}, "consent_given"),
        ({"consent_given": True, "conversation": True, "right_party": False}, "consent_given"),
        ({"purpose": "validation_notice"}, "purpose"),
        ({"purpose": "validation_notice", "channel": "sms"}, "purpose"),
        ({"colour": "red"}, "colour"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_a_bad_value_is_named(world: Any, fields: dict[str, Any], field: str) -> None:
    account = await debt(world)
    answer = await post(world, account, **fields)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert await results(world, account, "decisions") == []


async def test_nothing_is_logged_for_the_future_but_the_future_may_be_asked_about(world: Any) -> None:
    account = await debt(world)
    tomorrow = days_ago(-1)
    answer = await post(world, account, at=tomorrow)
    assert (answer.status_code, answer.json()["field"]) == (422, "at")
    assert "contact-check" in answer.json()["detail"]
    inbound = await post(world, account, at=tomorrow, direction="inbound")
    assert inbound.status_code == 422
    assert (await check(world, account, at=tomorrow))["allowed"] is True
    assert (await check(world, account, at=days_ago(-1, hour=9)))["rule"] == "contact_hours"


async def test_a_contact_of_before_the_placement_is_taken(world: Any) -> None:
    account = await debt(world)
    made = await logged(world, account, at="2024-07-01T12:00:00-05:00", channel="letter")
    assert made["at"].startswith("2024-07-01T17:00:00")


async def test_what_is_decades_old_is_a_typing_error(world: Any) -> None:
    """A notice of 1987 could not be taken back, and its period would be over for every dispute."""
    account = await debt(world)
    at = days_ago(10 * 366 + 1)
    answers = [
        await post(world, account, at=at),
        await post(world, account, at=at, direction="inbound"),
        await asked(world, account, channel="call", at=at.isoformat()),
    ]
    assert [(answer.status_code, answer.json()["field"]) for answer in answers] == [(422, "at")] * 3
    assert "10 years" in answers[0].json()["detail"]
    assert await results(world, account, "decisions") == []
    assert (await check(world, account, at=days_ago(10 * 366 - 1)))["allowed"] is True


@pytest.mark.parametrize("channel", ["call", "sms", "email", "letter"])
@pytest.mark.parametrize("purpose", ["general", "validation_notice", "verification", "litigation"])
async def test_what_a_check_is_asked_could_be_logged(world: Any, channel: str, purpose: str) -> None:
    account = await debt(world)
    at = days_ago(1).isoformat()
    said = await asked(world, account, channel=channel, purpose=purpose, at=at)
    done = await post(world, account, channel=channel, purpose=purpose, at=at, connected=True)
    assert (said.status_code == 422) == (done.status_code == 422)
    if said.status_code == 422:
        assert said.json()["detail"] == done.json()["detail"]
        assert (said.json()["field"], channel in {"call", "sms"}) == ("purpose", True)
        assert await results(world, account, "decisions") == []
    else:
        assert said.json()["allowed"] == (done.status_code == 201)


async def asked(world: Any, account: dict[str, Any], **query: str) -> httpx.Response:
    async with world.client("acme.collector") as client:
        answer: httpx.Response = await client.get(f"/accounts/{account['id']}/contact-check", params=query)
    return answer


async def test_a_check_reserves_nothing_but_is_kept(world: Any) -> None:
    account = await debt(world)
    answer = await check(
        world, account, at=days_ago(1), place="work", recipient="attorney", purpose="reminder"
    )

    assert set(answer) == {
        "allowed", "rule", "citation", "retry_at", "explanation", "notes", "rule_set", "at", "decision_id",
    }  # fmt: skip
    assert (answer["allowed"], answer["rule_set"].split("@")[0]) == (True, "federal")
    [kept] = await results(world, account, "decisions")
    assert (kept["id"], kept["inputs"]["place"], kept["inputs"]["recipient"]) == (
        answer["decision_id"], "work", "attorney",
    )  # fmt: skip
    assert await results(world, account, "contacts") == []
    assert [e for e in await results(world, account, "timeline") if e["kind"] == "contact"] == []
    unescaped = await world.call(
        "acme.collector", "GET",
        f"/accounts/{account['id']}/contact-check?channel=call&at=2026-03-02T18:00:00+00:00",
    )  # fmt: skip
    assert (unescaped.status_code, unescaped.json()["at"]) == (200, "2026-03-02T18:00:00Z")
    bad = await world.call(
        "acme.collector", "GET", f"/accounts/{account['id']}/contact-check?channel=fax&at=soon"
    )
    assert bad.status_code == 422
    assert [error["field"] for error in bad.json()["errors"]] == ["channel", "at"]


async def test_decisions_name_nobody(world: Any) -> None:
    debtor = await make(world, full_name="Zebedee Quirk", email="zeb@quirk.example", city="Quirkville")
    account = await debt(world, debtor=debtor)
    await logged(world, account, at=days_ago(1), note="Zebedee said")
    [kept] = await results(world, account, "decisions")
    for word in ("zebedee", "quirk", "2145550100", debtor["id"], debtor["debtor_ref"]):
        assert word not in str(kept).lower()


async def test_who_may_contact(world: Any) -> None:
    account, others = await debt(world), await debt(world, mine=False)
    path = f"/accounts/{others['id']}"
    for method, what, body in (
        ("POST", "contacts", CALL),
        ("GET", "contacts", None),
        ("GET", "decisions", None),
        ("GET", "contact-check?channel=call", None),
    ):
        for who in ("acme.collector", "rival.admin", "rival.collector"):
            answer = await world.call(who, method, f"{path}/{what}", body)
            assert answer.status_code == 404, (who, what)
    preferences = f"/debtors/{others['debtor']['id']}/contact-preferences"
    for method, body in (("GET", None), ("PUT", {})):
        assert (await world.call("acme.collector", method, preferences, body)).status_code == 404
    assert (await post(world, account, "acme.auditor")).status_code == 403
    assert (await check(world, account, "acme.auditor", at=days_ago(1)))["allowed"] is True
    assert (await post(world, others, "acme.admin", at=days_ago(1))).status_code == 201
    platform = await world.call(
        "platform",
        "POST",
        f"{path}/contacts",
        {**CALL, "at": days_ago(2).isoformat()},
        **{"X-Agency": "acme"},
    )
    assert platform.status_code == 201, platform.text


async def test_lists_are_paged_newest_first(world: Any) -> None:
    account = await debt(world)
    days = (3, 1, 2)
    for day in days:
        await logged(world, account, at=days_ago(day), channel="letter")
    for what, key in (("contacts", "at"), ("decisions", "number")):
        seen, url = [], f"/accounts/{account['id']}/{what}?page_size=2"
        while url:
            page = (await world.call("acme.collector", "GET", url)).json()
            seen += [row[key] for row in page["results"]]
            url = (page["next"] or "").removeprefix("http://test/api/v1")
        assert seen == sorted(seen, reverse=True)
        assert len(seen) == len(days)


async def test_a_call_that_is_entered_late_counts_with_those_around_it(world: Any) -> None:
    account = await debt(world)
    await logged(world, account, at=days_ago(2, hour=20), connected=False)
    for day in (3, 4, 5, 6, 7, 8):
        await logged(world, account, at=days_ago(day))
    await logged(world, account, at=days_ago(2))
    # Seven calls within seven days, from the eighth day ago to the second: none fits between any more.
    for day in (2, 5, 8):
        await refused(world, account, "call_frequency", at=days_ago(day, hour=19))
    await logged(world, account, at=days_ago(9))


async def test_consent_is_given_in_a_conversation_and_lasts_seven_days(world: Any) -> None:
    account = await debt(world)
    await logged(world, account, at=days_ago(9), conversation=True, right_party=True, consent_given=True)
    await refused(world, account, "call_after_conversation", at=days_ago(8))
    made = await logged(world, account, at=days_ago(8), purpose="consented")
    assert made["consented"] is True
    late = await logged(world, account, at=days_ago(1), purpose="consented")
    assert late["consented"] is False


async def test_what_somebody_else_agreed_to_is_no_consent(world: Any) -> None:
    account = await debt(world)
    contact = {
        **CALL,
        "purpose": "general",
        "recipient": "consumer",
        "place": "unknown",
        "conversation": True,
        "right_party": False,
        "consented": False,
        "consent_given": True,
        "account_id": UUID(account["id"]),
        "debtor_id": UUID(account["debtor"]["id"]),
        "decision_id": uuid4(),
        "at": days_ago(2),
    }
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        await tx.contacts.add(contact)

    made = await logged(world, account, at=days_ago(1), purpose="consented")

    assert made["consented"] is False


async def test_limits_about_one_debt_leave_the_person_s_others_alone(world: Any) -> None:
    debtor = await make(world)
    first, second = await debt(world, debtor=debtor), await debt(world, debtor=debtor)
    await logged(world, first, at=days_ago(3), conversation=True, right_party=True)
    await refused(world, first, "call_after_conversation", at=days_ago(1))
    await logged(world, second, at=days_ago(1))
    [kept] = await results(world, second, "decisions")
    assert [attempt["debt"] for attempt in kept["inputs"]["attempts"]] == [False]


async def test_a_conversation_with_somebody_else_is_none_with_the_person(world: Any) -> None:
    account = await debt(world)
    await logged(world, account, at=days_ago(3), conversation=True, right_party=False)
    await logged(world, account, at=days_ago(1))


@pytest.mark.parametrize(
    ("kind", "personal"),
    [
        ("cease", False),
        ("attorney", False),
        ("bankruptcy", True),
        ("deceased", True),
        ("opt_out_call", True),
    ],
)
async def test_holds_of_the_person_count_on_all_their_debts(world: Any, kind: str, personal: bool) -> None:
    debtor = await make(world)
    held, other = await debt(world, debtor=debtor), await debt(world, debtor=debtor)
    await hold(world, held, kind, days_ago(10))
    rule = {"opt_out_call": "opted_out"}.get(kind, kind)
    await refused(world, held, rule, at=days_ago(1))
    answer = await check(world, other, at=days_ago(1))
    assert (answer["allowed"], answer["rule"]) == ((False, rule) if personal else (True, None))


async def test_a_late_contact_is_judged_by_the_holds_of_its_time(world: Any) -> None:
    account = await debt(world)
    await hold(world, account, "cease", days_ago(10), released_at=days_ago(5), released_by="test")
    assert (await check(world, account, at=days_ago(12)))["allowed"] is True
    assert (await check(world, account, at=days_ago(7)))["rule"] == "cease"
    assert (await check(world, account, at=days_ago(3)))["allowed"] is True


async def test_a_dispute_of_the_period_stops_all_but_its_answer(world: Any) -> None:
    account = await debt(world)
    received = days_ago(6).date()
    await dispute(world, account, received_on=received)
    assert (await check(world, account, at=days_ago(8)))["allowed"] is True
    await refused(world, account, "open_dispute", at=days_ago(1))
    await logged(world, account, at=days_ago(1), channel="letter", purpose="verification")


async def test_a_validation_notice_starts_the_period(world: Any) -> None:
    account = await debt(world)
    sent = datetime(2026, 11, 20, 18, tzinfo=UTC)
    await logged(world, account, at=sent, channel="letter", purpose="validation_notice")
    answer = await check(world, account, at=datetime(2026, 12, 1, 18, tzinfo=UTC))
    assert any("2026-12-30" in note for note in answer["notes"])
    [asked, *_] = await results(world, account, "decisions")
    assert asked["inputs"]["validation_sent_on"] == asked["inputs"]["first_communication_on"] == "2026-11-20"


@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        # Clocks in Chicago go from 02:00 CST to 03:00 CDT on 8 March 2026, and back on 1 November.
        ("2026-03-07T14:00:00+00:00", True),
        ("2026-03-07T13:59:59+00:00", False),
        ("2026-03-08T13:00:00+00:00", True),
        ("2026-03-08T12:59:59+00:00", False),
        ("2026-03-09T02:00:00+00:00", True),
        ("2026-03-09T02:00:01+00:00", False),
        ("2026-11-01T02:00:00+00:00", True),
        ("2026-11-01T02:00:01+00:00", False),
        ("2026-11-01T13:00:00+00:00", False),
        ("2026-11-01T14:00:00+00:00", True),
        ("2026-11-02T03:00:00+00:00", True),
        ("2026-11-02T03:00:01+00:00", False),
    ],
)
async def test_hours_follow_the_clocks_of_the_person(world: Any, at: str, allowed: bool) -> None:
    account = await debt(world, debtor=await make(world, postal_code="75201"))
    answer = await post(world, account, at=at)
    assert answer.status_code == (201 if allowed else 409), answer.text
    if not allowed:
        assert answer.json()["rule"] == "contact_hours"
        opens = datetime.fromisoformat(answer.json()["retry_at"])
        assert opens > datetime.fromisoformat(at)


async def test_of_many_calls_at_once_over_http_seven_are_placed(world: Any) -> None:
    account, at = await debt(world), days_ago(1)
    answers = await asyncio.gather(
        *(
            post(world, account, who, key=new_key(), at=at + timedelta(seconds=n))
            for n, who in enumerate(("acme.collector", "acme.admin") * 8)
        )
    )
    refusals = [answer.json()["rule"] for answer in answers if answer.status_code == 409]
    assert [answer.status_code for answer in answers].count(201) == 7
    assert refusals == ["call_frequency"] * 9
    assert len(await results(world, account, "contacts")) == 7
    assert len(await results(world, account, "decisions")) == 16
