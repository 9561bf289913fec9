"""The login after too many wrong passwords: refused in words, with when to try again."""

from typing import Any

import httpx
from sqlalchemy import text

from services.login_limits import in_words
from tests.integration.api.conftest import PASSWORD


async def _log_in(console: Any, password: str) -> httpx.Response:
    transport = httpx.ASGITransport(console.app, client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post("/login", data={"username": "acme.auditor", "password": password})


async def test_the_login_says_when_to_try_again_and_counts_with_the_api(console: Any) -> None:
    for _ in range(4):
        wrong = await _log_in(console, "not the password")
        assert wrong.status_code == httpx.codes.UNAUTHORIZED
    transport = httpx.ASGITransport(console.app, client=("203.0.113.9", 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
        body = {"username": "acme.auditor", "password": "not the password"}
        assert (await client.post("/auth/token", json=body)).status_code == httpx.codes.UNAUTHORIZED
    refused = await _log_in(console, PASSWORD)
    assert refused.status_code == httpx.codes.TOO_MANY_REQUESTS
    wait = in_words(int(refused.headers["Retry-After"]))
    assert f"Too many logins have failed; try again in {wait}." in refused.text
    assert 'value="acme.auditor"' in refused.text
    assert PASSWORD not in refused.text
    async with console.world.database.platform() as tx:
        await tx.session.execute(
            text("UPDATE login_attempt SET locked_until = now() WHERE locked_until IS NOT NULL")
        )
    assert (await _log_in(console, PASSWORD)).status_code == httpx.codes.SEE_OTHER
