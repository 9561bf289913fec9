"""Setting up an agency over REST: what is made, refused, recorded, and never shown."""

import asyncio
import uuid
from typing import Any

import asyncssh
import pytest
from sqlalchemy import text

from db.commands import body_hash
from domain.tenancy import Actor, Tenant
from workflows.schedules import schedule_ids

PASSWORD = "correct horse battery"


async def _ok(world: Any, who: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
    answer = await world.call(who, method, path, body, **headers)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


async def _records(world: Any, entity: str, entity_id: str, agency: str = "acme") -> list[Any]:
    async with world.database.transaction(Tenant.system(world.agencies[agency], "test")) as tx:
        return list(await tx.audit.of(entity, entity_id))


def _source(host_key: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": f"source-{uuid.uuid4().hex[:8]}",
        "host": "sftp.example.com",
        "username": "acme",
        "password": "s3cret-of-the-creditor",
        "host_key": host_key,
        **changes,
    }


async def test_an_agency_comes_with_a_default_creditor_and_schedules(world: Any) -> None:
    body = {"slug": "fresh-start", "name": "Fresh Start", "default_creditor": "House Bank"}
    made = await _ok(world, "platform", "POST", "/agencies", body)
    assert (made["currency"], made["scorecard"], made["lifecycle_capacity"]) == ("USD", "recovery-v1", None)
    assert made["high_priority_threshold"] is None
    creditors = await _ok(world, "platform", "GET", "/creditors", **{"X-Agency": "fresh-start"})
    assert [(row["name"], row["is_default"]) for row in creditors["results"]] == [("House Bank", True)]
    schedules = await _ok(world, "platform", "GET", "/schedules", **{"X-Agency": "fresh-start"})
    assert {row["id"] for row in schedules["results"]} == set(schedule_ids(uuid.UUID(made["id"])))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"slug": "No Slug"}, "slug"),
        ({"slug": "a--b"}, "slug"),
        ({"name": " "}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "nul\x00"}, "name"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"time_zone": "localtime"}, "time_zone"),
        ({"scorecard": "homemade"}, "scorecard"),
        ({"lifecycle_capacity": -1}, "lifecycle_capacity"),
        ({"lifecycle_capacity": 10**30}, "lifecycle_capacity"),
        ({"overpayments": "keep"}, "overpayments"),
        ({"least_settlement_percent": 101}, "least_settlement_percent"),
        ({"least_settlement_percent": "60"}, "least_settlement_percent"),
        ({"high_priority_threshold": "1.234"}, "high_priority_threshold"),
        ({"high_priority_threshold": "NaN"}, "high_priority_threshold"),
        ({"currency": "usd"}, "currency"),
        ({"colour": "blue"}, "colour"),
    ],
)
async def test_an_agency_s_values_are_checked(world: Any, change: dict[str, Any], field: str) -> None:
    body = {"slug": f"a{uuid.uuid4().hex[:8]}", "name": "Checked", **change}
    answer = await world.call("platform", "POST", "/agencies", body)
    assert answer.status_code == 422
    assert answer.json()["field"] == field


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/agencies", {"slug": "acme", "name": "Twice"}, "slug"),
        (
            "/users",
            {"username": "acme.admin", "full_name": "T", "role": "auditor", "password": PASSWORD},
            "username",
        ),
        (
            "/users",
            {"username": "RIVAL.admin", "full_name": "T", "role": "auditor", "password": PASSWORD},
            "username",
        ),
        ("/creditors", {"name": "Default"}, "name"),
    ],
)
async def test_what_is_taken_is_a_conflict(world: Any, path: str, body: Any, field: str) -> None:
    answer = await world.call("platform", "POST", path, body, **{"X-Agency": "acme"})
    assert (answer.status_code, answer.json()["field"]) == (409, field)


async def test_names_are_taken_per_agency(world: Any) -> None:
    await _ok(world, "acme.admin", "POST", "/creditors", {"name": "Shared Bank"})
    await _ok(world, "rival.admin", "POST", "/creditors", {"name": "Shared Bank"})


