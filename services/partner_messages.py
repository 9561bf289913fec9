"""Messages of partners: each judged alone, acknowledged when it is on record, the same again a duplicate."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from pydantic import Field

from domain.partner_messages import judge_account, judge_payment, refused_line
from domain.statement_profiles import profile_of
from services.access import Principal, Right, require
from services.commands import CommandKey, carry_out
from services.fields import View

if TYPE_CHECKING:
    from db.commands import Answer
    from db.session import Database, Transaction

MOST_MESSAGES = 1000
"""How many messages one request may bring."""


class MessageOutcome(View):
    """What became of one message, by its place in what was sent (from 0)."""

    index: int
    outcome: Literal["accepted", "duplicate", "refused"]
    field: str | None = Field(None, description="which field is at fault, if one is")
    error: str | None = Field(None, description="why it was refused")


class MessagesTaken(View):
    """What became of each message that was sent."""

    accepted: int
    duplicates: int
    refused: int
    results: tuple[MessageOutcome, ...]


class PartnerMessageService:
    """Takes in what partners say."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    async def take(
        self, principal: Principal, command: CommandKey, partner_id: UUID, items: Sequence[Any]
    ) -> "Answer":
        """Put every message on record (200), and say what is wrong with those that cannot be read.

        They say what the partner's statements say: balance and status of accounts, or payments. What this has
        answered is on record: the next run is given it, and what was refused among its problems.
        ``NotFound``.
        """
        require(principal, Right.RUN_RECONCILIATIONS)
        now = datetime.now(UTC)

        async def effect(tx: "Transaction") -> MessagesTaken:
            partner = await tx.partners.get(partner_id)
            profile = profile_of(partner.kind, partner.statement_profile)
            judge = judge_payment if profile.kind == "payments" else judge_account
            judged = [judge(item, now, profile) for item in items]
            lines = [one.line for one in judged if one.line is not None]
            refused = [
                refused_line(item, one) for item, one in zip(items, judged, strict=True) if one.line is None
            ]
            appended = iter(await tx.stated_messages.append(partner_id, lines, refused))
            return _taken(
                [
                    MessageOutcome(index=index, outcome="refused", field=one.field, error=one.error)
                    if one.line is None
                    else MessageOutcome(index=index, outcome=next(appended))
                    for index, one in enumerate(judged)
                ]
            )

        return await carry_out(self._database, principal.tenant, command, effect)


def _taken(results: Sequence[MessageOutcome]) -> MessagesTaken:
    def count(outcome: str) -> int:
        return sum(result.outcome == outcome for result in results)

    return MessagesTaken(
        accepted=count("accepted"),
        duplicates=count("duplicate"),
        refused=count("refused"),
        results=tuple(results),
    )
