"""The history of scores: what an account scored when, and by what."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, select

from db.keyset import Position, newest_first
from db.models import AccountScoreHistory
from db.store import Store

_AT_ONCE = 2_000


class ScoreHistoryStore(Store):
    """Scores of one agency's accounts, as they were made."""

    async def page(
        self, account_id: UUID, position: Position | None, limit: int
    ) -> Sequence[AccountScoreHistory]:
        """At most ``limit`` scores of an account next to ``(scored_at, id)``, nearest first; newest first."""
        scores = select(AccountScoreHistory).where(AccountScoreHistory.account_id == account_id)
        columns = (AccountScoreHistory.scored_at, AccountScoreHistory.id)
        return (await self._session.scalars(newest_first(scores, columns, position, limit))).all()

    async def at(self, account_id: UUID, moment: datetime) -> AccountScoreHistory | None:
        """The score that an account had at a moment; None when it had none yet."""
        found: AccountScoreHistory | None = await self._session.scalar(
            select(AccountScoreHistory)
            .where(AccountScoreHistory.account_id == account_id, AccountScoreHistory.scored_at <= moment)
            .order_by(AccountScoreHistory.scored_at.desc(), AccountScoreHistory.id.desc())
            .limit(1)
        )
        return found

    async def threshold(self, account_id: UUID) -> Decimal | None:
        """What the present score of an account was judged by; None when it has none."""
        found: Decimal | None = await self._session.scalar(
            select(AccountScoreHistory.threshold)
            .where(AccountScoreHistory.account_id == account_id)
            .order_by(AccountScoreHistory.scored_at.desc(), AccountScoreHistory.id.desc())
            .limit(1)
        )
        return found

    async def count(self) -> int:
        """How many scores there are in the agency's history."""
        return (
            await self._session.scalar(
                select(func.count())
                .select_from(AccountScoreHistory)
                .where(AccountScoreHistory.agency_id == self._agency_id)
            )
            or 0
        )

    async def every(self) -> AsyncIterator[AccountScoreHistory]:
        """The agency's whole history in no order, a few at a time; a row that nobody keeps is forgotten."""
        query = select(AccountScoreHistory).where(AccountScoreHistory.agency_id == self._agency_id)
        rows = await self._session.stream_scalars(query.execution_options(yield_per=_AT_ONCE))
        async for row in rows:
            yield row
