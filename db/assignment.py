"""Automatic assignment: who has room, which accounts wait for somebody, and giving the one to the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from db.score_statements import QUEUED
from db.store import Store
from domain.accounts import OPEN_STATUSES, WORKABLE_STATUSES, AccountStatus
from domain.assignment import Assignment, Unassigned, Workload

Place = tuple[int, UUID]
"""Where in the order of the worklist an account stands: its rank and id."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An account that nobody works yet, and its rank."""

    account: Unassigned
    rank: int

    @property
    def place(self) -> Place:
        """Where it stands in the order."""
        return (self.rank, self.account.account_id)


class AssignmentStore(Store):
    """The accounts of one agency that nobody works, and its collectors."""

    async def workloads(self, *, lock: bool = False) -> list[Workload]:
        """What the active collectors have to work, by id; collectors who cannot log in have no part.

        Locked, nobody changes who takes part, and no other run gives them accounts meanwhile; giving
        them one by hand goes on.
        """
        found = await self._session.execute(_LOCK_COLLECTORS if lock else _COLLECTORS, self._values())
        collectors = found.all()
        counted = await self._session.execute(
            _LOADS,
            {
                **self._values(),
                "open": sorted(OPEN_STATUSES),
                "collectors": [collector.id for collector in collectors],
            },
        )
        loads = {row.assigned_to: row for row in counted}
        return [
            Workload(
                collector.id,
                collector.max_accounts,
                loads[collector.id].accounts if collector.id in loads else 0,
                int(loads[collector.id].cents) if collector.id in loads else 0,
            )
            for collector in collectors
        ]

    async def waiting(self, limit: int, *, after: Place | None = None) -> list[Waiting]:
        """The best accounts that nobody works, in order; ``after`` is the place to go on from."""
        values = {**self._values(), "limit": limit}
        if after is None:
            rows = await self._session.execute(text(_WAITING.format(after="")), values)
        else:
            values |= {"rank": after[0], "id": after[1]}
            rows = await self._session.execute(text(_WAITING.format(after=_AFTER)), values)
        return [Waiting(Unassigned(row.account_id, row.balance_cents), row.rank) for row in rows]

    async def count_waiting(self) -> int:
        """How many accounts nobody works."""
        return int(await self._session.scalar(_COUNT_WAITING, self._values()) or 0)

    async def lock(self, account_ids: Sequence[UUID]) -> dict[UUID, int]:
        """Lock those of the accounts that still wait; their versions. Others have been given away."""
        rows = await self._session.execute(_LOCK, {**self._values(), "accounts": list(account_ids)})
        return {row.id: row.version for row in rows}

    async def assign(
        self, assignments: Sequence[Assignment], versions: dict[UUID, int], run_id: UUID
    ) -> list[UUID]:
        """Give accounts to collectors, with their timeline events and audit records; who was given.

        An account of another version than in ``versions``, or that somebody has by now, is left as it is.
        """
        values = {
            "agency": self._agency_id,
            "actor": self._tenant.actor.name,
            "kind": self._tenant.actor.kind,
            "run": run_id,
            "new": AccountStatus.NEW,
            "assigned": AccountStatus.ASSIGNED,
            "accounts": [assignment.account_id for assignment in assignments],
            "collectors": [assignment.collector_id for assignment in assignments],
            "versions": [versions[assignment.account_id] for assignment in assignments],
        }
        return list((await self._session.execute(_ASSIGN, values)).scalars())

    def _values(self) -> dict[str, object]:
        return {"agency": self._agency_id, "workable": sorted(WORKABLE_STATUSES)}


_ACTIVE = """
    SELECT c.id, c.max_accounts FROM collector c
     WHERE c.agency_id = :agency AND c.active
       AND EXISTS (SELECT FROM app_user u WHERE u.id = c.user_id AND u.active)
     ORDER BY c.id"""
_COLLECTORS = text(_ACTIVE)
_LOCK_COLLECTORS = text(f"{_ACTIVE} FOR NO KEY UPDATE OF c")

_LOADS = text("""
    SELECT assigned_to, count(*) AS accounts, sum(balance_cents) AS cents FROM account
     WHERE agency_id = :agency AND assigned_to = ANY(:collectors) AND status = ANY(:open)
     GROUP BY assigned_to
""")

_WAITS = f"a.assigned_to IS NULL AND {QUEUED}"

_WAITING = f"""
    SELECT s.account_id, s.rank, a.balance_cents
      FROM account_score s
      CROSS JOIN LATERAL (
        SELECT * FROM account WHERE agency_id = :agency AND id = s.account_id LIMIT 1) a
     WHERE s.agency_id = :agency AND s.queued AND s.collector_id IS NULL AND {_WAITS} {{after}}
     ORDER BY s.rank DESC, s.account_id LIMIT :limit
"""
_AFTER = "AND s.rank <= :rank AND (s.rank < :rank OR s.account_id > :id)"

_COUNT_WAITING = text(f"""
    SELECT count(*) FROM account_score s
      JOIN account a ON a.agency_id = :agency AND a.id = s.account_id
     WHERE s.agency_id = :agency AND s.queued AND s.collector_id IS NULL AND {_WAITS}
""")

_LOCK = text(f"""
    SELECT a.id, a.version FROM account a
     WHERE a.agency_id = :agency AND a.id = ANY(:accounts) AND {_WAITS}
     ORDER BY a.id FOR NO KEY UPDATE
""")

_ASSIGN = text("""
    WITH planned AS MATERIALIZED (
        SELECT p.*, c.full_name
          FROM unnest(CAST(:accounts AS uuid[]), CAST(:collectors AS uuid[]), CAST(:versions AS integer[]))
               AS p(account_id, collector_id, version)
          JOIN collector c ON c.agency_id = :agency AND c.id = p.collector_id),
    given AS (
        UPDATE account a
           SET assigned_to = p.collector_id, version = a.version + 1, updated_at = now(),
               status = CASE a.status WHEN :new THEN :assigned ELSE a.status END
          FROM planned p
         WHERE a.agency_id = :agency AND a.id = p.account_id
           AND a.version = p.version AND a.assigned_to IS NULL
        RETURNING a.id, p.collector_id, p.full_name, old.status AS old, new.status AS new),
    events AS (
        INSERT INTO timeline_event (agency_id, account_id, kind, description, actor, old, new, details)
        SELECT :agency, g.id, e.kind, e.description, :actor, e.old, e.new,
               jsonb_build_object('collector_id', g.collector_id, 'run_id', CAST(:run AS uuid))
          FROM given g
          CROSS JOIN LATERAL (VALUES
            ('assigned', 'Assigned to ' || g.full_name, NULL, g.full_name),
            ('status_changed', 'Status changed from ' || g.old || ' to ' || g.new, g.old, g.new)
          ) AS e(kind, description, old, new)
         WHERE e.kind = 'assigned' OR g.old <> g.new),
    audited AS (
        INSERT INTO audit_record (agency_id, actor_kind, actor, action, entity, entity_id, old, new)
        SELECT :agency, :kind, :actor, 'account.assigned', 'account', g.id::text,
               jsonb_build_object('assigned_to', NULL, 'status', g.old),
               jsonb_build_object('assigned_to', g.collector_id, 'status', g.new,
                                  'run_id', CAST(:run AS uuid))
          FROM given g)
    SELECT id FROM given
""")