async def test_a_rename_to_a_taken_name_is_a_conflict(world: Any) -> None:
    made = await _ok(world, "acme.admin", "POST", "/creditors", {"name": "Renamed Bank"})
    answer = await world.call("acme.admin", "PATCH", f"/creditors/{made['id']}", {"name": "Default"})
    assert (answer.status_code, answer.json()["field"]) == (409, "name")


async def test_changes_are_recorded_old_and_new_with_the_address(world: Any) -> None:
    made = await _ok(world, "acme.admin", "POST", "/creditors", {"name": "Before"})
    path = f"/creditors/{made['id']}"
    changed = await _ok(world, "acme.admin", "PATCH", path, {"name": "After", "active": True})
    assert changed["name"] == "After"
    assert changed["updated_at"] > made["updated_at"]
    await _ok(world, "acme.admin", "PATCH", path, {"name": "After"})
    created, renamed = await _records(world, "creditor", made["id"])
    assert (created.action, created.old, created.new) == (
        "creditor.created",
        None,
        {"name": "Before", "is_default": False},
    )
    assert (renamed.old, renamed.new) == ({"name": "Before"}, {"name": "After"})
    assert (renamed.actor_kind, renamed.actor, str(renamed.ip)) == ("user", "acme.admin", "127.0.0.1")


async def test_a_platform_administrator_s_change_is_on_the_agency_s_record(world: Any) -> None:
    path = f"/agencies/{world.agencies['rival']}"
    await _ok(world, "platform", "PATCH", path, {"lifecycle_capacity": 7, "time_zone": "America/Chicago"})
    record = (await _records(world, "agency", str(world.agencies["rival"]), "rival"))[-1]
    assert record.actor == "platform"
    assert record.old == {"lifecycle_capacity": None, "time_zone": "America/New_York"}
    assert record.new == {"lifecycle_capacity": 7, "time_zone": "America/Chicago"}
    await _ok(world, "platform", "PATCH", path, {"lifecycle_capacity": None})


async def test_what_an_agency_takes_and_settles_for_is_its_own(world: Any) -> None:
    made = await _ok(world, "platform", "POST", "/agencies", {"slug": "own-terms", "name": "Own Terms"})
    assert (made["overpayments"], made["least_settlement_percent"]) == ("refuse", 60)
    changed = {"overpayments": "credit", "least_settlement_percent": 35}
    shown = await _ok(world, "platform", "PATCH", f"/agencies/{made['id']}", changed)
    assert {name: shown[name] for name in changed} == changed

    own = f"/agencies/{world.agencies['rival']}"
    theirs = await _ok(world, "rival.admin", "PATCH", own, changed)
    assert {name: theirs[name] for name in changed} == changed
    record = (await _records(world, "agency", str(world.agencies["rival"]), "rival"))[-1]
    assert (record.actor, record.new) == ("rival.admin", changed)
    more = await world.call("rival.admin", "PATCH", own, {**changed, "name": "Rival & Sons"})
    assert (more.status_code, more.json()["fields"]) == (403, ["name"])
    stranger = await world.call("rival.admin", "PATCH", f"/agencies/{made['id']}", changed)
    assert stranger.status_code == 404
    as_was = {"overpayments": "refuse", "least_settlement_percent": 60}
    await _ok(world, "rival.admin", "PATCH", own, as_was)


async def test_an_agency_scores_by_any_scorer_with_its_own_threshold_or_the_scorer_s(world: Any) -> None:
    path = f"/agencies/{world.agencies['rival']}"
    before = await _ok(world, "platform", "GET", path)
    change = {"scorecard": "expected-recovery", "high_priority_threshold": "2500"}
    made = await _ok(world, "platform", "PATCH", path, change)
    assert (made["scorecard"], made["high_priority_threshold"]) == ("expected-recovery", "2500.00")
    back = {"scorecard": before["scorecard"], "high_priority_threshold": None}
    assert (await _ok(world, "platform", "PATCH", path, back))["high_priority_threshold"] is None


