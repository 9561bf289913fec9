"""What the stand-in remembers: one SQLite file, or memory for tests; one transaction per request.

All of it is used from the server's event loop only, so that requests follow one another.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

_DELIVERY: Final = "seq, account, event, endpoint, pending, attempts, status"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS object (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS object_of_account ON object (account, kind, seq);
CREATE INDEX IF NOT EXISTS object_of_intent ON object (kind, json_extract(body, '$.payment_intent'));
CREATE TABLE IF NOT EXISTS answer (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    at REAL NOT NULL,
    endpoint TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    request TEXT NOT NULL,
    PRIMARY KEY (account, key)
);
CREATE INDEX IF NOT EXISTS answer_at ON answer (at);
CREATE TABLE IF NOT EXISTS task (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    object TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS task_at ON task (at);
CREATE TABLE IF NOT EXISTS delivery (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    event TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    pending INTEGER NOT NULL DEFAULT 1,
    attempts INTEGER NOT NULL DEFAULT 0,
    status INTEGER
);
CREATE INDEX IF NOT EXISTS delivery_pending ON delivery (pending, seq);
CREATE INDEX IF NOT EXISTS delivery_event ON delivery (event);
CREATE TABLE IF NOT EXISTS clock (ahead_s REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to the first request with an idempotency key."""

    endpoint: str
    fingerprint: str
    status: int
    body: str
    request: str


