"""The log of what the law said: append-only, numbered without gaps, each entry chained to the one before."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, text, update

from db.keyset import Position, newest_first
from db.models import ComplianceChain, ComplianceDecision
from db.store import Store

GENESIS = bytes(32)
"""Stands before the first entry of every agency's chain."""

_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Link:
    """An entry of the log as its successor sees it."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class NewDecision:
    """A decision to be logged.

    ``rule_set`` is ``name@version``; ``rule_set_id`` is where its definition is kept. ``inputs`` and
    ``answer`` are JSON without floats and without anything that names a person.
    """

    id: UUID
    account_id: UUID
    rule_set_id: UUID
    rule_set: str
    inputs: Mapping[str, Any]
    answer: Mapping[str, Any]
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class DoubtfulContact:
    """A contact whose decision is to be looked at: one of ``ComplianceLog.doubtful_contacts``.

    ``number``, ``allowed``, ``inputs`` and ``rule_set_id`` are the decision's, all None where the log has
    none. ``differing`` names what the decision was made about otherwise. ``consented``, of the contact, is
    not compared: it is derived from the inputs.
    """

    contact_id: UUID
    decision_id: UUID
    number: int | None
    allowed: bool | None
    rule_set_id: UUID | None
    inputs: Any
    differing: Sequence[str]
    consented: bool


def entry_hash(
    previous: bytes, *, agency_id: UUID, number: int, allowed: bool, decision: NewDecision
) -> bytes:
    """SHA-256 over the hash before and the canonical JSON (sorted keys, no spaces, UTF-8) of an entry."""
    row = {
        "id": str(decision.id),
        "agency_id": str(agency_id),
        "number": number,
        "account_id": str(decision.account_id),
        "rule_set": decision.rule_set,
        "inputs": decision.inputs,
        "allowed": allowed,
        "answer": decision.answer,
        "decided_at": decision.decided_at.astimezone(UTC).isoformat(),
    }
    canonical = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(previous + canonical.encode()).digest()


class ComplianceLog(Store):
    """Decisions of one agency."""

    async def append(self, decision: NewDecision) -> Link:
        """Log a decision as the next entry of the agency's chain.

        Locks the end of the chain until the transaction ends, for the whole agency: to be called last.
        """
        before = await self._locked_head()
        number, allowed = before.number + 1, bool(decision.answer["allowed"])
        digest = entry_hash(
            before.hash, agency_id=self._agency_id, number=number, allowed=allowed, decision=decision
        )
        await self._session.execute(
            insert(ComplianceDecision)
            .inline()
            .values(
                id=decision.id,
                agency_id=self._agency_id,
                number=number,
                account_id=decision.account_id,
                rule_set_id=decision.rule_set_id,
                inputs=dict(decision.inputs),
                allowed=allowed,
                answer=dict(decision.answer),
                decided_at=decision.decided_at,
                previous_hash=before.hash,
                hash=digest,
            )
        )
        await self._session.execute(
            update(ComplianceChain)
            .where(ComplianceChain.agency_id == self._agency_id)
            .values(number=number, hash=digest)
        )
        return Link(number, digest)

    async def _locked_head(self) -> Link:
        query = _HEAD.where(ComplianceChain.agency_id == self._agency_id).with_for_update(key_share=True)
        row = (await self._session.execute(query)).one_or_none()
        if row is None:
            await self._session.execute(_BEGIN, {"agency": self._agency_id, "genesis": GENESIS})
            row = (await self._session.execute(query)).one()
        return Link(row.number, bytes(row.hash))

    async def head(self) -> Link | None:
        """The end of the agency's chain as it is now; None before the first decision."""
        query = _HEAD.where(ComplianceChain.agency_id == self._agency_id)
        row = (await self._session.execute(query)).one_or_none()
        return None if row is None else Link(row.number, bytes(row.hash))

    async def page(
        self, account_id: UUID, position: Position | None, limit: int
    ) -> Sequence[ComplianceDecision]:
        """At most ``limit`` decisions about an account next to ``(number,)``, nearest first; newest first."""
        decisions = select(ComplianceDecision).where(
            ComplianceDecision.agency_id == self._agency_id, ComplianceDecision.account_id == account_id
        )
        query = newest_first(decisions, (ComplianceDecision.number,), position, limit)
        return (await self._session.scalars(query)).all()

    async def count(self) -> int:
        """How many decisions the agency's log has."""
        query = (
            select(func.count())
            .select_from(ComplianceDecision)
            .where(ComplianceDecision.agency_id == self._agency_id)
        )
        return await self._session.scalar(query) or 0

    async def every(self) -> AsyncIterator[ComplianceDecision]:
        """The agency's whole log by number, some at a time; a row that nobody keeps is forgotten."""
        query = (
            select(ComplianceDecision)
            .where(ComplianceDecision.agency_id == self._agency_id)
            .order_by(ComplianceDecision.number)
            .execution_options(yield_per=_AT_ONCE)
        )
        async for row in await self._session.stream_scalars(query):
            yield row

    async def doubtful_contacts(self) -> AsyncIterator[DoubtfulContact]:
        """Contacts of the agency that were not allowed as they are, or that consent is said to have lifted.

        Their decision is not in the log, was a refusal, or was made about something else; or the contact
        counts as consented to, or was decided as one that may.
        """
        rows = await self._session.stream(
            _DOUBTFUL, {"agency": self._agency_id}, execution_options={"yield_per": _AT_ONCE}
        )
        async for row in rows.mappings():
            yield DoubtfulContact(**row)


_HEAD = select(ComplianceChain.number, ComplianceChain.hash)

_BEGIN = text("""
    INSERT INTO compliance_chain (agency_id, number, hash) VALUES (:agency, 0, :genesis)
    ON CONFLICT DO NOTHING
""")

_COMPARED = ", ".join(
    f"CASE WHEN to_jsonb(c.{name}) IS DISTINCT FROM d.inputs->'{name}' THEN '{name}' END"
    for name in ("channel", "direction", "purpose", "recipient", "place", "connected")
)

_DOUBTFUL = text(f"""
    SELECT c.id AS contact_id, c.decision_id, d.number, d.allowed, d.rule_set_id, d.inputs, o.differing,
           c.consented
      FROM contact c
      LEFT JOIN compliance_decision d ON d.agency_id = c.agency_id AND d.id = c.decision_id
      CROSS JOIN LATERAL (SELECT array_remove(ARRAY[
               CASE WHEN c.account_id <> d.account_id THEN 'account' END,
               {_COMPARED},
               CASE WHEN NOT pg_input_is_valid(COALESCE(d.inputs->>'at', ''), 'timestamptz')
                    THEN 'at' WHEN c.at <> CAST(d.inputs->>'at' AS timestamptz) THEN 'at' END
           ], NULL) AS differing) o
     WHERE c.agency_id = :agency
       AND (d.allowed IS NOT TRUE OR cardinality(o.differing) > 0
            OR c.consented OR c.purpose = 'consented')
     ORDER BY c.id
""")