async def test_there_is_exactly_one_default_creditor(world: Any) -> None:
    names = [f"Default {uuid.uuid4().hex[:6]}" for _ in range(4)]
    made = [await _ok(world, "rival.admin", "POST", "/creditors", {"name": name}) for name in names]
    answers = await asyncio.gather(
        *(world.call("rival.admin", "PATCH", f"/creditors/{row['id']}", {"is_default": True}) for row in made)
    )
    assert {answer.status_code for answer in answers} == {200}
    rows = (await _ok(world, "rival.admin", "GET", "/creditors"))["results"]
    [default] = [row for row in rows if row["is_default"]]
    path = f"/creditors/{default['id']}"
    for change, field in (({"is_default": False}, "is_default"), ({"active": False}, "active")):
        answer = await world.call("rival.admin", "PATCH", path, change)
        assert (answer.status_code, answer.json()["field"]) == (409, field)
    assert (await world.call("rival.admin", "DELETE", path)).status_code == 409
    other = next(row for row in made if row["id"] != default["id"])
    body = {"active": False, "is_default": True}
    assert (await world.call("rival.admin", "PATCH", f"/creditors/{other['id']}", body)).status_code == 409
    assert (await _ok(world, "rival.admin", "DELETE", f"/creditors/{other['id']}"))["active"] is False


