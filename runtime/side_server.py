"""A second, small HTTP server of a process: for probes and Prometheus, on a port of its own."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import uvicorn

from domain.errors import Unavailable

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class _SideServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the main, which ends this server too."""
        yield


@contextlib.asynccontextmanager
async def serving_beside(app: "ASGIApp", host: str, port: int) -> AsyncIterator[None]:
    """Serve ``app`` for as long as the block runs. ``Unavailable`` when the port is taken."""
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise Unavailable(f"port {port} of {host} cannot be listened on: {error.strerror}") from error
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = _SideServer(config)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
