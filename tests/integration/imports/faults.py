"""Faults at named points, so that no test waits for luck: gates in activities and in the SFTP server."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio import activity
from temporalio import client as temporal_client
from temporalio import worker as temporal_worker
from temporalio.exceptions import ApplicationError

from sandbox.sftp import SftpServer, _Jail
from sandbox.sftp_users import SftpUser

if TYPE_CHECKING:
    from uuid import UUID

    import asyncssh

PATIENCE_S = 60


@dataclass
class Gate:
    """A point that work stops at until ``open`` is called."""

    _reached: asyncio.Event = field(default_factory=asyncio.Event)
    _open: asyncio.Event = field(default_factory=asyncio.Event)

    async def reached(self) -> None:
        """Wait until work stands at the gate."""
        async with asyncio.timeout(PATIENCE_S):
            await self._reached.wait()

    def open(self) -> None:
        """Let work go on."""
        self._open.set()

    async def enter(self) -> None:
        """Called by the work itself."""
        self._reached.set()
        await self._open.wait()


@dataclass
class _Stop:
    name: str
    when: str
    gate: Gate
    takes: Callable[[Any], bool]


class Faults(temporal_client.Interceptor, temporal_worker.Interceptor):
    """Stops activities before they begin or after they have done their work, or loses their answers.

    Given to a client, it reaches every worker made with that client. There an agency of a test before this
    one may have work left over, which a new worker goes on with: it is not this test's.
    """

    def __init__(self) -> None:
        self.attempts: list[tuple[str, int]] = []
        self.agencies: set[UUID] = set()
        """Whose activities are meant; every agency's while none is named."""
        self.lose_first_answers_of: UUID | None = None
        self._stops: list[_Stop] = []

    def before(self, name: str, takes: Callable[[Any], bool] = lambda _: True) -> Gate:
        """A gate before the next activity ``name`` whose argument ``takes`` accepts."""
        return self._stop(name, "before", takes)

    def after(self, name: str, takes: Callable[[Any], bool] = lambda _: True) -> Gate:
        """A gate behind the next activity ``name``: its work is committed, its answer not yet given."""
        return self._stop(name, "after", takes)

    def _stop(self, name: str, when: str, takes: Callable[[Any], bool]) -> Gate:
        stop = _Stop(name, when, Gate(), takes)
        self._stops.append(stop)
        return stop.gate

    def intercept_activity(
        self,
        next: temporal_worker.ActivityInboundInterceptor,  # noqa: A002
    ) -> temporal_worker.ActivityInboundInterceptor:
        return _Faulty(next, self)

    async def at(self, name: str, when: str, argument: Any) -> None:
        """Pass the point, through its gate if there is one."""
        for stop in self._stops:
            if (stop.name, stop.when) == (name, when) and stop.takes(argument):
                self._stops.remove(stop)
                await stop.gate.enter()
                return


class _Faulty(temporal_worker.ActivityInboundInterceptor):
    def __init__(self, next: temporal_worker.ActivityInboundInterceptor, faults: Faults) -> None:  # noqa: A002
        super().__init__(next)
        self._faults = faults

    async def execute_activity(self, input: temporal_worker.ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        argument = input.args[0]
        agency_id = getattr(argument, "account", argument).agency_id
        if self._faults.agencies and agency_id not in self._faults.agencies:
            return await super().execute_activity(input)
        self._faults.attempts.append((info.activity_type, info.attempt))
        await self._faults.at(info.activity_type, "before", argument)
        answer = await super().execute_activity(input)
        await self._faults.at(info.activity_type, "after", argument)
        if info.attempt == 1 and agency_id == self._faults.lose_first_answers_of:
            raise ApplicationError("the answer was lost", next_retry_delay=timedelta(milliseconds=1))
        return answer


@dataclass
class _HeldRead:
    start: int
    free_openings: int
    gate: Gate = field(default_factory=Gate)
    seen: list[int] = field(default_factory=list)

    async def enter(self, file: int, offset: int) -> None:
        if file not in self.seen:
            self.seen.append(file)
        if offset >= self.start and self.seen.index(file) >= self.free_openings:
            await self.gate.enter()


class GatedSftp(SftpServer):
    """The sandbox's SFTP server, which can be made to stand still in the middle of a file or a move."""

    def __init__(self, root: Path, users: list[SftpUser], *, host_key: Path, port: int) -> None:
        super().__init__(root, users, host_key=host_key, port=port)
        self._reads: dict[str, _HeldRead] = {}
        self._renames: dict[str, Gate] = {}

    def hold_read(self, user: str, offset: int, *, after_openings: int = 0) -> Gate:
        """The user's reads from ``offset`` on wait at the gate, but not those of the next few openings."""
        held = _HeldRead(offset, after_openings)
        self._reads[user] = held
        return held.gate

    def hold_rename(self, user: str) -> Gate:
        """The user's next rename waits at the gate, and so does all that follows."""
        return self._renames.setdefault(user, Gate())

    async def at_read(self, user: str, file: int, offset: int) -> None:
        held = self._reads.get(user)
        if held is not None:
            await held.enter(file, offset)

    async def at_rename(self, user: str) -> None:
        if user in self._renames:
            await self._renames[user].enter()

    def _session(self, channel: "asyncssh.SSHServerChannel[bytes]") -> "_GatedJail":
        user = str(channel.get_extra_info("username"))
        return _GatedJail(channel, self.root_of(user), self, user)


class _GatedJail(_Jail):
    def __init__(
        self, channel: "asyncssh.SSHServerChannel[bytes]", root: Path, door: GatedSftp, user: str
    ) -> None:
        super().__init__(channel, root)
        self._door = door
        self._user = user

    async def read(self, file_obj: Any, offset: int, size: int) -> bytes:  # type: ignore[override]
        await self._door.at_read(self._user, id(file_obj), offset)
        return os.pread(file_obj.fileno(), size, offset)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:  # type: ignore[override]
        await self._door.at_rename(self._user)
        super().rename(oldpath, newpath)
