"""Refresh tokens: single use, in families. Only hashes are stored. Exempt from row-level security."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import RefreshToken


class TokenStore:
    """The refresh tokens of all users."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, user_id: UUID, family_id: UUID, token_hash: bytes, expires_at: datetime) -> None:
        """Add a token to a family; the user's expired ones are removed on the way."""
        await self._session.execute(
            delete(RefreshToken).where(RefreshToken.user_id == user_id, RefreshToken.expires_at < func.now())
        )
        await self._session.execute(
            insert(RefreshToken).values(
                user_id=user_id, family_id=family_id, token_hash=token_hash, expires_at=expires_at
            )
        )

    async def owner(self, token_hash: bytes) -> UUID | None:
        """Whose token this is."""
        return await self._session.scalar(
            select(RefreshToken.user_id).where(RefreshToken.token_hash == token_hash)
        )

    async def lock(self, token_hash: bytes) -> RefreshToken | None:
        """The token, its row locked: of two who use it at once, the second sees that it is used."""
        return await self._session.scalar(
            select(RefreshToken)
            .where(RefreshToken.token_hash == token_hash)
            .with_for_update()
            .execution_options(populate_existing=True)
        )

    async def use(self, token_id: UUID) -> None:
        """Mark the token as used."""
        await self._session.execute(
            update(RefreshToken).where(RefreshToken.id == token_id).values(used_at=func.now())
        )

    async def revoke_family(self, family_id: UUID) -> None:
        """Revoke every token that descends from the same login."""
        await self._session.execute(
            update(RefreshToken)
            .where(RefreshToken.family_id == family_id, RefreshToken.revoked_at.is_(None))
            .values(revoked_at=func.now())
        )

    async def revoke_user(self, user_id: UUID) -> None:
        """Revoke every token of a user."""
        await self._session.execute(
            update(RefreshToken)
            .where(RefreshToken.user_id == user_id, RefreshToken.revoked_at.is_(None))
            .values(revoked_at=func.now())
        )
