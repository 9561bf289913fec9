"""What happens to one request, apart from HTTP: its key, its work in one transaction, what is due before."""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from sandbox.stripe import operations, tasks
from sandbox.stripe.events import account_of
from sandbox.stripe.expansion import expanded
from sandbox.stripe.forms import Form, flat, nested
from sandbox.stripe.refusals import Refusal
from sandbox.stripe.store import Answer, Store, Task
from sandbox.stripe.world import Behaviour, Request, World, new_id

KEYS_FOR_S: Final = 24 * 3600
LONGEST_KEY: Final = 255
_SECRET_KEY: Final = re.compile(r"sk_test_[A-Za-z0-9_]{8,200}")
_CONFLICT: Final = "Another request with this idempotency key is under way; try again when it is done"


@dataclass(frozen=True)
class Asked:
    """One request: who asks for what."""

    account: str
    method: str
    path: str
    pairs: tuple[tuple[str, str], ...]
    key: str | None
    id: str

    @property
    def endpoint(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"

    @property
    def fingerprint(self) -> str:
        """Of the parameters, whatever their order."""
        return hashlib.sha256(json.dumps(list(flat(nested(self.pairs)))).encode()).hexdigest()


@dataclass(frozen=True)
class Said:
    """One answer; ``original`` is the id of the request whose stored answer this is."""

    status: int
    body: str
    original: str | None = None


class Engine:
    """The stand-in without HTTP.

    Args:
        store: where everything is kept.
        behaviour: what the sandbox decides in place of banks and card holders.
        base_url: where the stand-in is reached; in the links it gives.
        clock: seconds since 1970; the clock can be put forward on top of that.
    """

    def __init__(
        self, store: Store, behaviour: Behaviour, *, base_url: str, clock: Callable[[], float]
    ) -> None:
        self.store = store
        self.behaviour = behaviour
        self.base_url = base_url
        self._clock = clock
        self._under_way: set[tuple[str, str]] = set()

    @property
    def now(self) -> float:
        """The stand-in's time in seconds since 1970."""
        return self._clock() + self.store.ahead_s

    @property
    def under_way(self) -> int:
        """How many requests with a key are being worked on."""
        return len(self._under_way)

    def advance(self, seconds: float) -> None:
        """Put the clock forward and do what became due."""
        self.store.ahead_s += seconds
        self.catch_up()

    def world(self, account: str, *, at: float | None = None, request: Request | None = None) -> World:
        """An account's world now, or as it is at a moment."""
        now = self.now if at is None else at
        return World(self.store, account, now, self.behaviour, self.base_url, request or Request())

    def catch_up(self) -> None:
        """Do what is due, in order, each at its own moment."""
        while (task := self.store.next_task()) and task.at <= self.now:
            self._carry_out(task, task.at)

    def begin(self, asked: Asked) -> Said | None:
        """The stored answer for the request's key; None when the work is to be done, the key being taken.

        Raises ``Refusal`` for a key that is used for something else or under way.
        """
        if asked.key is None:
            return None
        taken = (asked.account, asked.key)
        if taken in self._under_way:
            raise Refusal(_CONFLICT, kind="idempotency_error", code="idempotency_key_in_use", status=409)
        if len(asked.key) > LONGEST_KEY:
            raise Refusal(f"An idempotency key has at most {LONGEST_KEY} characters")
        stored = self.store.answer(asked.account, asked.key, since=self.now - KEYS_FOR_S)
        if stored is None:
            self._under_way.add(taken)
            return None
        if stored.endpoint != asked.endpoint:
            raise Refusal(
                f"This idempotency key was first used for {stored.endpoint}: use another key",
                kind="idempotency_error",
            )
        if stored.fingerprint != asked.fingerprint:
            raise Refusal(
                "This idempotency key was first used with other parameters: use another key",
                kind="idempotency_error",
            )
        return Said(stored.status, stored.body, stored.request)

    def end(self, asked: Asked) -> None:
        """The request is over: its key is free for the next one."""
        if asked.key is not None:
            self._under_way.discard((asked.account, asked.key))

    def work(self, asked: Asked) -> Said:
        """Do the request's work in one transaction, together with the answer that its key keeps."""
        self.catch_up()
        try:
            with self.store.transaction():
                try:
                    said = Said(200, self._done(asked))
                except Refusal as refusal:
                    if not refusal.executed:
                        raise
                    said = Said(refusal.status, _text(refusal.body))
                self.keep(asked, said)
        except Refusal as refusal:
            # Nothing was begun: nothing is kept, not for the key either.
            return Said(refusal.status, _text(refusal.body))
        return said

    def keep(self, asked: Asked, said: Said) -> None:
        """Let the request's key, if it has one, keep this answer."""
        if asked.key is not None:
            self.store.forget_answers(before=self.now - KEYS_FOR_S)
            answer = Answer(asked.endpoint, asked.fingerprint, said.status, said.body, asked.id)
            self.store.keep_answer(asked.account, asked.key, self.now, answer)

    def _done(self, asked: Asked) -> str:
        known = operations.found(asked.method, asked.path)
        if known is None:
            raise Refusal(f"Unrecognized request URL ({asked.method}: {asked.path})", status=404)
        work, parts = known
        values = nested(asked.pairs)
        paths = Form({"expand": values.pop("expand", None)}).strings("expand")
        world = self.world(asked.account, request=Request(asked.id, asked.key))
        return _text(expanded(world, work(world, Form(values), **parts), paths))

    def _carry_out(self, task: Task, at: float) -> None:
        with self.store.transaction():
            tasks.carry_out(self.world(task.account, at=at), task)


def asked(
    method: str, path: str, pairs: Iterable[tuple[str, str]], *, secret_key: str | None, key: str | None
) -> Asked:
    """A request of whoever has the secret key. Raises ``Refusal`` (401) without one that can be used here."""
    return Asked(
        _account(secret_key), method, path, tuple(pairs), key if method == "POST" else None, new_id("req")
    )


def _account(secret_key: str | None) -> str:
    if not secret_key:
        raise Refusal("You did not provide an API key: send it as a bearer token", status=401)
    if not _SECRET_KEY.fullmatch(secret_key):
        raise Refusal(
            "Invalid API key provided: this stand-in takes keys that begin with sk_test_, never real ones",
            status=401,
        )
    if secret_key.startswith("sk_test_expired"):
        raise Refusal("The API key has expired", code="api_key_expired", status=401)
    return account_of(secret_key)


def _text(body: object) -> str:
    return json.dumps(body)


def system_clock() -> float:
    """The machine's time."""
    return time.time()
