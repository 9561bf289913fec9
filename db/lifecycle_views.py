"""What a lifecycle reads of its account: one statement, alone or inside a transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.deadlines import SETTLEMENT_PAY_DAYS
from domain.errors import NotFound
from domain.holds import OF_THE_PERSON
from domain.payments import UNFINISHED

if TYPE_CHECKING:
    from db.readings import Readings


@dataclass(frozen=True, slots=True)
class LifecycleView:
    """What an account's lifecycle waits for is derived from this; dates are the agency's, in ``zone``.

    ``holds`` are the kinds in force on the account or the person, ``hold_ends`` those of them that end by
    themselves: the account that a person's hold was placed on may be closed by then. ``settlement`` is an
    accepted offer that no plan pays and no money is under way for, with the last day on which it can be paid.
    ``noted`` are deadlines that were reached and noted: name and time.
    """

    status: str
    version: int
    last_event_at: datetime
    zone: str
    rule_set: str
    state: str | None
    account_type: str | None
    limitation_since: date | None
    holds: Sequence[str]
    hold_ends: Sequence[tuple[UUID, date]]
    promise: tuple[UUID, date] | None
    offer: tuple[UUID, date] | None
    settlement: tuple[UUID, date] | None
    dispute: tuple[UUID, date] | None
    validation_sent_on: date | None
    noted: frozenset[tuple[str, datetime]]


class LifecycleReadings:
    """Accounts of one agency as their lifecycles see them, each read by itself."""

    def __init__(self, readings: "Readings") -> None:
        self._readings = readings

    async def view(self, account_id: UUID) -> LifecycleView:
        """The account now. Raises ``NotFound``."""
        statement, values = view_query(self._readings.tenant.agency_id, account_id)
        return view_of(await self._readings.rows(statement, values))


def view_query(agency_id: UUID, account_id: UUID) -> tuple[bytes, Mapping[str, Any]]:
    """The statement for one account and its values, in psycopg's notation; ``view_of`` reads its answer."""
    return _VIEW, {
        "agency": agency_id,
        "account": account_id,
        "personal": sorted(OF_THE_PERSON),
        "pay_days": SETTLEMENT_PAY_DAYS,
        "unfinished": sorted(UNFINISHED),
    }


def view_of(rows: Sequence[tuple[Any, ...]]) -> LifecycleView:
    """The account in the answer to ``view_query``. Raises ``NotFound``."""
    if not rows:
        raise NotFound("there is no such account")
    [(*facts, validation_sent_on, holds, waited_for, subjects, days, noted, noted_at)] = rows
    status, version, last_event_at, zone, rule_set, state, account_type, limitation_since = facts
    waiting = list(zip(waited_for or (), subjects or (), days or (), strict=True))
    found = {kind: (subject, day) for kind, subject, day in waiting}
    return LifecycleView(
        status=status,
        version=version,
        last_event_at=last_event_at,
        zone=zone,
        rule_set=rule_set,
        state=state,
        account_type=account_type,
        limitation_since=limitation_since,
        holds=tuple(holds or ()),
        hold_ends=tuple((subject, day) for kind, subject, day in waiting if kind == "hold"),
        promise=found.get("promise"),
        offer=found.get("offer"),
        settlement=found.get("settlement"),
        dispute=found.get("dispute"),
        validation_sent_on=validation_sent_on,
        noted=frozenset(zip(noted or (), noted_at or (), strict=True)),
    )


_VIEW = b"""
    SELECT a.status, a.version,
           COALESCE((SELECT max(e.at) FROM timeline_event e
                      WHERE e.agency_id = %(agency)s AND e.account_id = a.id), a.created_at),
           g.time_zone, g.rule_set, d.state, a.account_type,
           COALESCE(a.last_payment_date, a.charge_off_date, a.due_date),
           (SELECT CAST(min(c.at) AT TIME ZONE g.time_zone AS date) FROM contact c
             WHERE c.agency_id = %(agency)s AND c.account_id = a.id AND c.purpose = 'validation_notice'
               AND c.direction = 'outbound' AND c.channel IN ('letter', 'email')),
           held.kinds, waited.kinds, waited.subjects, waited.days, reached.kinds, reached.moments
      FROM account a
      JOIN debtor d ON d.agency_id = %(agency)s AND d.id = a.debtor_id
      JOIN agency g ON g.id = %(agency)s
     CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT h.kind ORDER BY h.kind) AS kinds FROM hold h
         WHERE h.agency_id = %(agency)s AND h.debtor_id = a.debtor_id AND h.released_at IS NULL
           AND (h.account_id = a.id OR h.kind = ANY(%(personal)s))) held
     CROSS JOIN LATERAL (
        SELECT array_agg(w.kind) AS kinds, array_agg(w.id) AS subjects, array_agg(w.day) AS days FROM (
            SELECT 'promise' AS kind, id, due_date AS day FROM promise
             WHERE agency_id = %(agency)s AND account_id = a.id AND status = 'open'
            UNION ALL
            SELECT 'offer', id, expires_on FROM settlement_offer
             WHERE agency_id = %(agency)s AND account_id = a.id AND status = 'open'
            UNION ALL
            SELECT 'settlement', o.id, GREATEST(o.expires_on, %(pay_days)s + CAST(GREATEST(o.resolved_at, (
                    SELECT max(p.ended_at) FROM payment_plan p
                     WHERE p.agency_id = %(agency)s AND p.account_id = a.id AND p.offer_id = o.id
                   )) AT TIME ZONE g.time_zone AS date))
              FROM settlement_offer o
             WHERE o.agency_id = %(agency)s AND o.account_id = a.id AND o.status = 'accepted'
               AND NOT EXISTS (SELECT FROM payment_plan p
                                WHERE p.agency_id = %(agency)s AND p.account_id = a.id
                                  AND p.status IN ('active', 'paused'))
               AND NOT EXISTS (SELECT FROM payment m
                                WHERE m.agency_id = %(agency)s AND m.account_id = a.id
                                  AND m.status = ANY(%(unfinished)s) AND m.origin <> 'link')
            UNION ALL
            SELECT 'dispute', id, received_on FROM dispute
             WHERE agency_id = %(agency)s AND account_id = a.id AND status = 'open'
            UNION ALL
            SELECT 'hold', h.id, h.until FROM hold h
             WHERE h.agency_id = %(agency)s AND h.debtor_id = a.debtor_id AND h.released_at IS NULL
               AND h.until IS NOT NULL AND (h.account_id = a.id OR h.kind = ANY(%(personal)s))) w) waited
     CROSS JOIN LATERAL (
        SELECT array_agg(m.kind) AS kinds, array_agg(m.due_at) AS moments FROM account_milestone m
         WHERE m.agency_id = %(agency)s AND m.account_id = a.id) reached
     WHERE a.agency_id = %(agency)s AND a.id = %(account)s
"""
