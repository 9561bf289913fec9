"""Processes that serve run on uvloop, and end as ``asyncio.run`` would."""

import asyncio

import pytest
import uvloop

from runtime import loops


async def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def _fails() -> None:
    raise LookupError("as it was")


def test_work_runs_on_uvloop_and_its_loop_is_closed() -> None:
    loop = loops.run(_loop())
    assert isinstance(loop, uvloop.Loop)
    assert loop.is_closed()


def test_what_the_work_raises_comes_out() -> None:
    with pytest.raises(LookupError, match="as it was"):
        loops.run(_fails())
