"""Passwords: argon2id, off the event loop, in the same time whether the user exists or not."""

import asyncio
import os
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_AT_ONCE = max(2, os.cpu_count() or 2)


class Passwords:
    """Hashes and checks passwords. Parameters: RFC 9106, section 4, second recommended option.

    One hash takes about 50 ms of processor time and 64 MiB, so only a few are made at once.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._decoy = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """The hash to store for ``password``."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether ``password`` is the one behind ``stored``; None (no such user) costs the same time."""
        async with self._slots:
            good = await asyncio.to_thread(self._verify, stored or self._decoy, password)
        return good and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether ``stored`` was made with other parameters than hashes are made with now."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
