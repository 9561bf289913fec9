"""Pages of the console, beside the API's answers with the same data and a page that holds none."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from time import perf_counter
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import psutil

from benchmarks.served import API, AS_BROWSERS, STRIDE, WORKLIST, Caller, api_caller, browser_caller, walk
from benchmarks.turns import SLICES, percentile

WARM_UP = 20
WORKED = 20
"""Accounts whose pages are asked for, in turn."""

Paths = Sequence[str]
"""What is asked for one after the other, and timed as one."""

_NEXT = re.compile(r'rel="next" href="([^"]+)"')
_NARROW = urlencode([("risk_level", "CRITICAL"), ("risk_level", "HIGH"), ("status", "assigned")])
_SEARCH = urlencode({"search": "number 4711"})


@dataclass(frozen=True, slots=True)
class Answers:
    """Seconds until each answer was there, processor seconds of the server for each, bytes of a body sent."""

    times: tuple[float, ...]
    processor_s: float
    size: int

    def at(self, percent: int) -> float:
        """What this percentage of the answers stayed within, in seconds."""
        return percentile(self.times, percent)


@dataclass(frozen=True, slots=True)
class PageFigures:
    """A page, or a part that a page fetches for itself; ``json``: the same from the API, if it has any."""

    name: str
    page: Answers
    json: Answers | None

    def ratio(self, percent: int) -> float | None:
        """Page over JSON."""
        return self.page.at(percent) / self.json.at(percent) if self.json else None


class _Asked(NamedTuple):
    """``into``: the id of the element that HTMX puts a part of a page into."""

    name: str
    pages: Sequence[Paths]
    jsons: Sequence[Paths] = ()
    into: str = ""


@dataclass(slots=True)
class _Way:
    """One kind of request, sent by one caller, with what it took so far."""

    caller: Caller
    asked: Sequence[Paths]
    headers: Mapping[str, str] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    processor_s: float = 0
    size: int = 0

    def ask(self, turn: int) -> float:
        """Seconds that one took."""
        paths = self.asked[turn % len(self.asked)]
        began = perf_counter()
        self.size = sum(len(self.caller.get(path, self.headers)) for path in paths)
        return perf_counter() - began

    def measure(self, turns: range, server: psutil.Process) -> None:
        """A slice of requests, after one that is not counted."""
        self.ask(turns[0])
        before = processor_s(server)
        self.times += [self.ask(turn) for turn in turns]
        self.processor_s += processor_s(server) - before

    def found(self) -> Answers:
        """All that was measured."""
        return Answers(tuple(self.times), self.processor_s / len(self.times), self.size)


def compare(port: int, pid: int, requests: int) -> tuple[list[PageFigures], Answers]:
    """Every page ``requests`` times, in slices that take turns with the API's and with the empty page's.

    Returns the pages, and the page that holds nothing: the login. ``pid`` is the server's.
    """
    api, browser, nobody = api_caller(port), browser_caller(port), Caller(port, AS_BROWSERS)
    kinds = [
        (one.name, _Way(browser, one.pages, _partial(one.into)), _Way(api, one.jsons) if one.jsons else None)
        for one in _asked(api, browser)
    ]
    floor = _Way(nobody, [["/login"]])
    ways = [floor, *(way for _, *both in kinds for way in both if way)]
    server = psutil.Process(pid)
    for way in ways:
        for turn in range(min(WARM_UP, requests // 2)):
            way.ask(turn)
    for turns in _slices(requests):
        for way in ways:
            way.measure(turns, server)
    for caller in (api, browser, nobody):
        caller.close()
    return [
        PageFigures(name, page.found(), json.found() if json else None) for name, page, json in kinds
    ], floor.found()


def first_accounts(api: Caller) -> list[str]:
    """The accounts that stand first in the worklist."""
    page = json.loads(api.get(f"{WORKLIST}?page_size={WORKED}"))
    return [row["id"] for row in page["results"]]


def _asked(api: Caller, browser: Caller) -> Iterator[_Asked]:
    depth, cursor, _ = walk(api)
    yield _Asked("worklist", [["/worklist"]], [[WORKLIST]])
    yield _Asked(
        f"worklist, behind {depth:,}",
        [[f"/worklist?{urlencode({'cursor': _followed(browser, depth)})}"]],
        [[f"{WORKLIST}?{urlencode({'cursor': cursor})}"]],
    )
    for name, query in (("by risk and status", _NARROW), ("search", _SEARCH)):
        yield _Asked(f"worklist, {name}", [[f"/worklist?{query}"]], [[f"{WORKLIST}?{query}"]])
    yield _Asked("worklist, its count", [["/worklist/count"]], into="total")
    yield _Asked("worklist, search, its count", [[f"/worklist/count?{_SEARCH}"]], into="total")
    yield _Asked("worklist, search, the list alone", [[f"/worklist?{_SEARCH}"]], into="results")
    accounts = first_accounts(api)
    yield _Asked("account", [[f"/accounts/{one}"] for one in accounts], [_with_all(one) for one in accounts])
    parts = (("timeline", "timeline?page_size=20", "history"), ("workflow", "workflow", "workflow"))
    for name, path, into in parts:
        yield _Asked(
            f"account, its {name}",
            [[f"/accounts/{one}/{path}"] for one in accounts],
            [[f"{API}/accounts/{one}/{path}"] for one in accounts],
            into,
        )
    figures = [f"{API}/analytics/{name}" for name in ("dashboard", "payments/trends", "collectors")]
    yield _Asked("dashboard", [["/dashboard"]], [figures])


def _partial(into: str) -> dict[str, str]:
    return {"HX-Request": "true", "HX-Target": into} if into else {}


def _followed(browser: Caller, depth: int) -> str:
    """The cursor of the page that follows ``depth`` accounts: cursors of pages are not those of the API."""
    path, cursor = f"/worklist?{urlencode({'page_size': STRIDE})}", ""
    for _ in range(0, depth, STRIDE):
        found = _NEXT.search(browser.get(path, {"Accept-Encoding": "identity"}).decode())
        if found is None:
            raise RuntimeError("the console's worklist ends before the API's")
        path = unescape(found[1])
        cursor = parse_qs(urlsplit(path).query)["cursor"][0]
    return cursor


def _with_all(account: str) -> Paths:
    """What a client of the API asks for to know most of what the account's page shows."""
    path = f"{API}/accounts/{account}"
    parts = (f"{path}/{name}?page_size=10" for name in ("holds", "promises", "disputes", "offers"))
    lists = (f"{API}/{name}?account={account}&page_size=10" for name in ("payments", "plans"))
    return [path, *parts, *lists]


def _slices(requests: int) -> Iterator[range]:
    each = -(-requests // min(SLICES, requests))
    for first in range(0, requests, each):
        yield range(first, min(first + each, requests))


def processor_s(process: psutil.Process) -> float:
    """Seconds of processor time that a process has used."""
    times = process.cpu_times()
    return times.user + times.system
