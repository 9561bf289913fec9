"""Faults on demand: how a provider or the network fails, for some requests and a number of times."""

import asyncio
import contextlib
import random
import socket
import struct
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, get_args

from starlette.requests import Request

from sandbox.stripe.world import new_id

Kind = Literal[
    "slow", "timeout_before", "timeout_after", "error_before", "error_after", "unavailable", "rate_limit",
    "reset_before", "reset_after",
]  # fmt: skip
KINDS: Final[tuple[str, ...]] = get_args(Kind)
_LINGER: Final = struct.pack("ii", 1, 0)


@dataclass
class Fault:
    """What goes wrong with requests that match.

    ``slow``: works after ``seconds``, or once all faults are switched off. ``timeout_before``,
    ``timeout_after``: no answer, without or with the work done; the connection is cut after ``seconds``.
    ``error_before``, ``error_after``: a 500 that the idempotency key keeps. ``unavailable``: a 503 from in
    front of the API, kept by nobody. ``rate_limit``: a 429.
    ``reset_before``, ``reset_after``: the connection is reset.

    ``path`` may have wildcards (``/v1/payment_intents/*/confirm``). The first ``skip`` matches go through,
    the next ``count`` do not (None: all, until cleared), each with ``probability``. ``account`` limits it.
    """

    kind: Kind
    method: str = "POST"
    path: str = "/v1/*"
    count: int | None = 1
    skip: int = 0
    seconds: float = 30.0
    probability: float = 1.0
    account: str | None = None
    id: str = field(default_factory=lambda: new_id("fault"))
    hits: int = 0

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Faults:
    """The faults that are switched on, in order; a request meets the first that matches."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        # Which requests fail is no secret.
        self._dice = random.Random()  # noqa: S311
        self._ended = asyncio.Event()
        self._cleared = asyncio.Event()

    @property
    def all(self) -> list[Fault]:
        """The faults, also those that are used up."""
        return list(self._faults)

    def add(self, fault: Fault) -> Fault:
        """Switch a fault on."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Switch all faults off; what is slow goes on."""
        self._faults.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    def met(self, method: str, path: str, account: str) -> Fault | None:
        """The fault that this request meets, counted."""
        for fault in self._faults:
            matches = fault.method in {"*", method} and fnmatchcase(path, fault.path)
            if not matches or fault.account not in {None, account} or fault.count == 0:
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if self._dice.random() >= fault.probability:
                continue
            fault.hits += 1
            if fault.count is not None:
                fault.count -= 1
            return fault
        return None

    def end(self) -> None:
        """Let go of every request that hangs: the server stops."""
        self._ended.set()

    async def dawdle(self, seconds: float) -> None:
        """Wait until ``seconds`` have passed or all faults are switched off."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._cleared.wait()

    async def hang(self, request: Request, seconds: float) -> None:
        """Say nothing until the caller goes away or ``seconds`` have passed, then cut the connection."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                ended = asyncio.create_task(self._ended.wait())
                gone = asyncio.create_task(_gone(request))
                try:
                    await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    ended.cancel()
                    gone.cancel()
        reset(request)


def reset(request: Request) -> None:
    """Cut the connection so that the caller sees a reset, not an end."""
    transport: asyncio.Transport = request.state.transport
    peer = transport.get_extra_info("socket")
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    transport.abort()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
