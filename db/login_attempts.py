"""Failed logins by name, by address, and by both. Exempt from row-level security: nobody is known yet.

A try is counted before its password is looked at, so that of many at once no more are looked at than may be;
whoever then comes in takes it back. Rows are written in one order (address, name, both), so that no two
logins wait for each other, and those that say nothing any more are removed on the way.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

ANY = b""
"""In place of a name: all names from an address; in place of an address: a name from anywhere."""

_PRUNED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class LockRule:
    """``tries`` failures within ``window`` lock for the first of ``locks``, the next time for the second …

    The last of ``locks`` is the longest there is. Without a failure for ``memory`` it begins afresh.
    """

    tries: int
    window: timedelta
    locks: tuple[timedelta, ...]
    memory: timedelta

    def lock_after(self, locks: int) -> timedelta:
        """How long the next lock lasts, after so many."""
        return self.locks[min(locks, len(self.locks) - 1)]


class LoginAttemptStore:
    """What is known of logins; names and addresses are keyed hashes."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def count(self, name: bytes, address: bytes, rule: LockRule) -> int | None:
        """Count a try as a failure, which may lock; or, uncounted, for how many seconds it is locked yet."""
        key = {"name": name, "address": address}
        times = {"window": rule.window, "memory": rule.memory}
        counted = (await self._session.execute(_COUNT, {**key, **times})).one_or_none()
        if counted is None:
            return max(1, await self._session.scalar(_REMAINING, key) or 1)
        if counted.failures >= rule.tries:
            lock = {"lock": rule.lock_after(counted.locks), "memory": rule.memory}
            await self._session.execute(_LOCK, {**key, **lock})
        return None

    async def knows(self, name: bytes, address: bytes) -> bool:
        """Whether somebody has come in by this name from this address lately."""
        return bool(await self._session.scalar(_KNOWN, {"name": name, "address": address}))

    async def give_back(self, address: bytes) -> None:
        """Take back a counted try of an address, and the lock if it was the one too many."""
        await self._session.execute(_GIVE_BACK, {"address": address})

    async def clear(self, name: bytes) -> None:
        """A name's failures, from wherever it is not known, are forgotten."""
        await self._session.execute(_CLEAR, {"name": name})

    async def remember(self, name: bytes, address: bytes, *, known_for: timedelta) -> None:
        """Somebody came in by this name from this address: no failure of theirs counts any more."""
        await self._session.execute(_REMEMBER, {"name": name, "address": address, "known_for": known_for})

    async def forget(self, name: bytes) -> None:
        """Forget all of a name: what has failed, its locks, and from where it is known."""
        await self._session.execute(_FORGET, {"name": name})

    async def prune(self) -> None:
        """Remove some of what says nothing any more; the last thing that a transaction does here."""
        await self._session.execute(_PRUNE, {"limit": _PRUNED_AT_ONCE})


_COUNT = text("""
    INSERT INTO login_attempt AS known (name, address, failures, expires_at)
    VALUES (:name, :address, 1, now() + :memory)
    ON CONFLICT (name, address) DO UPDATE SET
        failures = CASE WHEN known.locked_until IS NOT NULL OR known.counted_from <= now() - :window
                        THEN 1 ELSE known.failures + 1 END,
        counted_from = CASE WHEN known.locked_until IS NOT NULL OR known.counted_from <= now() - :window
                            THEN now() ELSE known.counted_from END,
        locks = CASE WHEN greatest(known.counted_from, known.locked_until) <= now() - :memory
                     THEN 0 ELSE known.locks END,
        locked_until = NULL,
        expires_at = greatest(known.expires_at, now() + :memory)
     WHERE known.locked_until IS NULL OR known.locked_until <= now()
    RETURNING failures, locks
""")

_LOCK = text("""
    UPDATE login_attempt
       SET locks = locks + 1, locked_until = now() + :lock,
           expires_at = greatest(expires_at, now() + :lock + :memory)
     WHERE name = :name AND address = :address
""")

_REMAINING = text("""
    SELECT ceil(extract(epoch FROM locked_until - clock_timestamp()))::int FROM login_attempt
     WHERE name = :name AND address = :address
""")

_KNOWN = text("""
    SELECT EXISTS (SELECT FROM login_attempt
                    WHERE name = :name AND address = :address AND expires_at > now())
""")

_GIVE_BACK = text("""
    UPDATE login_attempt
       SET failures = failures - 1, locks = locks - (locked_until IS NOT NULL)::int, locked_until = NULL
     WHERE name = '' AND address = :address AND failures > 0
""")

_CLEAR = text("DELETE FROM login_attempt WHERE name = :name AND address = ''")

_REMEMBER = text("""
    INSERT INTO login_attempt (name, address, expires_at) VALUES (:name, :address, now() + :known_for)
    ON CONFLICT (name, address) DO UPDATE SET
        failures = 0, locks = 0, counted_from = now(), locked_until = NULL, expires_at = excluded.expires_at
""")

_FORGET = text("""
    WITH held AS (
        SELECT name, address FROM login_attempt WHERE name = :name ORDER BY address FOR UPDATE)
    DELETE FROM login_attempt USING held
     WHERE login_attempt.name = held.name AND login_attempt.address = held.address
""")

_PRUNE = text("""
    DELETE FROM login_attempt WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM login_attempt WHERE expires_at <= now()
         ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED))
""")
