"""A server beside the main one: up for its block, on a port that is free."""

import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from domain.errors import Unavailable
from runtime.side_server import serving_beside
from sandbox.ports import free_port

HOST = "127.0.0.1"


async def hello(_: object) -> PlainTextResponse:
    return PlainTextResponse("hello")


APP = Starlette(routes=[Route("/", hello)])


async def test_it_answers_as_long_as_its_block_runs() -> None:
    port = free_port()
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=60) as client:
        async with serving_beside(APP, HOST, port):
            assert (await client.get("/")).text == "hello"
        with pytest.raises(httpx.ConnectError):
            await client.get("/")


async def test_a_taken_port_is_named() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=str(port)):
            async with serving_beside(APP, HOST, port):
                pass