@dataclass(frozen=True, slots=True)
class Task:
    """Something that happens to an object at a moment of the stand-in's clock (seconds)."""

    seq: int
    at: float
    account: str
    name: str
    object_id: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One copy of an event on its way to an endpoint; ``status`` is the last HTTP status, if any."""

    seq: int
    account: str
    event: str
    endpoint: str
    pending: bool
    attempts: int
    status: int | None


class Store:
    """The tables; ``file`` None keeps everything in memory."""

    def __init__(self, file: Path | None = None) -> None:
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(file or ":memory:", isolation_level=None)
        # A commit survives a crash of the process; only the machine's own could lose the last ones.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; must not be left by an ``await``."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def put(self, account: str, body: Json) -> None:
        """Write an object, new or changed; it keeps its place in lists."""
        self._db.execute(
            "INSERT INTO object (id, account, kind, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (body["id"], account, body["object"], json.dumps(body)),
        )

    def get(self, account: str, object_id: str, kind: str | None = None) -> Json | None:
        """An object of the account, None when there is none of this kind."""
        row = self._db.execute(
            "SELECT body, kind FROM object WHERE id = ? AND account = ?", (object_id, account)
        ).fetchone()
        return json.loads(row[0]) if row and kind in {None, row[1]} else None

    def account_of(self, object_id: str) -> str | None:
        """Whose object it is."""
        row = self._db.execute("SELECT account FROM object WHERE id = ?", (object_id,)).fetchone()
        return row[0] if row else None

    def remove(self, account: str, object_id: str) -> None:
        """Forget an object."""
        self._db.execute("DELETE FROM object WHERE id = ? AND account = ?", (object_id, account))

    def place(self, account: str, kind: str, object_id: str) -> int | None:
        """Where an object stands in its list."""
        row = self._db.execute(
            "SELECT seq FROM object WHERE id = ? AND account = ? AND kind = ?", (object_id, account, kind)
        ).fetchone()
        return row[0] if row else None

    def page(
        self,
        account: str,
        kind: str,
        *,
        where: Mapping[str, object] | None = None,
        created: Mapping[str, int] | None = None,
        types: tuple[str, ...] = (),
        older_than: int | None = None,
        newer_than: int | None = None,
        limit: int,
    ) -> list[Json]:
        """Objects by their members (``where``) and time (``created``: operator → seconds), newest first.

        With ``newer_than`` the oldest of those that are newer, else the newest.
        """
        conditions, values = ["account = ?", "kind = ?"], [account, kind]
        bound: list[object] = list(values)
        for member, value in (where or {}).items():
            conditions.append(f"json_extract(body, '$.{member}') = ?")
            bound.append(value)
        for operator, seconds in (created or {}).items():
            conditions.append(f"json_extract(body, '$.created') {operator} ?")
            bound.append(seconds)
        if types:
            conditions.append(f"json_extract(body, '$.type') IN ({', '.join('?' * len(types))})")
            bound += types
        for operator, seq in (("<", older_than), (">", newer_than)):
            if seq is not None:
                conditions.append(f"seq {operator} ?")
                bound.append(seq)
        order = "ASC" if newer_than is not None else "DESC"
        rows = self._db.execute(
            f"SELECT body FROM object WHERE {' AND '.join(conditions)} ORDER BY seq {order} LIMIT ?",  # noqa: S608 - constants
            (*bound, limit),
        ).fetchall()
        found = [json.loads(row[0]) for row in rows]
        return found[::-1] if newer_than is not None else found

    def counts(self) -> dict[str, int]:
        """How many objects there are of each kind, in all accounts."""
        return dict(
            self._db.execute("SELECT kind, count(*) FROM object GROUP BY kind ORDER BY kind").fetchall()
        )

    def answer(self, account: str, key: str, *, since: float) -> Answer | None:
        """What was answered to the key, unless that was before ``since``."""
        row = self._db.execute(
            "SELECT endpoint, fingerprint, status, body, request FROM answer"
            " WHERE account = ? AND key = ? AND at > ?",
            (account, key, since),
        ).fetchone()
        return Answer(*row) if row else None

    def keep_answer(self, account: str, key: str, at: float, answer: Answer) -> None:
        """Remember the answer to a key."""
        self._db.execute(
            "INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                account,
                key,
                at,
                answer.endpoint,
                answer.fingerprint,
                answer.status,
                answer.body,
                answer.request,
            ),
        )

    def forget_answers(self, *, before: float) -> None:
        """Forget the keys of an earlier time."""
        self._db.execute("DELETE FROM answer WHERE at <= ?", (before,))

    def plan(self, at: float, account: str, name: str, object_id: str) -> None:
        """Let something happen to an object later."""
        self._db.execute(
            "INSERT INTO task (at, account, name, object) VALUES (?, ?, ?, ?)", (at, account, name, object_id)
        )

    def next_task(self) -> Task | None:
        """The task that is due first."""
        row = self._db.execute(
            "SELECT seq, at, account, name, object FROM task ORDER BY at, seq LIMIT 1"
        ).fetchone()
        return Task(*row) if row else None

    def drop_task(self, seq: int) -> None:
        """Strike a task out."""
        self._db.execute("DELETE FROM task WHERE seq = ?", (seq,))

    def add_delivery(self, account: str, event: str, endpoint: str) -> None:
        """Put a copy of an event on its way."""
        self._db.execute(
            "INSERT INTO delivery (account, event, endpoint) VALUES (?, ?, ?)", (account, event, endpoint)
        )

    def deliveries(self, *, event: str | None = None) -> list[Delivery]:
        """The deliveries of an event, or all, in the order in which their events happened."""
        return self._deliveries("? IS NULL OR event = ?", event, event)

    def pending_deliveries(self, *, after: int = 0) -> list[Delivery]:
        """What is still to be delivered, with a larger ``seq`` than ``after``."""
        return self._deliveries("pending = 1 AND seq > ?", after)

    def _deliveries(self, condition: str, *values: object) -> list[Delivery]:
        rows = self._db.execute(
            f"SELECT {_DELIVERY} FROM delivery WHERE {condition} ORDER BY seq",  # noqa: S608 - constants
            values,
        ).fetchall()
        return [Delivery(row[0], row[1], row[2], row[3], bool(row[4]), row[5], row[6]) for row in rows]

    def record_attempt(self, seq: int, status: int | None, *, pending: bool) -> None:
        """Write down how an attempt to deliver went."""
        self._db.execute(
            "UPDATE delivery SET attempts = attempts + 1, status = ?, pending = ? WHERE seq = ?",
            (status, pending, seq),
        )

    def drop_deliveries(self, endpoint: str) -> None:
        """Give up what is on its way to an endpoint."""
        self._db.execute("UPDATE delivery SET pending = 0 WHERE endpoint = ?", (endpoint,))

    @property
    def ahead_s(self) -> float:
        """By how many seconds the stand-in's clock was put forward."""
        row = self._db.execute("SELECT ahead_s FROM clock").fetchone()
        return float(row[0]) if row else 0.0

    @ahead_s.setter
    def ahead_s(self, seconds: float) -> None:
        self._db.execute("DELETE FROM clock")
        self._db.execute("INSERT INTO clock VALUES (?)", (seconds,))
