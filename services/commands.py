"""Carry out a command once: its effect, its audit record and its answer are one transaction."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import BaseModel

from db.commands import Answer, body_hash

if TYPE_CHECKING:
    from db.session import Database, Transaction
    from domain.errors import DomainError
    from domain.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class CommandKey:
    """What makes two requests the same command.

    ``operation`` names it ("POST /creditors"), ``key`` is the caller's idempotency key (None: never a
    repetition), ``body`` is everything the caller sent, path parameters included and secrets concealed.
    """

    operation: str
    key: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)


class Made(BaseModel):
    """What is kept with a command whose answer is looked up when it is sent again: what it has made."""

    id: UUID


@dataclass(frozen=True, slots=True)
class Refused:
    """What an effect returns that refuses the command, when what it wrote is to stay."""

    error: "DomainError"


async def answered(
    database: "Database",
    tenant: "Tenant",
    command: CommandKey,
    *,
    first: "Callable[[Transaction], Awaitable[object]] | None" = None,
) -> Answer | None:
    """The answer that a command's key has already, for whoever asks others before ``carry_out``, outside of
    any transaction. ``KeyReused`` and ``first`` as there.
    """
    async with database.transaction(tenant) as tx:
        if first is not None:
            await first(tx)
        if command.key is None:
            return None
        digest = body_hash(command.body, tenant.actor)
        return await tx.commands.known(command.operation, command.key, digest)


async def carry_out(
    database: "Database",
    tenant: "Tenant",
    command: CommandKey,
    effect: "Callable[[Transaction], Awaitable[BaseModel | Refused | None]]",
    *,
    first: "Callable[[Transaction], Awaitable[object]] | None" = None,
    status: int = 200,
) -> Answer:
    """Run ``effect`` in one transaction of ``tenant`` and return its result as an answer.

    A key that the same user sent with the same body returns the first answer and runs nothing; another
    body, or another user, is ``KeyReused``. An effect that raises, or that is ``Refused``, leaves the key
    unused; the error of the latter is raised once the transaction is committed.

    ``first`` raises for who may not even see what the command is about: neither the answer that a key has,
    nor that there is one, is for them.
    """
    async with database.transaction(tenant) as tx:
        if first is not None:
            await first(tx)
        if command.key is not None:
            known = await tx.commands.claim(command.operation, command.key, command.body)
            if known is not None:
                return known
        result = await effect(tx)
        if not isinstance(result, Refused):
            answer = Answer(status, None if result is None else result.model_dump(mode="json"))
            if command.key is not None:
                await tx.commands.answer(command.operation, command.key, answer)
            return answer
        if command.key is not None:
            await tx.commands.release(command.operation, command.key)
    raise result.error
