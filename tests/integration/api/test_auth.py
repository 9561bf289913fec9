"""Logging in, staying logged in, and the tokens that are not honoured (any more)."""

import asyncio
import time
import uuid
from typing import Any

import jwt
import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

from runtime.settings import DEVELOPMENT_JWT_SECRET
from services.passwords import Passwords
from tests.integration.api.conftest import quick_hasher

PASSWORD = "correct horse battery"


async def _user(world: Any, role: str = "auditor") -> tuple[str, str]:
    """A fresh user of acme: id and username."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    made = await world.call(
        "acme.admin",
        "POST",
        "/users",
        {"username": name, "full_name": "Some One", "role": role, "password": PASSWORD},
    )
    assert made.status_code == 201, made.text
    return made.json()["id"], name


async def _log_in(world: Any, name: str, password: str = PASSWORD) -> Any:
    return await world.call(None, "POST", "/auth/token", {"username": name, "password": password})


async def _me(world: Any, access: str) -> int:
    answer = await world.call(None, "GET", "/auth/me", Authorization=f"Bearer {access}")
    return int(answer.status_code)


async def _refresh(world: Any, token: str) -> Any:
    return await world.call(None, "POST", "/auth/token/refresh", {"refresh": token})


async def test_a_login_opens_the_door(world: Any) -> None:
    answer = await _log_in(world, "  Acme.Admin ")
    assert answer.status_code == 200
    pair = answer.json()
    assert pair["expires_in"] == 900
    claims = jwt.decode(pair["access"], options={"verify_signature": False})
    assert set(claims) == {"sub", "role", "agency", "iat", "exp", "jti", "iss", "aud"}
    assert claims["exp"] - claims["iat"] == 900
    me = await world.call(None, "GET", "/auth/me/", Authorization=f"Bearer {pair['access']}")
    assert me.json() == {
        "id": claims["sub"],
        "username": "acme.admin",
        "role": "agency_admin",
        "agency_id": str(world.agencies["acme"]),
        "collector_id": None,
    }


async def test_a_refused_login_does_not_say_what_was_wrong(world: Any) -> None:
    wrong = await _log_in(world, "acme.admin", "not the password")
    unknown = await _log_in(world, "nobody.here", "not the password")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()


def _token(secret: str = DEVELOPMENT_JWT_SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "sub": str(uuid.uuid4()),
        "role": "agency_admin",
        "agency": None,
        "iat": now,
        "exp": now + 600,
        "jti": "x",
        "iss": "recoup",
        "aud": "recoup-api",
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value != "(none)"}
    return jwt.encode(kept, secret if algorithm != "none" else None, algorithm=algorithm)


FORGERIES = {
    "other secret": lambda good: _token("another secret of thirty-two bytes or more", **good),
    "no algorithm": lambda good: _token(algorithm="none", **good),
    "other algorithm": lambda good: _token(DEVELOPMENT_JWT_SECRET * 2, algorithm="HS512", **good),
    "expired": lambda good: _token(**{**good, "exp": int(time.time()) - 60}),
    "no expiry": lambda good: _token(**{**good, "exp": "(none)"}),
    "other audience": lambda good: _token(**{**good, "aud": "elsewhere"}),
    "other issuer": lambda good: _token(**{**good, "iss": "elsewhere"}),
    "higher role": lambda good: _token(**{**good, "role": "platform_admin"}),
    "no such role": lambda good: _token(**{**good, "role": "emperor"}),
    "other agency": lambda good: _token(**{**good, "agency": str(uuid.uuid4())}),
    "no agency": lambda good: _token(**{**good, "agency": None}),
    "agency is a number": lambda good: _token(**{**good, "agency": 7}),
    "nobody": lambda good: _token(**{**good, "sub": str(uuid.uuid4())}),
    "subject is no id": lambda good: _token(**{**good, "sub": "me"}),
    "garbage": lambda good: "not.a.token",
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_token_that_we_did_not_sign_like_this_is_refused(world: Any, forgery: str) -> None:
    good = jwt.decode(world.tokens["acme.admin"], options={"verify_signature": False})
    assert await _me(world, _token(**good)) == 200
    answer = await world.call(None, "GET", "/auth/me", Authorization=f"Bearer {FORGERIES[forgery](good)}")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_refresh_token_is_good_once_and_its_reuse_ends_the_login(world: Any) -> None:
    _, name = await _user(world)
    first = (await _log_in(world, name)).json()["refresh"]
    other_login = (await _log_in(world, name)).json()["refresh"]
    second = await _refresh(world, first)
    assert second.status_code == 200
    assert await _me(world, second.json()["access"]) == 200
    assert (await _refresh(world, first)).status_code == 401
    assert (await _refresh(world, second.json()["refresh"])).status_code == 401
    assert (await _refresh(world, other_login)).status_code == 200


async def test_of_two_refreshes_at_once_one_wins(world: Any) -> None:
    _, name = await _user(world)
    token = (await _log_in(world, name)).json()["refresh"]
    answers = await asyncio.gather(*(_refresh(world, token) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
    [winner] = [answer for answer in answers if answer.status_code == 200]
    assert (await _refresh(world, winner.json()["refresh"])).status_code == 401


async def test_an_expired_refresh_token_is_refused(world: Any) -> None:
    _, name = await _user(world)
    token = (await _log_in(world, name)).json()["refresh"]
    async with world.database.platform() as tx:
        await tx.session.execute(
            text(
                "UPDATE refresh_token SET expires_at = now() - interval '1 second'"
                " WHERE user_id = (SELECT id FROM app_user WHERE username = :name)"
            ),
            {"name": name},
        )
    assert (await _refresh(world, token)).status_code == 401


@pytest.mark.parametrize("token", ["", "never issued", "x" * 500, "\x00"])
async def test_a_refresh_token_that_never_was(world: Any, token: str) -> None:
    assert (await _refresh(world, token)).status_code in {401, 422}


@pytest.mark.parametrize("change", [{"active": False}, {"role": "agency_admin"}])
async def test_a_changed_user_has_to_log_in_again(world: Any, change: dict[str, Any]) -> None:
    user_id, name = await _user(world)
    pair = (await _log_in(world, name)).json()
    assert await _me(world, pair["access"]) == 200
    assert (await world.call("acme.admin", "PATCH", f"/users/{user_id}", change)).status_code == 200
    assert await _me(world, pair["access"]) == 401
    assert (await _refresh(world, pair["refresh"])).status_code == 401
    assert (await _log_in(world, name)).status_code == (401 if "active" in change else 200)


async def test_a_token_from_before_a_change_never_comes_back(world: Any) -> None:
    user_id, name = await _user(world)

    async def change(**values: Any) -> None:
        assert (await world.call("acme.admin", "PATCH", f"/users/{user_id}", values)).status_code == 200

    old = (await _log_in(world, name)).json()["access"]
    await change(active=False)
    await change(active=True)
    assert await _me(world, old) == 401
    second = (await _log_in(world, name)).json()["access"]
    assert await _me(world, second) == 200
    await change(role="agency_admin")
    await change(role="auditor")
    assert await _me(world, second) == 401
    third = (await _log_in(world, name)).json()["access"]
    await change(full_name="Another Name", active=True)
    assert await _me(world, third) == 200
    await change(password="another password")
    assert await _me(world, third) == 401


async def test_users_of_an_inactive_agency_stay_outside(world: Any) -> None:
    made = await world.call("platform", "POST", "/agencies", {"slug": "sleepy", "name": "Sleepy"})
    person = {"username": "sleepy.admin", "full_name": "S", "role": "agency_admin", "password": PASSWORD}
    await world.call("platform", "POST", "/users", person, **{"X-Agency": "sleepy"})
    pair = (await _log_in(world, "sleepy.admin")).json()
    assert await _me(world, pair["access"]) == 200
    await world.call("platform", "PATCH", f"/agencies/{made.json()['id']}", {"active": False})
    assert await _me(world, pair["access"]) == 401
    assert (await _refresh(world, pair["refresh"])).status_code == 401
    assert (await _log_in(world, "sleepy.admin")).status_code == 401


async def test_a_new_password_ends_all_logins(world: Any) -> None:
    user_id, name = await _user(world)
    pair = (await _log_in(world, name)).json()
    bearer = {"Authorization": f"Bearer {pair['access']}"}
    body = {"current_password": "wrong", "new_password": "another password"}
    refused = await world.call(None, "POST", "/auth/password", body, **bearer)
    assert (refused.status_code, refused.json()["field"]) == (422, "current_password")
    body["current_password"] = PASSWORD
    assert (await world.call(None, "POST", "/auth/password", body, **bearer)).status_code == 204
    assert (await _refresh(world, pair["refresh"])).status_code == 401
    assert (await _log_in(world, name)).status_code == 401
    pair = (await _log_in(world, name, "another password")).json()
    reset = {"password": "third password"}
    assert (await world.call("acme.admin", "PATCH", f"/users/{user_id}", reset)).status_code == 200
    assert (await _refresh(world, pair["refresh"])).status_code == 401
    assert (await _log_in(world, name, "third password")).status_code == 200


async def test_a_hash_with_old_parameters_is_renewed_at_login(world: Any) -> None:
    user_id, name = await _user(world)
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    async with world.database.platform() as tx:
        await tx.users.change(world.agencies["acme"], uuid.UUID(user_id), {"password_hash": weak})
    assert (await _log_in(world, name)).status_code == 200
    async with world.database.platform() as tx:
        stored = (await tx.users.by_username(name)).password_hash
    assert stored != weak
    assert not Passwords(quick_hasher()).outdated(stored)
    assert (await _log_in(world, name)).status_code == 200
