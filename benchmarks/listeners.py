"""Many open pages that listen to progress: ``python -m benchmarks.listeners PORT COUNT PATH…``.

The session's cookie is the first line of standard input, and its end is the end. Says ``open`` on standard
output as soon as every page has heard something, and at last what was heard, as JSON. It does as little
with an event as can be done, for it runs beside what is measured.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from itertools import cycle, islice

from benchmarks.turns import percentile
from sandbox.ports import LOOPBACK

OPEN = "open"
_ID = re.compile(rb"^id: (\d+)", re.MULTILINE)


class _Page(asyncio.Protocol):
    """One connection; an event's id says when the row behind it was written, in microseconds."""

    def __init__(self, request: bytes, lags: list[float]) -> None:
        self._request = request
        self._lags = lags
        self.heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.bytes = 0
        self._first = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        self._first = self._first or data
        for found in _ID.finditer(data):
            if self.heard.done():
                self._lags.append(time.time() - int(found[1]) / 1e6)
            else:
                # What the page shows already when it is opened: as old as it happens to be.
                self.heard.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.heard.done():
            ended = f"a stream ended before it told of progress: {self._first.decode(errors='replace')}"
            self.heard.set_exception(exc or ConnectionError(ended))


async def listen(port: int, count: int, paths: Sequence[str], cookie: str) -> dict[str, float]:
    """Open so many pages, the paths in turn, until standard input ends; what they have heard."""
    lags: list[float] = []
    pages = [await _opened(port, path, cookie, lags) for path in islice(cycle(paths), count)]
    await asyncio.gather(*(page.heard for page in pages))
    _say(OPEN)
    before, began = sum(page.bytes for page in pages), time.monotonic()
    await asyncio.to_thread(sys.stdin.read)
    took = time.monotonic() - began
    return {
        "events_per_s": len(lags) / took,
        "bytes_per_s": (sum(page.bytes for page in pages) - before) / took,
        "lag_p50_s": percentile(lags, 50) if lags else 0.0,
        "lag_p95_s": percentile(lags, 95) if lags else 0.0,
    }


async def _opened(port: int, path: str, cookie: str, lags: list[float]) -> _Page:
    headers = ("Host: bench", "Accept: text/event-stream", f"Cookie: {cookie}")
    request = "\r\n".join((f"GET {path} HTTP/1.1", *headers, "", ""))
    loop = asyncio.get_running_loop()
    _, page = await loop.create_connection(lambda: _Page(request.encode(), lags), LOOPBACK, port)
    return page


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _port, _count, *_paths = sys.argv[1:]
    _cookie = sys.stdin.readline().strip()
    _say(json.dumps(asyncio.run(listen(int(_port), int(_count), _paths, _cookie))))
