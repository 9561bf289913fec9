"""The stand-in as a server on the loopback address: one that tests stop and start, or a process of its own.

In development it is ``python -m sandbox.stripe``, started and ended with the rest of the sandbox.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.errors import SandboxError
from sandbox.ports import LOOPBACK, Port, busy, is_free
from sandbox.stripe.api import NOTICE, NOTICE_HEADER, Api
from sandbox.stripe.controls import Controls
from sandbox.stripe.engine import Engine, system_clock
from sandbox.stripe.faults import Faults
from sandbox.stripe.pages import Pages
from sandbox.stripe.store import Store
from sandbox.stripe.webhooks import Webhooks
from sandbox.stripe.world import Behaviour

_METHODS: Final = ["GET", "POST", "DELETE", "PUT", "PATCH"]
_TICK_S: Final = 0.2
_STOP_S: Final = 2
# Far longer than clients keep a connection, so that it is never cut while a request is on its way.
_KEEP_ALIVE_S: Final = 75

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]


class StripeServer:
    """The stand-in on a port of the loopback address.

    Args:
        port: TCP port.
        file: SQLite file with its state; None keeps it in memory, where a ``stop`` does not lose it.
        clock: seconds since 1970.
        behaviour: delays and webhooks.
        first_wait_s: wait before an event is sent for the second time, growing from there.
    """

    def __init__(
        self,
        port: int,
        *,
        file: Path | None = None,
        clock: Callable[[], float] = system_clock,
        behaviour: Behaviour | None = None,
        first_wait_s: float = 0.5,
    ) -> None:
        self.port = port
        self.behaviour = behaviour or Behaviour()
        self._file = file
        self._clock = clock
        self._first_wait_s = first_wait_s
        self._store: Store | None = None
        self._running: _Running | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def engine(self) -> Engine:
        """What is behind HTTP, while it runs."""
        return self._now_running().engine

    @property
    def faults(self) -> Faults:
        """The faults that are switched on, while it runs."""
        return self._now_running().faults

    @property
    def webhooks(self) -> Webhooks:
        """The sender of events, while it runs."""
        return self._now_running().webhooks

    async def start(self) -> None:
        """Listen. Raises ``SandboxError`` on a busy port."""
        if not is_free(self.port):
            raise SandboxError(busy(Port(self.port, "Stripe", "RECOUP_STRIPE_PORT")))
        self._store = self._store or Store(self._file)
        engine = Engine(self._store, self.behaviour, base_url=self.url, clock=self._clock)
        webhooks = Webhooks(self._store, self.behaviour, first_wait_s=self._first_wait_s)
        self._running = _Running(engine, webhooks)
        await self._running.start(self.port)

    async def ended(self) -> None:
        """Wait until it ends by itself, which is a failure: raises what went wrong."""
        await self._now_running().ended()

    async def stop(self) -> None:
        """Stop listening and cut every connection; harmless when it does not run."""
        if self._running:
            await self._running.stop()
            self._running = None
        if self._store and self._file:
            self._store.close()
            self._store = None

    async def restart(self) -> None:
        """Stop, then listen on the same port again, with the same state."""
        await self.stop()
        await self.start()

    def _now_running(self) -> "_Running":
        if self._running is None:
            raise RuntimeError("the Stripe stand-in does not run")
        return self._running


class _Running:
    """Everything that lives from a start to its stop."""

    def __init__(self, engine: Engine, webhooks: Webhooks) -> None:
        self.engine = engine
        self.webhooks = webhooks
        self.faults = Faults()
        self._server: _Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, port: int) -> None:
        listener = socket.create_server((LOOPBACK, port), reuse_port=False, backlog=512)
        config = uvicorn.Config(
            application(self.engine, self.faults, self.webhooks),
            http=_Protocol,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_S,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        self._server = _Server(config)
        serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        self._tasks = [serving, asyncio.create_task(self._keep_time())]
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.001)
        self.webhooks.send()

    async def ended(self) -> None:
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        self.faults.end()
        if self._server:
            self._server.should_exit = True
        serving, ticking = self._tasks
        ticking.cancel()
        await asyncio.gather(serving, ticking, return_exceptions=True)
        await self.webhooks.stop()

    async def _keep_time(self) -> None:
        """Do what becomes due while nobody asks for anything."""
        while True:
            self.engine.catch_up()
            self.webhooks.send()
            await asyncio.sleep(_TICK_S)


def application(engine: Engine, faults: Faults, webhooks: Webhooks) -> Callable[..., Awaitable[None]]:
    """The ASGI application: API, control API and pages; every answer says that it is not Stripe's."""
    controls = Controls(engine, faults, webhooks)
    api = Api(engine, faults, webhooks)
    routes = [
        Route("/v1/{rest:path}", api.answer, methods=_METHODS),
        *controls.routes(),
        *Pages(engine, controls).routes(),
    ]
    inner = Starlette(routes=routes)
    notice = (NOTICE_HEADER.encode(), NOTICE.encode())

    async def app(
        scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[_Message]], send: _Send
    ) -> None:
        async def marked(message: _Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], notice]
            await send(message)

        await inner(scope, receive, marked)

    return app


class _Protocol(HttpToolsProtocol):
    """Lets the application at the connection, which some faults cut."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        state: Mapping[str, Any] = self.scope.get("state", {})
        self.scope["state"] = {**state, "transport": self.transport}


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the main's."""
        yield
