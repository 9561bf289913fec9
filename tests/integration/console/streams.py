"""Streams as a browser hears them, which goes away when it has heard enough."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.integration.console.browser import Browser


async def listen(
    console: Any, browser: Browser, path: str, enough: Callable[[str], bool], *, after: str = ""
) -> str:
    """What a stream says until it is ``enough``; then the browser goes away."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [
            (b"host", b"test"),
            (b"accept", b"text/event-stream"),
            (
                b"cookie",
                "; ".join(f"{name}={value}" for name, value in browser.client.cookies.items()).encode(),
            ),
            *([(b"last-event-id", after.encode())] if after else []),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    heard, gone, asked = "", asyncio.Event(), False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def take(message: Any) -> None:
        nonlocal heard
        heard += message.get("body", b"").decode()
        if enough(heard):
            gone.set()

    async with asyncio.timeout(60):
        await console.app(scope, receive, take)
    return heard
