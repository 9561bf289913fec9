"""A partner's HTTPS endpoint: keeps what it is sent, checks signatures, and misbehaves as it is told."""

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from sandbox.ports import free_port

SECRET = "whsec_" + base64.b64encode(b"partners" * 4).decode()


@dataclass(frozen=True)
class Delivery:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]

    @property
    def accounts(self) -> list[dict[str, Any]]:
        return list(json.loads(self.body))


@dataclass
class Endpoint:
    """``answers``: what is done with the next requests, in order; then all are taken with 200.

    An answer is a status, after a blank with a Retry-After, or one of ``silent`` (never answered), ``drip``
    (an answer that never ends), ``flood`` (the same, fast), ``cut`` (closed without one) and ``held`` (taken,
    but not said before ``released``).
    """

    answers: list[str] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    """Not one that the system gives to connections: while nobody listens, one of those might take it."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/accounts"

    @property
    def keys(self) -> list[str]:
        return [delivery.key for delivery in self.deliveries]

    async def start(self) -> None:
        """Listen, each time on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Listen no longer."""
        if self._server:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a delivery. The connection ends without an answer when its signature is not right."""
        try:
            await self._take(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, WebhookVerificationError):
            return
        finally:
            writer.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = (line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
        headers = {name.lower(): value for name, value in lines}
        body = await reader.readexactly(int(headers["content-length"]))
        Webhook(SECRET).verify(body, headers)
        self.deliveries.append(Delivery(headers, body))
        answer = self.answers.pop(0) if self.answers else "200"
        if answer == "held":
            await self.released.wait()
            answer = "200"
        await _answer(answer, reader, writer)


async def _answer(answer: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    match answer.split():
        case ["cut"]:
            return
        case ["silent"]:
            await reader.read()
        case ["drip"]:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not reader.at_eof():
                writer.write(b"1\r\n.\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        case ["flood"]:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            while not reader.at_eof():
                writer.write(b"x" * 1000)
                await writer.drain()
        case [status, *wait]:
            more = f"Retry-After: {wait[0]}\r\n" if wait else ""
            more += "Location: https://elsewhere.example/\r\n" if status.startswith("3") else ""
            said = f"said {status}\n".encode()
            head = (
                f"HTTP/1.1 {status} Status\r\n{more}Content-Length: {len(said)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + said)
            await writer.drain()
