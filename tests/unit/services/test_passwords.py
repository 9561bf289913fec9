"""Passwords cost the same to check whether the user exists or not, and never the event loop."""

import asyncio
import threading

from argon2 import PasswordHasher, Type, extract_parameters

from services.passwords import Passwords


class CountingHasher(PasswordHasher):
    """A cheap hasher that remembers what it verified, and in which thread."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str | bytes] = []
        self.threads: set[int] = set()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override] # noqa: A002
        self.verified.append(hash)
        self.threads.add(threading.get_ident())
        return super().verify(hash, password)


async def test_a_password_matches_itself() -> None:
    passwords = Passwords(CountingHasher())
    stored = await passwords.hash("correct horse")
    assert await passwords.matches(stored, "correct horse")
    assert not await passwords.matches(stored, "correct house")
    assert not await passwords.matches("not a hash", "correct horse")
    assert await passwords.hash("correct horse") != stored


async def test_nobody_s_password_is_checked_too() -> None:
    hasher = CountingHasher()
    passwords = Passwords(hasher)
    assert not await passwords.matches(None, "anything")
    [decoy] = hasher.verified
    assert extract_parameters(str(decoy)) == extract_parameters(await passwords.hash("anything"))


async def test_hashing_leaves_the_event_loop_free() -> None:
    hasher = CountingHasher()
    passwords = Passwords(hasher)
    stored = await passwords.hash("x")
    await asyncio.gather(*(passwords.matches(stored, "x") for _ in range(5)))
    assert threading.get_ident() not in hasher.threads


async def test_the_parameters_are_argon2id_of_rfc_9106() -> None:
    passwords = Passwords()
    parameters = extract_parameters(await passwords.hash("x"))
    assert parameters.type is Type.ID
    assert (parameters.time_cost, parameters.memory_cost, parameters.parallelism) == (3, 65_536, 4)
    weak = await Passwords(CountingHasher()).hash("x")
    assert passwords.outdated(weak)
    assert not passwords.outdated(await passwords.hash("x"))
