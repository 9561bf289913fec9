"""Which ports are free, and who has the others."""

import random
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import psutil

from sandbox.errors import SandboxError

LOOPBACK = "127.0.0.1"
_TO_LISTEN_ON = range(10_240, 32_768)
"""Below the ports that Linux gives to connections, so that none of those takes a port just found free."""
_given: set[int] = set()
"""Found free before by this process, which may be about to listen there."""


@dataclass(frozen=True)
class Port:
    """A port that a server wants: its number, the server's name and the setting that changes it."""

    number: int
    server: str
    variable: str


def is_free(number: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError:
            return False
    return True


def free_port(host: str = LOOPBACK) -> int:
    """A port that nobody listens on at this moment."""
    return free_ports(1, host)[0]


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """Different ports that nobody listens on at this moment, and that this process has not found before."""
    found = list(islice((number for number in _drawn() if is_free(number, host)), count))
    _given.update(found)
    return found


def _drawn() -> Iterator[int]:
    """All ports in an order that no other process draws; few are looked at, as a rule."""
    if len(_given) > len(_TO_LISTEN_ON) // 2:
        _given.clear()
    source, seen = random.SystemRandom(), set(_given)
    while len(seen) < len(_TO_LISTEN_ON):
        number = source.choice(_TO_LISTEN_ON)
        if number not in seen:
            seen.add(number)
            yield number


def holder(number: int) -> str | None:
    """Name and pid of the process that listens on the port, where the system tells."""
    try:
        listening = (c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
        pid = next((c.pid for c in listening if c.laddr and c.laddr[1] == number), None)
        return f"{psutil.Process(pid).name()}, pid {pid}" if pid else None
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return None


def busy(port: Port) -> str:
    """The line that tells somebody that the port is taken and what to do."""
    by = holder(port.number)
    return (
        f"port {port.number} of {port.server} is taken{f' by {by}' if by else ''}: "
        f"stop that, or set {port.variable} to another port"
    )


def require_free(ports: Iterable[Port]) -> None:
    """Check all ports at once. Raises ``SandboxError`` with one line for each that cannot be used."""
    problems: list[str] = []
    seen: dict[int, Port] = {}
    for port in ports:
        other = seen.setdefault(port.number, port)
        if other is not port:
            change = f"set {port.variable} or {other.variable} to another port"
            problems.append(f"port {port.number} is asked for twice: {change}")
        elif not is_free(port.number):
            problems.append(busy(port))
    if problems:
        raise SandboxError("\n".join(problems))
