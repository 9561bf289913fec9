"""``recoup health``: a process is asked where it listens."""

import asyncio
from typing import Any

import pytest

from tests.command_line import CommandLine

WELL = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(WELL)
    writer.close()


@pytest.mark.parametrize(
    ("process", "variable"),
    [("api", "RECOUP_API_PORT"), ("ready", "RECOUP_API_PORT"), ("worker", "RECOUP_WORKER_HEALTH_PORT")],
)
@pytest.mark.parametrize(
    ("listens", "host", "code"),
    [("127.0.0.2", "127.0.0.2", 0), ("127.0.0.1", "0.0.0.0", 0), ("127.0.0.1", "127.0.0.2", 75)],  # noqa: S104
    ids=["there", "everywhere", "elsewhere"],
)
async def test_a_process_is_asked_where_it_listens(
    command_line: CommandLine, process: str, variable: str, listens: str, host: str, code: int
) -> None:
    async with await asyncio.start_server(_answer, listens, 0) as server:
        port = str(server.sockets[0].getsockname()[1])
        settings: dict[str, Any] = {"RECOUP_HOST": host, variable: port}
        said = await command_line.run("health", process, **settings)
    assert said[0] == code, said
