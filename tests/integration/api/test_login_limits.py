"""Limits of logins: locks of names and addresses, for all processes alike, and what undoes them."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from api.app import create_app
from api.composition import build_services, open_database
from domain.tenancy import Actor
from services.login_limits import in_words
from services.onboarding.users import PasswordReset
from tests.integration.api.conftest import PASSWORD

WRONG = "not the password"
TRIES = 5
ADDRESS_TRIES = 30
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture(autouse=True)
async def forgotten(world: Any) -> None:
    """Nothing has failed yet."""
    async with world.database.platform() as tx:
        await tx.session.execute(text("DELETE FROM login_attempt"))


@pytest.fixture(scope="module")
async def replica(world: Any, temporal_client: Any) -> AsyncIterator[Any]:
    """Another process's application over the same database."""
    async with open_database(world.settings, "recoup-replica") as database:
        services = build_services(world.settings, database, temporal_client)
        yield create_app(world.settings, services=services)
        await services.close()


async def log_in(
    world: Any, name: str, password: str = WRONG, *, ip: str = ELSEWHERE, app: Any = None
) -> httpx.Response:
    """A login from an address."""
    transport = httpx.ASGITransport(app or world.app, client=(ip, 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
        return await client.post("/auth/token", json={"username": name, "password": password})


async def fail(world: Any, name: str, times: int = TRIES, *, ip: str = ELSEWHERE) -> None:
    """Wrong passwords, each of which is looked at."""
    for _ in range(times):
        assert (await log_in(world, name, ip=ip)).status_code == httpx.codes.UNAUTHORIZED


async def status(world: Any, name: str, password: str = PASSWORD, *, ip: str = ELSEWHERE) -> int:
    return (await log_in(world, name, password, ip=ip)).status_code


def about(wait_s: int) -> Any:
    """A wait of which a slow machine has lost a little."""
    return pytest.approx(wait_s, abs=25)


async def let_pass(world: Any, minutes: float) -> None:
    """Everything that is written happened so much earlier."""
    async with world.database.platform() as tx:
        await tx.session.execute(
            text(
                "UPDATE login_attempt SET counted_from = counted_from - make_interval(secs => :secs),"
                " locked_until = locked_until - make_interval(secs => :secs),"
                " expires_at = expires_at - make_interval(secs => :secs)"
            ),
            {"secs": minutes * 60},
        )


async def rows(world: Any) -> list[Any]:
    async with world.database.platform() as tx:
        return list(await tx.session.execute(text("SELECT * FROM login_attempt")))


async def _user(world: Any) -> tuple[str, str]:
    name = f"user.{uuid.uuid4().hex[:8]}"
    body = {"username": name, "full_name": "U", "role": "auditor", "password": PASSWORD}
    made = await world.call("acme.admin", "POST", "/users", body)
    return made.json()["id"], name


async def test_a_name_is_locked_whoever_asks_and_whether_it_is_there_or_not(world: Any) -> None:
    answers = []
    for name in ("acme.admin", "nobody.here"):
        await fail(world, name)
        with capture_logs() as logs:
            refused = await log_in(world, f" {name.upper()} ", PASSWORD)
        assert refused.status_code == httpx.codes.TOO_MANY_REQUESTS
        wait_s = refused.json()["retry_after_s"]
        assert refused.headers["Retry-After"] == str(wait_s)
        assert wait_s == about(60)
        assert [entry["log_level"] for entry in logs if "too many" in entry["event"]] == ["warning"]
        assert name not in str(logs).lower()
        problem = refused.json()
        assert problem["detail"] == f"too many logins have failed; try again in {in_words(wait_s)}"
        answers.append({**problem, "detail": "", "retry_after_s": 0})
    assert answers[0] == answers[1]
    assert answers[0]["type"] == "urn:recoup:problem:too-many-logins"
    assert await status(world, "acme.auditor") == httpx.codes.OK


async def test_locks_grow_are_not_prolonged_by_knocking_and_end(world: Any) -> None:
    for minutes in (1, 5, 15, 15):
        await fail(world, "acme.admin")
        for _ in range(3):
            refused = await log_in(world, "acme.admin", PASSWORD)
            assert int(refused.headers["Retry-After"]) == about(minutes * 60)
        await let_pass(world, minutes - 0.5)
        assert await status(world, "acme.admin") == httpx.codes.TOO_MANY_REQUESTS
        await let_pass(world, 0.6)
    assert await status(world, "acme.admin") == httpx.codes.OK


async def test_after_an_hour_of_peace_locks_are_short_again(world: Any) -> None:
    for wait_s in (60, 300):
        await fail(world, "acme.admin")
        assert int((await log_in(world, "acme.admin")).headers["Retry-After"]) == about(wait_s)
        await let_pass(world, 6)
    await let_pass(world, 61)
    await fail(world, "acme.admin")
    assert int((await log_in(world, "acme.admin")).headers["Retry-After"]) == about(60)


async def test_failures_count_for_a_quarter_of_an_hour(world: Any) -> None:
    await fail(world, "acme.admin", TRIES - 1)
    await let_pass(world, 16)
    await fail(world, "acme.admin", TRIES - 1)
    assert await status(world, "acme.admin") == httpx.codes.OK


async def test_coming_in_clears_the_failures_of_the_name_and_counts_none_of_the_address(world: Any) -> None:
    for _ in range(3):
        await fail(world, "acme.admin", TRIES - 1)
        assert await status(world, "acme.admin") == httpx.codes.OK
    for _ in range(ADDRESS_TRIES):
        assert await status(world, "acme.auditor") == httpx.codes.OK
    assert await status(world, "rival.admin") == httpx.codes.OK


async def test_of_two_hundred_at_once_in_two_processes_five_are_looked_at(world: Any, replica: Any) -> None:
    tries = [log_in(world, "acme.admin", app=app) for app in (world.app, replica) for _ in range(100)]
    counted = Counter(answer.status_code for answer in await asyncio.gather(*tries))
    assert counted == {httpx.codes.UNAUTHORIZED: TRIES, httpx.codes.TOO_MANY_REQUESTS: 200 - TRIES}


async def test_right_passwords_at_once_are_no_failures(world: Any) -> None:
    names = ["acme.admin"] * 20 + ["acme.auditor", "rival.admin"] * 10
    answers = await asyncio.gather(*(log_in(world, name, PASSWORD) for name in names))
    assert Counter(answer.status_code for answer in answers) == {httpx.codes.OK: len(names)}


async def test_an_address_is_locked_for_all_names_and_no_other_address_is(world: Any) -> None:
    for number in range(ADDRESS_TRIES):
        await fail(world, f"guess.{number}", 1)
    refused = await log_in(world, "acme.admin", PASSWORD)
    assert (refused.status_code, int(refused.headers["Retry-After"])) == (429, about(900))
    assert refused.json()["type"] == "urn:recoup:problem:too-many-logins"
    assert await status(world, "acme.admin", ip=HOME) == httpx.codes.OK
    await let_pass(world, 15.1)
    assert await status(world, "acme.admin") == httpx.codes.OK


async def test_of_one_address_s_tries_at_once_no_more_are_looked_at(world: Any) -> None:
    tries = [log_in(world, f"guess.{number}") for number in range(60)]
    counted = Counter(answer.status_code for answer in await asyncio.gather(*tries))
    assert counted == {httpx.codes.UNAUTHORIZED: ADDRESS_TRIES, httpx.codes.TOO_MANY_REQUESTS: 30}


async def test_nobody_is_kept_out_from_where_they_came_in_by_guesses_from_elsewhere(world: Any) -> None:
    assert await status(world, "acme.admin", ip=HOME) == httpx.codes.OK
    await fail(world, "acme.admin")
    assert await status(world, "acme.admin") == httpx.codes.TOO_MANY_REQUESTS
    assert await status(world, "acme.admin", ip=HOME) == httpx.codes.OK
    await fail(world, "acme.admin", ip=HOME)
    assert await status(world, "acme.admin", ip=HOME) == httpx.codes.TOO_MANY_REQUESTS
    assert await status(world, "acme.admin") == httpx.codes.TOO_MANY_REQUESTS


async def test_nobody_is_kept_out_from_where_they_came_in_by_guesses_at_others_beside_them(
    world: Any,
) -> None:
    assert await status(world, "acme.admin") == httpx.codes.OK
    for number in range(ADDRESS_TRIES):
        await fail(world, f"guess.{number}", 1)
    assert await status(world, "acme.admin") == httpx.codes.OK
    # Their coming in does not open the address for guesses.
    assert await status(world, "guess.again") == httpx.codes.TOO_MANY_REQUESTS


@pytest.mark.parametrize("by", ["administrator", "command line", "unlock"])
async def test_a_new_password_or_an_administrator_unlocks(world: Any, by: str) -> None:
    user_id, name = await _user(world)
    assert await status(world, name, ip=HOME) == httpx.codes.OK
    for ip in (HOME, ELSEWHERE):
        for _ in range(TRIES):
            await log_in(world, name, ip=ip)
        assert await status(world, name, ip=ip) == httpx.codes.TOO_MANY_REQUESTS
    actor = Actor("system", "test")
    password = PASSWORD if by == "unlock" else "another password"
    if by == "administrator":
        await world.call("acme.admin", "PATCH", f"/users/{user_id}", {"password": password})
    elif by == "command line":
        await world.services.users.set_password(actor, PasswordReset(username=name, password=password))
    else:
        await world.services.users.unlock(actor, f" {name.upper()} ")
    for ip in (HOME, ELSEWHERE):
        assert await status(world, name, password, ip=ip) == httpx.codes.OK


async def test_one_s_own_new_password_clears_what_failed_before(world: Any) -> None:
    _, name = await _user(world)
    token = (await log_in(world, name, PASSWORD)).json()["access"]
    await fail(world, name)
    body = {"current_password": PASSWORD, "new_password": "another password"}
    changed = await world.call(None, "POST", "/auth/password", body, Authorization=f"Bearer {token}")
    assert changed.status_code == httpx.codes.NO_CONTENT
    assert await status(world, name, "another password") == httpx.codes.OK


async def test_refreshing_is_not_limited(world: Any) -> None:
    pair = (await log_in(world, "acme.auditor", PASSWORD)).json()
    await fail(world, "acme.auditor")
    for _ in range(ADDRESS_TRIES + 1):
        refused = await world.call(None, "POST", "/auth/token/refresh", {"refresh": "never issued"})
        assert refused.status_code == httpx.codes.UNAUTHORIZED
    good = await world.call(None, "POST", "/auth/token/refresh", {"refresh": pair["refresh"]})
    assert good.status_code == httpx.codes.OK


async def test_what_is_kept_names_nobody_and_goes_by_itself(world: Any) -> None:
    await log_in(world, "acme.admin", PASSWORD, ip=HOME)
    for number in range(3):
        await fail(world, f"guess.{number}", 1)
    kept = await rows(world)
    assert len(kept) == 6
    assert not any(word in repr(kept) for word in ("acme", "guess", HOME, ELSEWHERE))
    await let_pass(world, 61)
    await fail(world, "guess.again", 1)
    assert len(await rows(world)) == 3
    await let_pass(world, 31 * 24 * 60)
    await fail(world, "guess.again", 1)
    assert len(await rows(world)) == 2
