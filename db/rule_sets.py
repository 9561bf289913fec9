"""Versions of rule sets: stored once, never changed, so that an old decision can always be derived again."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert

from db.models import ComplianceRuleSet

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from domain.compliance import RuleSet


class RuleSetStore:
    """Rule sets belong to no agency; an agency names the one it uses."""

    def __init__(self, session: "AsyncSession") -> None:
        self._session = session

    async def keep(self, rules: "RuleSet") -> UUID:
        """The id of this exact definition; it is stored when it is seen for the first time."""
        await self._session.execute(
            insert(ComplianceRuleSet)
            .values(name=rules.name, version=rules.version, definition=rules.model_dump(mode="json"))
            .on_conflict_do_nothing(index_elements=["name", "version"])
        )
        return (await self._session.scalars(_named(rules))).one()

    async def find(self, rules: "RuleSet") -> UUID | None:
        """The id of this exact definition; None when it was never stored."""
        return await self._session.scalar(_named(rules))

    async def labels(self, rule_set_ids: Collection[UUID]) -> Mapping[UUID, tuple[str, str]]:
        """Name and version of each of these definitions."""
        rows = await self._session.execute(
            select(ComplianceRuleSet.id, ComplianceRuleSet.name, ComplianceRuleSet.version).where(
                ComplianceRuleSet.id.in_(rule_set_ids)
            )
        )
        return {rule_set_id: (name, version) for rule_set_id, name, version in rows}

    async def get(self, rule_set_id: UUID) -> ComplianceRuleSet:
        """The row of a definition, as it was stored."""
        query = select(ComplianceRuleSet).where(ComplianceRuleSet.id == rule_set_id)
        return (await self._session.scalars(query)).one()


def _named(rules: "RuleSet") -> Select[UUID]:
    return select(ComplianceRuleSet.id).where(
        ComplianceRuleSet.name == rules.name, ComplianceRuleSet.version == rules.version
    )
