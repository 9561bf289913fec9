"""Admission: which accounts get their workflow next, and which already have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from db.store import Store
from domain.accounts import OPEN_STATUSES

START_MINUTES = 10
"""How long after the start of its lifecycle an account is marked, at the very latest."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that is queued and not yet worked, with what places it in the order."""

    account_id: UUID
    priority: int
    rank: int
    status: str


class AdmissionStore(Store):
    """The worked accounts of one agency: admitted when their lifecycle starts, released when it ends."""

    async def worked(self) -> int:
        """How many accounts are worked now."""
        return int(await self._session.scalar(_WORKED, {"agency": self._agency_id}) or 0)

    async def room(self, capacity: int) -> int:
        """How many more accounts may be worked, at least 0."""
        return max(0, capacity - await self.worked())

    async def settling(self) -> bool:
        """Whether accounts that may rank higher are on their way in and will be scored shortly.

        Only imports and scoring runs that have moved lately count, so that one that is stuck holds
        nobody up.
        """
        return bool(await self._session.scalar(_SETTLING, {"agency": self._agency_id}))

    async def candidates(self, limit: int, *, after: tuple[int, UUID] | None) -> Sequence[Candidate]:
        """The best accounts that are not worked yet, in order; ``after`` is the (rank, id) to go on from."""
        values = {"agency": self._agency_id, "limit": limit, "open": sorted(OPEN_STATUSES)}
        if after is None:
            rows = await self._session.execute(text(_CANDIDATES.format(after="")), values)
        else:
            rows = await self._session.execute(
                text(_CANDIDATES.format(after=_AFTER)), {**values, "rank": after[0], "id": after[1]}
            )
        return [Candidate(row.account_id, row.priority, row.rank, row.status) for row in rows]

    async def admit(self, account_ids: Sequence[UUID]) -> int:
        """Mark accounts whose workflow runs; returns how many were not marked before.

        One that was closed meanwhile is not marked: its workflow ends, perhaps has ended already,
        and would never free the place. Whoever has changed one just before could not know that it has a
        lifecycle, which may have read it before that: it is told once more.
        """
        values = {
            "agency": self._agency_id,
            "ids": list(account_ids),
            "open": sorted(OPEN_STATUSES),
            "minutes": START_MINUTES,
        }
        rows = await self._session.execute(_ADMIT, values)
        return len(rows.all())

    async def release(self, account_id: UUID) -> None:
        """Mark that an account's workflow has ended, which frees its place."""
        await self._session.execute(_RELEASE, {"agency": self._agency_id, "id": account_id})


_WORKED = text("""
    SELECT count(*) FROM account
     WHERE agency_id = :agency AND admitted_at IS NOT NULL AND released_at IS NULL
""")

_SETTLING = text("""
    SELECT EXISTS (
        SELECT FROM import_job j
          LEFT JOIN scoring_run r ON r.agency_id = :agency AND r.import_id = j.id
         WHERE j.agency_id = :agency AND j.status IN ('pending', 'processing', 'completed')
           AND greatest(j.updated_at, r.updated_at) > now() - interval '1 minute'
           AND (r.id IS NULL OR r.status IN ('pending', 'running')))
""")

_CANDIDATES = """
    SELECT s.account_id, s.priority, s.rank, a.status
      FROM account_score s
      JOIN account a ON a.agency_id = :agency AND a.id = s.account_id
     WHERE s.agency_id = :agency AND s.queued {after}
       AND (a.admitted_at IS NULL OR a.released_at IS NOT NULL) AND a.status = ANY(:open)
     ORDER BY s.rank DESC, s.account_id LIMIT :limit
"""
_AFTER = "AND s.rank <= :rank AND (s.rank < :rank OR s.account_id > :id)"

_ADMIT = text("""
    WITH locked AS MATERIALIZED (
        SELECT id FROM account
         WHERE agency_id = :agency AND id = ANY(:ids) AND status = ANY(:open)
           AND (admitted_at IS NULL OR released_at IS NOT NULL)
         ORDER BY id FOR NO KEY UPDATE)
    , admitted AS (
        UPDATE account a SET admitted_at = now(), released_at = NULL
          FROM locked WHERE a.agency_id = :agency AND a.id = locked.id
        RETURNING a.id, a.version, a.updated_at)
    , changed AS (
        INSERT INTO lifecycle_notice (agency_id, account_id)
        SELECT :agency, id FROM admitted
         WHERE version > 1 AND updated_at > now() - make_interval(mins => :minutes)
        ON CONFLICT (account_id) DO NOTHING)
    SELECT id FROM admitted
""")
_RELEASE = text("""
    UPDATE account SET released_at = now()
     WHERE agency_id = :agency AND id = :id AND admitted_at IS NOT NULL AND released_at IS NULL
""")
