"""Migrations wait for locks in small portions, and say for whose."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psycopg
import structlog
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from domain.errors import Unavailable

_log = structlog.stdlib.get_logger("migrations")


@dataclass(frozen=True, slots=True)
class Patience:
    """How a migration waits for a lock: whoever comes after it waits behind it, so not for long at once.

    ``lock_timeout_ms`` for each lock, in ``tries`` of the whole revision; between them a random pause, the
    longer the later, of at most ``longest_pause_s``, in which those who waited behind it are served.
    """

    lock_timeout_ms: int = 5_000
    tries: int = 10
    longest_pause_s: float = 30


PATIENCE = Patience()

_LOOKS_UNTIL_TOLD = 30
"""After so many looks at the same wait, and so many more, it is told of: half a minute by default."""


def met_a_lock(error: BaseException) -> bool:
    """Whether a statement gave up its wait for a lock, or was one of two that waited for each other."""
    return isinstance(error, OperationalError) and isinstance(
        error.orig, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected
    )


def give_way(connection: Connection, patience: Patience) -> None:
    """Let no statement of ``connection`` wait for a lock for long, but those that keep nobody waiting.

    What is built ``CONCURRENTLY`` waits for every transaction that was there before; broken off, it would
    leave half an index behind and begin anew.
    """

    def before_statement(_connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        timeout_ms = 0 if " CONCURRENTLY " in statement else patience.lock_timeout_ms
        cursor.execute(f"SET lock_timeout = {timeout_ms}")

    event.listen(connection, "before_cursor_execute", before_statement)


class LockWatch:
    """Looks whom the session ``pid`` of a database waits for, on a connection of its own, while a block runs.

    Afterwards nobody could say: a session that has given up waits for nobody.
    """

    def __init__(self, url: str, pid: int, every_s: float) -> None:
        self._link = psycopg.connect(url, autocommit=True, application_name="recoup-migrate")
        self._pid = pid
        self._every_s = every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lock-watch", daemon=True)
        self._seen: str | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._link.close()

    def last_seen(self) -> str:
        """Who was waited for the last time that anybody was, in words; without what they had asked.

        Whoever was not seen in time is among those who hold locks now, if they still do.
        """
        return self._seen or self._ask(_HOLDERS) or "somebody who was gone before they could be named"

    def _watch(self) -> None:
        looks = 0
        while not self._done.wait(self._every_s):
            held_by = self._ask(_BLOCKERS)
            self._seen, looks = held_by or self._seen, looks + 1 if held_by else 0
            if looks and looks % _LOOKS_UNTIL_TOLD == 0:
                _log.warning("migration still waits for a lock", held_by=held_by)

    def _ask(self, query: bytes) -> str | None:
        try:
            found = self._link.execute(query, {"pid": self._pid}).fetchone()
        except psycopg.Error as error:
            _log.warning("cannot see whom the migration waits for", error=type(error).__name__)
            self._done.set()
            return None
        return found[0] if found else None


def patiently(
    work: Callable[[], None], watch: LockWatch, patience: Patience, *, give_up: Callable[[str], str]
) -> None:
    """Do ``work``, again when it met a lock, in which case it must have left nothing behind.

    ``Unavailable`` in the words that ``give_up`` makes of whom it waited for, after the last try.
    """

    def tell(state: RetryCallState) -> None:
        pause = state.next_action.sleep if state.next_action else 0.0
        _log.warning(
            "migration waits for a lock",
            held_by=watch.last_seen(),
            tried=state.attempt_number,
            of=patience.tries,
            again_in_s=round(pause, 1),
        )

    try:
        for attempt in Retrying(
            retry=retry_if_exception(met_a_lock),
            stop=stop_after_attempt(patience.tries),
            wait=wait_random_exponential(multiplier=1, max=patience.longest_pause_s),
            before_sleep=tell,
            reraise=True,
        ):
            with attempt:
                work()
    except OperationalError as error:
        if not met_a_lock(error):
            raise
        held_by = watch.last_seen()
        raise Unavailable(give_up(held_by), held_by=held_by, tries=patience.tries) from None


# What they had asked may name people, and is not looked at. The state of others is shown to members of
# pg_read_all_stats only.
_WHO = """
    SELECT string_agg(
               format('process %%s (%%s as %%s%%s%%s) holding %%s', b.pid,
                      COALESCE(NULLIF(b.application_name, ''), b.backend_type, 'unnamed'), b.usename,
                      ', ' || b.state, to_char(b.xact_start AT TIME ZONE 'UTC', '", since "HH24:MI:SS" UTC"'),
                      {held}), '; ' ORDER BY b.pid)
"""

_BLOCKERS = (
    _WHO.format(
        held="""
            COALESCE((SELECT string_agg(DISTINCT h.relation::regclass::text, ', ')
                        FROM pg_locks h JOIN pg_locks w USING (database, relation)
                       WHERE w.pid = %(pid)s AND NOT w.granted AND h.pid = b.pid AND h.granted), 'a lock')"""
    )
    + " FROM unnest(pg_blocking_pids(%(pid)s)) blocker JOIN pg_stat_activity b ON b.pid = blocker"
).encode()

_HOLDERS = (
    _WHO.format(held="(SELECT string_agg(tables.held, ', ') FROM unnest(b.tables) tables (held))")
    + """
      FROM (SELECT a.*, ARRAY(SELECT DISTINCT l.relation::regclass::text
                                FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                               WHERE l.pid = a.pid AND l.granted AND c.relkind IN ('r', 'p')
                                 AND c.relnamespace = 'public'::regnamespace) AS tables
              FROM pg_stat_activity a
             WHERE a.datname = current_database() AND a.pid NOT IN (%(pid)s, pg_backend_pid())) b
     WHERE b.tables <> '{}'
"""
).encode()