async def test_a_repeated_key_gets_the_first_answer(world: Any) -> None:
    body, key = {"name": "Keyed Bank"}, {"Idempotency-Key": uuid.uuid4().hex}
    answers = await asyncio.gather(
        *(world.call("acme.admin", "POST", "/creditors", body, **key) for _ in range(4))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert len(await _records(world, "creditor", answers[0].json()["id"])) == 1
    other = await world.call("acme.admin", "POST", "/creditors", {"name": "Another"}, **key)
    assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")
    elsewhere = await world.call("rival.admin", "POST", "/creditors", {"name": "Another"}, **key)
    assert elsewhere.status_code == 201


async def test_a_key_belongs_to_one_thing(world: Any) -> None:
    first, second = [
        await _ok(world, "acme.admin", "POST", "/creditors", {"name": name}) for name in ("Key A", "Key B")
    ]
    key = {"Idempotency-Key": uuid.uuid4().hex}
    await _ok(world, "acme.admin", "PATCH", f"/creditors/{first['id']}", {"active": False}, **key)
    other = await world.call("acme.admin", "PATCH", f"/creditors/{second['id']}", {"active": False}, **key)
    assert other.status_code == 422
    assert (await _ok(world, "acme.admin", "GET", f"/creditors/{second['id']}"))["active"] is True


async def test_a_refused_command_leaves_its_key_unused(world: Any) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    refused = await world.call("acme.admin", "POST", "/creditors", {"name": "Default"}, **key)
    assert refused.status_code == 409
    await _ok(world, "acme.admin", "POST", "/creditors", {"name": "Free Name"}, **key)


async def test_an_agency_is_made_once_per_key(world: Any) -> None:
    body, key = {"slug": "keyed", "name": "Keyed"}, {"Idempotency-Key": "one agency please"}
    answers = await asyncio.gather(
        *(world.call("platform", "POST", "/agencies", body, **key) for _ in range(3))
    )
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert all(answer.json() == answers[0].json() for answer in answers)
    other = await world.call("platform", "POST", "/agencies", {**body, "slug": "keyed-2"}, **key)
    assert other.status_code == 422


@pytest.mark.parametrize(
    "keys",
    [[""], ["x" * 256], ["a\tb"], ["caf\u00e9"], ["one", "two"], ["pay 4242 4242 4242 4242"]],
    ids=["empty", "long", "tab", "bytes", "two", "card"],
)
async def test_a_key_is_one_and_of_printable_characters(world: Any, keys: list[str]) -> None:
    headers = [(b"Idempotency-Key", key.encode()) for key in keys]
    async with world.client("acme.admin") as client:
        answer = await client.post("/creditors", json={"name": "Never"}, headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (400, "Idempotency-Key")


async def test_secrets_go_in_and_never_out(
    world: Any, host_key: str, module_database: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    private_key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    marker = private_key.splitlines()[2]
    user = {"username": "secretive", "full_name": "S", "role": "auditor", "password": "s3cret-of-the-user"}
    key = {"Idempotency-Key": "with a secret"}
    said = [await world.call("acme.admin", "POST", "/users", user, **key)]
    body = _source(host_key, private_key=private_key)
    made = await world.call("acme.admin", "POST", "/sftp-sources", body, **key)
    path = f"/sftp-sources/{made.json()['id']}"
    said += [
        made,
        await world.call("acme.admin", "GET", path),
        await world.call("acme.admin", "GET", "/sftp-sources"),
        await world.call("acme.admin", "PATCH", path, {"password": "s3cret-of-another"}, **key),
        await world.call("acme.admin", "PATCH", path, {"password": "s3cret-too", "port": "x"}),
        await world.call("acme.admin", "PATCH", path, {"private_key": "s3cret-no-key"}),
        await world.call("acme.admin", "POST", "/users", {**user, "password": "s3cret" * 40}),
        await world.call("acme.admin", "POST", "/users", {**user, "password": ["s3cret-list"]}),
        await world.call(None, "POST", "/auth/token", {"username": "x", "password": {"s3cret": 1}}),
    ]
    assert [answer.status_code for answer in said] == [201, 201, 200, 200, 200, 422, 422, 422, 422, 422]
    for answer in said:
        assert "s3cret" not in answer.text
        assert marker not in answer.text
    assert (made.json()["has_password"], made.json()["has_private_key"]) == (True, True)
    logged = capfd.readouterr()
    assert "s3cret" not in logged.out + logged.err
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        for table in ("command", "audit_record", "sftp_source", "app_user"):
            dump = (await tx.session.execute(text(f"SELECT t::text FROM {table} t"))).scalars().all()  # noqa: S608
            assert dump
            assert not any("s3cret" in row or marker in row for row in dump), table
        hashes = (await tx.session.execute(text("SELECT body_hash FROM command"))).scalars().all()
        by = await tx.session.scalar(text("SELECT id FROM app_user WHERE username = 'acme.admin'"))
        secrets = await tx.sources.endpoint_secrets(uuid.UUID(made.json()["id"]))
    assert (secrets.password, secrets.private_key) == ("s3cret-of-another", private_key)
    assert "s3cret" not in repr(secrets)
    # A plain hash of a body with a password in it could be searched for the password.
    plain = body_hash({"path": {}, "body": user}, Actor("user", "acme.admin", by))
    assert plain not in {bytes(found) for found in hashes}


async def test_a_source_with_other_secrets_is_another_body(world: Any, host_key: str) -> None:
    key, body = {"Idempotency-Key": uuid.uuid4().hex}, _source(host_key)
    first = await _ok(world, "acme.admin", "POST", "/sftp-sources", body, **key)
    assert await _ok(world, "acme.admin", "POST", "/sftp-sources", body, **key) == first
    other = await world.call("acme.admin", "POST", "/sftp-sources", {**body, "password": "p"}, **key)
    assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"host_key": None}, "host_key"),
        ({"host_key": "not a key"}, "host_key"),
        ({"host": "two words"}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
        ({"password": None}, "password"),
        ({"password": ""}, "password"),
        ({"private_key": "not a key"}, "private_key"),
        ({"inbox": "relative"}, "inbox"),
        ({"profile": {"delimiter": "x"}}, "profile.delimiter"),
        ({"profile": {"columns": {"Konto": "no_such_field"}}}, "profile.columns"),
        ({"creditor_id": "00000000-0000-7000-8000-000000000000"}, "creditor_id"),
    ],
)
async def test_a_source_that_could_never_work_is_refused(
    world: Any, host_key: str, change: dict[str, Any], field: str
) -> None:
    answer = await world.call("acme.admin", "POST", "/sftp-sources", {**_source(host_key), **change})
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


async def test_a_source_keeps_a_way_to_log_in(world: Any, host_key: str) -> None:
    made = await _ok(world, "acme.admin", "POST", "/sftp-sources", _source(host_key))
    path = f"/sftp-sources/{made['id']}"
    answer = await world.call("acme.admin", "PATCH", path, {"password": None})
    assert (answer.status_code, answer.json()["field"]) == (422, "password")
    private_key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    changed = await _ok(world, "acme.admin", "PATCH", path, {"password": None, "private_key": private_key})
    assert (changed["has_password"], changed["has_private_key"]) == (False, True)
    record = (await _records(world, "sftp_source", made["id"]))[-1]
    assert (record.old, record.new) == (
        {"password": "(set)", "private_key": None},
        {"password": None, "private_key": "(set)"},
    )
    assert (await _ok(world, "acme.admin", "DELETE", path))["active"] is False
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        assert made["id"] not in {str(source.id) for source in await tx.sources.active()}


