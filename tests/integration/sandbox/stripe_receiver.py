"""An HTTP endpoint that keeps the webhooks it is sent and answers as it is told."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from sandbox.ports import free_port
from sandbox.processes import until


@dataclass
class Receiver:
    """``answers`` are the next statuses, in order; then 200."""

    answers: list[int] = field(default_factory=list)
    requests: list[tuple[bytes, str]] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    """Not one that the system gives to connections: while nobody listens, one of those might take it."""
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/webhook"

    @property
    def events(self) -> list[dict[str, Any]]:
        """What came, in order, tries that were refused too."""
        return [json.loads(body) for body, _ in self.requests]

    @property
    def types(self) -> list[str]:
        """The types of what came."""
        return [event["type"] for event in self.events]

    async def got(self, number: int) -> None:
        """Wait until so many requests came."""

        async def enough() -> bool:
            return len(self.requests) >= number

        await until(enough, within_s=60, what=f"{number} webhooks, not {len(self.requests)}")

    async def start(self) -> None:
        """Listen, each time on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Listen no longer."""
        if self._server:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
        signature = next(
            (line.split(": ", 1)[1] for line in head.splitlines() if line.lower().startswith("stripe-sig")),
            "",
        )
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((body, signature))
        status = self.answers.pop(0) if self.answers else 200
        writer.write(f"HTTP/1.1 {status} Status\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
