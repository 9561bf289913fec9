"""What partners say over REST, staged: messages lie in an open statement until a run closes it.

One statement of messages per partner is open at a time; its row's lock makes line numbers and the refusal of
repeated messages certain, and closing waits for it, so that a run has every message that was acknowledged.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from db.models import StatementLine
from db.store import Store
from domain.statement_lines import RefusedLine, StatedLine
from domain.statement_lines import digests as digests_of

Outcome = Literal["accepted", "duplicate"]

_STATED = (
    "account_ref",
    "debtor_ref",
    "balance",
    "status",
    "currency",
    "processed_at",
    "payment_ref",
    "amount",
    "paid_on",
    "payer",
)
_NOTHING = dict.fromkeys((*_STATED, "problem"))


class StatedMessageStore(Store):
    """The messages of one agency's partners."""

    async def append(
        self, partner_id: UUID, items: Sequence[StatedLine], refused: Sequence[RefusedLine] = ()
    ) -> list[Outcome]:
        """Add messages of a partner, each once: what became of every item, in their order.

        A message that the partner has sent before, at any time and with the same content, is a ``duplicate``
        and changes nothing; what several of one request are, ``statement_lines.digests`` says. Those that
        were ``refused`` are kept as the statement's problems, each once, too.
        """
        digests = digests_of(items, partner_id)
        wrong = {one.digest(partner_id): one for one in refused}
        if not await self._unknown([*digests, *wrong]):
            return ["duplicate"] * len(items)
        values = {"agency": self._agency_id, "partner": partner_id}
        statement_id, base = (await self._session.execute(_OPEN, values)).one()
        # Asked again under the lock of the statement: nobody else adds messages of this partner meanwhile.
        unknown = await self._unknown([*digests, *wrong])
        outcomes: list[Outcome] = []
        new: list[dict[str, Any]] = []
        for item, digest in zip(items, digests, strict=True):
            outcomes.append("accepted" if digest in unknown else "duplicate")
            if digest in unknown:
                unknown.discard(digest)
                new.append({name: getattr(item, name) for name in _STATED} | {"digest": digest})
        new += [one.columns() | {"digest": digest} for digest, one in wrong.items() if digest in unknown]
        if new:
            key = {"statement_id": statement_id, "agency_id": self._agency_id}
            rows = [_NOTHING | key | {"line": base + nth} | row for nth, row in enumerate(new, start=1)]
            await self._session.execute(insert(StatementLine), rows)
            await self._count(statement_id, rows)
        return outcomes

    async def _count(self, statement_id: UUID, rows: Sequence[dict[str, Any]]) -> None:
        times = [row["processed_at"] for row in rows if row["processed_at"] is not None]
        counted = {
            "agency": self._agency_id,
            "id": statement_id,
            "count": len(rows),
            "problems": sum(row["problem"] is not None for row in rows),
            "oldest": min(times, default=None),
            "newest": max(times, default=None),
        }
        await self._session.execute(_COUNT, counted)

    async def _unknown(self, digests: Iterable[bytes]) -> set[bytes]:
        asked = set(digests)
        known = await self._session.scalars(
            select(StatementLine.digest).where(StatementLine.digest.in_(asked))
        )
        return asked - {digest for digest in known if digest is not None}


_OPEN = text("""
    INSERT INTO statement (agency_id, partner_id, channel) VALUES (:agency, :partner, 'messages')
    ON CONFLICT (partner_id) WHERE channel = 'messages' AND state = 'open'
    DO UPDATE SET lines = statement.lines
    RETURNING id, lines
""")
_COUNT = text("""
    UPDATE statement
       SET lines = lines + :count, problems = problems + :problems,
           oldest_at = LEAST(oldest_at, CAST(:oldest AS timestamptz)),
           newest_at = GREATEST(newest_at, CAST(:newest AS timestamptz))
     WHERE agency_id = :agency AND id = :id
""")
