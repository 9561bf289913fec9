"""The event loop of processes that serve: uvloop's, where there is one for the platform."""

import asyncio
from collections.abc import Coroutine
from importlib import import_module
from importlib.util import find_spec
from typing import TypeVar

_Outcome = TypeVar("_Outcome")
_FACTORY = import_module("uvloop").new_event_loop if find_spec("uvloop") else asyncio.new_event_loop


def run(work: Coroutine[object, object, _Outcome]) -> _Outcome:
    """``asyncio.run`` on the faster loop. The standard one on Windows, for which there is no uvloop."""
    with asyncio.Runner(loop_factory=_FACTORY) as runner:
        return runner.run(work)
