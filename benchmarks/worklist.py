"""The worklist over HTTP, against the same SQL run bare through psycopg, request by request in turn."""

import asyncio
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import psycopg

from benchmarks.scored_accounts import fill
from benchmarks.turns import percentile
from db.cipher import ColumnCipher, parse_keys
from db.keyset import Position
from db.scorecard_files import builtin_scorecards
from db.session import Database
from db.worklist import Whose, page_query, rows_of
from domain.tenancy import Role
from sandbox.ports import LOOPBACK, free_port
from sandbox.postgres import APPLICATION, OWNER
from services.passwords import Passwords

if TYPE_CHECKING:
    from benchmarks.world import World

MOST_RATIO = 3.0
DEPTH = 100_000
WARM_UP = 100
PAGE_SIZE = 50
_STRIDE = 500
_PATH = "/api/v1/worklist"
_USER = {"username": "bench.admin", "password": "only for the bench"}
_START_S = 60.0


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long each request took over HTTP and bare, in seconds; ``depth`` accounts lie before its page."""

    depth: int
    over_http: tuple[float, ...]
    bare: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """99th percentiles, HTTP over bare."""
        return percentile(self.over_http, 99) / percentile(self.bare, 99)


@dataclass(frozen=True, slots=True)
class WorklistFigures:
    """The first page and a deep one, measured in turn."""

    accounts: int
    requests: int
    first: Latencies
    deep: Latencies


async def measure(
    world: "World", accounts: int, requests: int, report: Callable[[str], None]
) -> WorklistFigures:
    """Ask for two pages of the worklist of so many accounts, ``requests`` times each."""
    async with world.database() as name:
        url = world.postgres.url(APPLICATION, name)
        agency_id = await _agency(world, url)
        report(f"placing {accounts:,} accounts with their scores")
        await fill(world.postgres.url(OWNER, name), agency_id, accounts)
        port = free_port()
        settings = {"database_url": url, "api_port": port, "access_token_minutes": 24 * 60}
        async with world.child("api", "cli.main", "api", **settings) as api:
            await api.until(lambda: _answers(port), within_s=_START_S)
            await world.checkpoint()
            report(f"asking for the first page and for one behind {DEPTH:,} accounts")
            first, deep = await asyncio.to_thread(_compare, port, url, agency_id, requests)
    return WorklistFigures(accounts, requests, first, deep)


async def _agency(world: "World", url: str) -> UUID:
    """An agency with an administrator who can log in."""
    database = Database(url, ColumnCipher(parse_keys(world.settings.column_keys.get_secret_value())))
    try:
        async with database.platform() as tx:
            agency = await tx.agencies.add({"slug": "bench", "name": "Bench"})
            await tx.scorecards.keep(builtin_scorecards()["recovery-v1"])
            await tx.users.add(
                {
                    "agency_id": agency.id,
                    "username": _USER["username"],
                    "full_name": "Bench",
                    "role": Role.AGENCY_ADMIN,
                    "password_hash": await Passwords().hash(_USER["password"]),
                }
            )
    finally:
        await database.close()
    return agency.id


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


class _Api:
    """One connection to the API, kept open, logged in."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
        body = json.dumps(_USER)
        self._connection.request(
            "POST", "/api/v1/auth/token", body, headers={"Content-Type": "application/json"}
        )
        self._headers = {"Authorization": f"Bearer {json.loads(self._read())['access']}"}

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        self._connection.request("GET", path, headers=self._headers)
        return self._read()

    def _read(self) -> bytes:
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"the API answered {answer.status}: {body.decode(errors='replace')}")
        return body


class _Bare:
    """One connection of psycopg's, as the application's role, seeing one agency's rows."""

    def __init__(self, url: str, agency_id: UUID) -> None:
        self._agency_id = agency_id
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("SELECT set_config('recoup.agency', %s, false)", [str(agency_id)])

    def get(self, position: Position | None) -> list[Any]:
        """The rows of a page, and one more, as the API reads them."""
        statement, values = page_query(self._agency_id, Whose(), position, PAGE_SIZE + 1)
        return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        self._connection.close()


def _compare(port: int, url: str, agency_id: UUID, requests: int) -> tuple[Latencies, Latencies]:
    """Both pages both ways in turn, so that what else the machine does meets all of them alike."""
    api, bare = _Api(port), _Bare(url, agency_id)
    depth, cursor, last = _walk(api)
    with psycopg.connect(url) as connection:
        connection.execute("SELECT set_config('recoup.agency', %s, true)", [str(agency_id)])
        key = connection.execute(
            "SELECT rank, account_id FROM account_score WHERE account_id = %s", [last]
        ).fetchone()
    if key is None:
        raise RuntimeError("the account before the deep page is gone")
    position = Position(key)
    deep_path = f"{_PATH}?{urlencode({'cursor': cursor})}"
    ways: list[tuple[Callable[[], object], list[float]]] = [
        (lambda: bare.get(None), []),
        (lambda: api.get(_PATH), []),
        (lambda: bare.get(position), []),
        (lambda: api.get(deep_path), []),
    ]
    shown = [row["id"] for row in json.loads(api.get(deep_path))["results"]]
    rows = sorted((-row.rank, row.account_id) for row in rows_of(bare.get(position)))
    if shown != [str(account_id) for _, account_id in rows[:PAGE_SIZE]]:
        raise RuntimeError("the two ways do not read the same page")
    for turn in range(requests + WARM_UP):
        for ask, times in ways:
            began = perf_counter()
            ask()
            took = perf_counter() - began
            if turn >= WARM_UP:
                times.append(took)
    bare.close()
    bare_first, http_first, bare_deep, http_deep = (tuple(times) for _, times in ways)
    return Latencies(0, http_first, bare_first), Latencies(depth, http_deep, bare_deep)


def _walk(api: _Api) -> tuple[int, str, str]:
    """Follow ``next`` for ``DEPTH`` accounts, or as far as pages follow: how far, the cursor, the last id."""
    path = f"{_PATH}?{urlencode({'page_size': min(_STRIDE, DEPTH)})}"
    depth, cursor, last = 0, "", ""
    while depth < DEPTH:
        page = json.loads(api.get(path))
        if page["next"] is None:
            break
        depth += len(page["results"])
        last = page["results"][-1]["id"]
        target = urlsplit(page["next"])
        path = f"{target.path}?{target.query}"
        cursor = parse_qs(target.query)["cursor"][0]
    if not cursor:
        raise RuntimeError(f"the worklist has no second page of {_STRIDE}; measure more accounts")
    return depth, cursor, last