@pytest.mark.parametrize("path", ["/users", "/creditors", "/collectors", "/sftp-sources"])
async def test_null_is_no_value_where_one_is_needed(world: Any, host_key: str, path: str) -> None:
    if path == "/sftp-sources":
        await _ok(world, "acme.admin", "POST", path, _source(host_key))
    row = (await _ok(world, "acme.admin", "GET", path))["results"][0]
    answer = await world.call("acme.admin", "PATCH", f"{path}/{row['id']}", {"active": None})
    assert answer.status_code == 422
    assert "active" in answer.json()["detail"]


async def test_only_users_with_the_role_become_collectors(world: Any) -> None:
    rows = (await _ok(world, "acme.admin", "GET", "/users"))["results"]
    auditor = next(row for row in rows if row["username"] == "acme.auditor")
    answer = await world.call("acme.admin", "POST", "/collectors", {"user_id": auditor["id"]})
    assert (answer.status_code, answer.json()["field"]) == (422, "user_id")
    collector = next(row for row in rows if row["username"] == "acme.collector")
    again = await world.call("acme.admin", "POST", "/collectors", {"user_id": collector["id"]})
    assert (again.status_code, again.json()["field"]) == (409, "user_id")
    path = f"/users/{collector['id']}"
    assert (await world.call("acme.admin", "PATCH", path, {"role": "auditor"})).status_code == 409


async def test_administrators_cannot_lock_themselves_out(world: Any) -> None:
    me = await _ok(world, "acme.admin", "GET", "/auth/me")
    for change in ({"active": False}, {"role": "auditor"}):
        assert (await world.call("acme.admin", "PATCH", f"/users/{me['id']}", change)).status_code == 409
    assert (await world.call("acme.admin", "DELETE", f"/users/{me['id']}")).status_code == 409


async def test_nobody_is_made_a_platform_administrator_over_rest(world: Any) -> None:
    body = {"username": "climber", "full_name": "C", "role": "platform_admin", "password": PASSWORD}
    for who, headers in (("acme.admin", {}), ("platform", {"X-Agency": "acme"})):
        answer = await world.call(who, "POST", "/users", body, **headers)
        assert (answer.status_code, answer.json()["field"]) == (422, "role")


@pytest.mark.parametrize("password", ["short", "x" * 129, "A.User.Name"])
async def test_a_password_is_neither_short_nor_the_username(world: Any, password: str) -> None:
    body = {"username": "a.user.name", "full_name": "A", "role": "auditor", "password": password}
    answer = await world.call("acme.admin", "POST", "/users", body)
    assert (answer.status_code, answer.json()["field"]) == (422, "password")


async def test_lists_are_walked_forth_and_back(world: Any) -> None:
    for number in range(7):
        await _ok(world, "rival.admin", "POST", "/creditors", {"name": f"Walked {number}"})
    everything = (await _ok(world, "rival.admin", "GET", "/creditors?page_size=500"))["results"]
    pages, link = [], "/creditors?page_size=3"
    while link:
        page = await _ok(world, "rival.admin", "GET", link.removeprefix("/api/v1"))
        pages.append(page)
        link = page["next"]
    assert [row["id"] for page in pages for row in page["results"]] == [row["id"] for row in everything]
    assert pages[0]["previous"] is None
    back = [pages[-1]["results"]]
    link = pages[-1]["previous"]
    while link:
        page = await _ok(world, "rival.admin", "GET", link.removeprefix("/api/v1"))
        back.insert(0, page["results"])
        link = page["previous"]
    assert back == [page["results"] for page in pages]


@pytest.mark.parametrize("query", ["cursor=x", "cursor=e30", "cursor=%00", "page_size=0", "page_size=501"])
async def test_a_bad_page_is_refused(world: Any, query: str) -> None:
    answer = await world.call("acme.admin", "GET", f"/creditors?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, query.partition("=")[0])
