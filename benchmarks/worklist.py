"""The worklist over HTTP, against the same SQL run bare through psycopg, request by request in turn."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

import psycopg

from benchmarks.scored_accounts import fill
from benchmarks.served import DEPTH, WORKLIST, agency, api_caller, opened, served, walk
from benchmarks.turns import percentile
from db.keyset import Position
from db.worklist import Whose, page_query, rows_of
from sandbox.postgres import APPLICATION, OWNER

if TYPE_CHECKING:
    from benchmarks.world import World

MOST_RATIO = 3.0
WARM_UP = 100
PAGE_SIZE = 50


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
        async with opened(world, url) as database:
            agency_id = await agency(database)
        report(f"placing {accounts:,} accounts with their scores")
        await fill(world.postgres.url(OWNER, name), agency_id, accounts)
        async with served(world, url) as (_, port):
            await world.checkpoint()
            report(f"asking for the first page and for one behind {DEPTH:,} accounts")
            first, deep = await asyncio.to_thread(_compare, port, url, agency_id, requests)
    return WorklistFigures(accounts, requests, first, deep)


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
    api, bare = api_caller(port), _Bare(url, agency_id)
    depth, cursor, last = walk(api)
    with psycopg.connect(url) as connection:
        connection.execute("SELECT set_config('recoup.agency', %s, true)", [str(agency_id)])
        key = connection.execute(
            "SELECT rank, account_id FROM account_score WHERE account_id = %s", [last]
        ).fetchone()
    if key is None:
        raise RuntimeError("the account before the deep page is gone")
    position = Position(key)
    deep_path = f"{WORKLIST}?{urlencode({'cursor': cursor})}"
    ways: list[tuple[Callable[[], object], list[float]]] = [
        (lambda: bare.get(None), []),
        (lambda: api.get(WORKLIST), []),
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
