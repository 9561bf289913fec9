"""How many logins may fail: by name and by address, counted in the database for all processes alike.

No library of limits keeps them in our database: `limits` has stores for Redis, Memcached and MongoDB, and
`pyrate-limiter`'s for PostgreSQL makes tables of its own, blocks the event loop and knows no growing locks.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from db.login_attempts import ANY, LockRule
from domain.errors import TooManyRequests

if TYPE_CHECKING:
    from db.session import Database, PlatformTransaction, Transaction

MEMORY = timedelta(hours=1)
"""Locks grow no further, and begin with the shortest again, after so long without a failure."""
KNOWN_FOR = timedelta(days=30)
"""How long a name is known at an address that somebody has come in from by it."""

_AT_ONCE = max(4, os.cpu_count() or 4)
_NETWORK_BITS = 64
"""Of an address of version 6: whoever has one has all of its network (RFC 6177)."""

_log = structlog.stdlib.get_logger("auth")


class TooManyLogins(TooManyRequests):
    """Too many logins have failed; ``retry_after_s`` says when the next one is looked at."""

    type = "too-many-logins"
    title = "Too many logins"


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """``tries`` for a name, ``address_tries`` for an address within ``window``; ``locks`` of a name."""

    tries: int
    address_tries: int
    window: timedelta
    locks: tuple[timedelta, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login whose password may be looked at; ``counted``: it is among the failures of its address."""

    name: bytes
    address: bytes | None
    counted: bool

    async def succeeded(self, tx: "PlatformTransaction") -> None:
        """Take back what was counted, in the transaction that admits the user."""
        attempts = tx.login_attempts
        if self.address is None:
            await attempts.clear(self.name)
            return
        if self.counted:
            await attempts.give_back(self.address)
        await attempts.clear(self.name)
        await attempts.remember(self.name, self.address, known_for=KNOWN_FOR)


class LoginGuard:
    """Lets as many logins through as may fail.

    A name is locked for all addresses but those that its user has come in from lately: there its own tries
    count, nobody else's. Whoever guesses from elsewhere, or beside, can so not keep the user out.
    """

    def __init__(self, database: "Database", secret: str, limits: LoginLimits) -> None:
        self._database = database
        self._key = hmac.new(secret.encode(), b"login attempts", hashlib.sha256).digest()
        self._by_name = LockRule(limits.tries, limits.window, limits.locks, MEMORY)
        self._by_address = LockRule(limits.address_tries, limits.window, (limits.window,), MEMORY)
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def attempt(self, name: str, ip: str | None) -> AsyncIterator[Attempt]:
        """A try for ``name``, counted as failed until it says otherwise. ``TooManyLogins``: it is none.

        In one process those for one name take turns, and few go on at once: right passwords that come at
        the same time are not taken for failures.
        """
        hashed = self._name(name)
        async with self._turns.setdefault(hashed, asyncio.Lock()), self._slots:
            yield await self._count(hashed, self._address(ip))

    async def forget(self, tx: "PlatformTransaction | Transaction", name: str) -> None:
        """Unlock a name, wherever it is locked."""
        await tx.login_attempts.forget(self._name(name))

    async def _count(self, name: bytes, address: bytes | None) -> Attempt:
        # What is refused is rolled back, so not counted: nobody prolongs a lock by knocking on.
        async with self._database.platform() as tx:
            attempts = tx.login_attempts
            known = address is not None and await attempts.knows(name, address)
            by_address = None if address is None else await attempts.count(ANY, address, self._by_address)
            by_name = await attempts.count(name, ANY, self._by_name)
            if known and address is not None:
                _refuse(await attempts.count(name, address, self._by_name))
            else:
                _refuse(by_address, by_name)
            await attempts.prune()
        return Attempt(name, address, counted=by_address is None)

    def _name(self, name: str) -> bytes:
        return self._hash("name", name)

    def _address(self, ip: str | None) -> bytes | None:
        return None if ip is None else self._hash("address", network_of(ip))

    def _hash(self, kind: str, value: str) -> bytes:
        said = f"{kind} {value}".encode(errors="surrogatepass")
        return hmac.new(self._key, said, hashlib.sha256).digest()


def _refuse(*waits_s: int | None) -> None:
    """Refuse for the longest of the waits, if there is any."""
    wait_s = max((wait for wait in waits_s if wait is not None), default=None)
    if wait_s is None:
        return
    _log.warning("login refused: too many have failed", retry_after_s=wait_s)
    raise TooManyLogins(f"too many logins have failed; try again in {in_words(wait_s)}", retry_after_s=wait_s)


def network_of(ip: str) -> str:
    """What counts as one address: an address of version 4, or the network (/64) of one of version 6."""
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), _NETWORK_BITS), strict=False))


def in_words(seconds: int) -> str:
    """A wait as people say it, never too short: "30 seconds", "1 minute", "5 minutes"."""
    minutes, rest = divmod(seconds, 60)
    number, unit = (minutes + (rest > 0), "minute") if minutes else (rest, "second")
    return f"{number} {unit}{'' if number == 1 else 's'}"
