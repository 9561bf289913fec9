"""Versions of scorers: stored once, never changed, so that an old score can always be explained."""

from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from db.models import Scorecard as ScorecardRow
from db.store import rows
from domain.scoring import ModelCard, Scorecard, Scorer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


_FIND = b"SELECT id FROM scorecard WHERE sha256 = %(digest)s"

_READ: dict[UUID, Scorer] = {}
"""Definitions by their id."""


class ScorecardStore:
    """Scorecards belong to no agency; an agency names the one it uses."""

    def __init__(self, session: "AsyncSession") -> None:
        self._session = session

    async def keep(self, card: Scorer) -> UUID:
        """The id of this exact definition; it is stored when it is seen for the first time."""
        known = await self.find(card)
        if known is not None:
            return known
        await self._session.execute(
            insert(ScorecardRow)
            .values(
                name=card.name,
                definition=card.model_dump(mode="json"),
                sha256=card.digest,
                maximum=card.maximum,
            )
            .on_conflict_do_nothing(index_elements=["sha256"])
        )
        found: UUID = (
            await self._session.scalars(select(ScorecardRow.id).where(ScorecardRow.sha256 == card.digest))
        ).one()
        return found

    async def find(self, card: Scorer) -> UUID | None:
        """The id of this exact definition; None when it was never stored."""
        found = await rows(self._session, _FIND, {"digest": card.digest})
        return found[0][0] if found else None

    async def names(self, scorecard_ids: Collection[UUID]) -> dict[UUID, tuple[str, int]]:
        """Name and version of each of these definitions."""
        version = ScorecardRow.definition["version"].as_integer()
        rows = await self._session.execute(
            select(ScorecardRow.id, ScorecardRow.name, version).where(ScorecardRow.id.in_(scorecard_ids))
        )
        return {scorecard_id: (name, version) for scorecard_id, name, version in rows}

    async def get(self, scorecard_id: UUID) -> Scorer:
        """The definition that scores with this id were made by; a model's without its callable.

        Read once per process: there are few, none of them ever changes, and reading one takes longer than
        what it explains.
        """
        known = _READ.get(scorecard_id)
        if known is None:
            definition = (
                await self._session.scalars(
                    select(ScorecardRow.definition).where(ScorecardRow.id == scorecard_id)
                )
            ).one()
            kind: type[Scorecard | ModelCard] = ModelCard if definition.get("kind") == "model" else Scorecard
            known = _READ[scorecard_id] = kind.model_validate(definition)
        return known
