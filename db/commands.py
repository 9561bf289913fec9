"""Commands that were carried out, so that a repeated key gets the first answer."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import text

from db.store import Store
from domain.errors import KeyReused
from domain.tenancy import USER, Actor


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answered: an HTTP status and a JSON body."""

    status: int
    body: Any


def body_hash(body: Mapping[str, Any] | None, actor: Actor) -> bytes:
    """SHA-256 over the canonical JSON of what was sent, and of the user who sent it.

    Whoever is no user (an operator at the command line, a process) is not part of it: what they send has
    operations of its own, and is the same command whoever repeats it.
    """
    sent = {"user": actor.id or actor.name, "sent": body} if actor.kind == USER else body
    return hashlib.sha256(
        json.dumps(sent, sort_keys=True, separators=(",", ":"), default=str).encode()
    ).digest()


class CommandStore(Store):
    """Idempotency keys of one agency; they never expire."""

    async def claim(self, operation: str, key: str, body: Mapping[str, Any] | None) -> Answer | None:
        """Claim ``key`` for this transaction, or return the answer that it already has.

        A second caller with the same key waits until the first commits or rolls back. The same key
        with another body, or from another user, raises ``KeyReused``. The claim holds until ``answer``
        fills it in; both are one transaction with the effect.
        """
        return await self.claim_digest(operation, key, body_hash(body, self._tenant.actor))

    async def known(self, operation: str, key: str, digest: bytes) -> Answer | None:
        """The answer that a key has, if it has one. ``KeyReused`` as ``claim``."""
        row = (
            await self._session.execute(
                _READ, {"agency": self._agency_id, "operation": operation, "key": key}
            )
        ).one_or_none()
        return None if row is None else _same(row, key, digest)

    async def claim_digest(self, operation: str, key: str, digest: bytes) -> Answer | None:
        """``claim`` for a body that is known by its hash (``body_hash``) only."""
        values = {"agency": self._agency_id, "operation": operation, "key": key, "hash": digest}
        if await self._fetch_value(_CLAIM, values) is not None:
            return None
        known = (
            await self._session.execute(
                _READ, {"agency": self._agency_id, "operation": operation, "key": key}
            )
        ).one()
        return _same(known, key, digest)

    async def keep(self, operation: str, key: str, status: int, body: Any) -> None:
        """``answer`` for those who must not import ``db``."""
        await self.answer(operation, key, Answer(status, body))

    async def answer(self, operation: str, key: str, answer: Answer) -> None:
        """Store the answer of a command that was claimed in this transaction."""
        await self._send(
            _ANSWER,
            {
                "agency": self._agency_id,
                "operation": operation,
                "key": key,
                "status": answer.status,
                "response": Jsonb(answer.body),
            },
        )

    async def release(self, operation: str, key: str) -> None:
        """Give back a key that was claimed in this transaction: it stays unused."""
        await self._session.execute(_RELEASE, {"agency": self._agency_id, "operation": operation, "key": key})


def _same(known: Any, key: str, digest: bytes) -> Answer:
    if bytes(known.body_hash) != digest:
        raise KeyReused(
            f"the idempotency key {key!r} was used for something else (another body or another"
            " address, such as another account's) or by somebody else; send a new key",
            field="Idempotency-Key",
        )
    return Answer(known.status, known.response)


_CLAIM = b"""
    INSERT INTO command (agency_id, operation, key, body_hash, status, response)
    VALUES (%(agency)s, %(operation)s, %(key)s, %(hash)s, 0, 'null')
    ON CONFLICT DO NOTHING RETURNING key
"""
_READ = text("""
    SELECT body_hash, status, response FROM command
     WHERE agency_id = :agency AND operation = :operation AND key = :key
""")
_ANSWER = b"""
    UPDATE command SET status = %(status)s, response = %(response)s
     WHERE agency_id = %(agency)s AND operation = %(operation)s AND key = %(key)s
"""
_RELEASE = text("""
    DELETE FROM command WHERE agency_id = :agency AND operation = :operation AND key = :key
""")
