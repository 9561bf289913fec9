"""A real ``recoup api`` over one database, and callers that keep one connection to it open."""

import http.client
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

from db.cipher import ColumnCipher, parse_keys
from db.scorecard_files import builtin_scorecards
from db.session import Database
from domain.tenancy import Role
from sandbox.ports import LOOPBACK, free_port
from sandbox.stack import answers_http
from services.passwords import Passwords

if TYPE_CHECKING:
    from benchmarks.world import World
    from sandbox.processes import Child

API = "/api/v1"
WORKLIST = f"{API}/worklist"
DEPTH = 100_000
AS_BROWSERS = {"Accept-Encoding": "gzip, deflate, br, zstd", "Sec-Fetch-Site": "same-origin"}
"""What browsers say besides: pages come compressed."""

STRIDE = 500
_USER = {"username": "bench.admin", "password": "only for the bench"}
_START_S = 60.0
_TIMEOUT_S = 60.0


@asynccontextmanager
async def opened(world: "World", url: str) -> AsyncIterator[Database]:
    """The database behind ``url``, as the product opens it."""
    database = Database(url, ColumnCipher(parse_keys(world.settings.column_keys.get_secret_value())))
    try:
        yield database
    finally:
        await database.close()


async def agency(database: Database) -> UUID:
    """An agency with an administrator who can log in."""
    async with database.platform() as tx:
        made = await tx.agencies.add({"slug": "bench", "name": "Bench"})
        await tx.scorecards.keep(builtin_scorecards()["recovery-v1"])
        await tx.users.add(
            {
                "agency_id": made.id,
                "username": _USER["username"],
                "full_name": "Bench",
                "role": Role.AGENCY_ADMIN,
                "password_hash": await Passwords().hash(_USER["password"]),
            }
        )
    return made.id


@asynccontextmanager
async def served(world: "World", url: str) -> "AsyncIterator[tuple[Child, int]]":
    """The process that serves the database, and its port."""
    port = free_port()
    settings = {"database_url": url, "api_port": port, "access_token_minutes": 24 * 60}
    async with world.child("api", "cli.main", "api", **settings) as api:
        await api.until(lambda: answers_http(port, "/health/live"), within_s=_START_S)
        yield api, port


class Caller:
    """One connection, kept open; it sends the same headers with every request."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_S)
        self.headers = headers or {}

    def get(self, path: str, headers: Mapping[str, str] = MappingProxyType({})) -> bytes:
        """The body of an answer. ``RuntimeError`` for any but 200."""
        sent = {**self.headers, **headers}
        try:
            return self._ask("GET", path, None, sent, http.client.OK)[0]
        except http.client.RemoteDisconnected:
            # The server ends a connection that was silent for some seconds.
            return self._ask("GET", path, None, sent, http.client.OK)[0]

    def post(self, path: str, body: str, kind: str, status: int) -> tuple[bytes, http.client.HTTPMessage]:
        """The body and headers of an answer, which has to have this status."""
        return self._ask("POST", path, body, {**self.headers, "Content-Type": kind}, status)

    def _ask(
        self, method: str, path: str, body: str | None, headers: dict[str, str], status: int
    ) -> tuple[bytes, http.client.HTTPMessage]:
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        found = answer.read()
        if "Cookie" in self.headers and "Set-Cookie" in answer.headers:
            self.headers["Cookie"] = answer.headers["Set-Cookie"].partition(";")[0]
        if answer.status != status:
            said = found.decode(errors="replace")
            raise RuntimeError(f"{method} {path} was answered {answer.status}: {said}")
        return found, answer.headers

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def api_caller(port: int) -> Caller:
    """Somebody who is logged in to the API."""
    caller = Caller(port)
    body, _ = caller.post(f"{API}/auth/token", json.dumps(_USER), "application/json", http.client.OK)
    caller.headers = {"Authorization": f"Bearer {json.loads(body)['access']}"}
    return caller


def browser_caller(port: int) -> Caller:
    """Somebody who is logged in to the console, by its cookie."""
    caller = Caller(port)
    form = urlencode({**_USER, "next": "/"})
    _, headers = caller.post("/login", form, "application/x-www-form-urlencoded", http.client.SEE_OTHER)
    caller.headers = {"Cookie": headers["Set-Cookie"].partition(";")[0], **AS_BROWSERS}
    return caller


def walk(api: Caller) -> tuple[int, str, str]:
    """Follow ``next`` for ``DEPTH`` accounts, or as far as pages follow: how far, the cursor, the last id."""
    path = f"{WORKLIST}?{urlencode({'page_size': STRIDE})}"
    depth, cursor, last = 0, "", ""
    while depth < DEPTH:
        page: dict[str, Any] = json.loads(api.get(path))
        if page["next"] is None:
            break
        depth += len(page["results"])
        last = page["results"][-1]["id"]
        target = urlsplit(page["next"])
        path = f"{target.path}?{target.query}"
        cursor = parse_qs(target.query)["cursor"][0]
    if not cursor:
        raise RuntimeError(f"the worklist has no second page of {STRIDE}; measure more accounts")
    return depth, cursor, last
