"""Contacts: the person is locked, what the law asks about them is read, the contact is written."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from db.changes import Change
from db.keyset import Position, newest_first
from db.models import Contact, ContactPreference
from db.store import Store
from domain.holds import OF_THE_PERSON

UNTOLD: Mapping[str, Any] = {"time_zone": None, "inconvenient": [], "inconvenient_places": []}
"""The preferences of a debtor who has told none."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What counts when a contact is judged, apart from the account and the debtor themselves.

    ``now`` is the database's clock after all locks, ``at`` the moment of the contact. The JSON is of the
    shapes that ``domain.compliance.ContactFacts`` reads. Holds and the dispute are those that were not
    over at ``at``; what is about earlier contacts is up to ``at``, its dates the agency's.
    ``decision_id`` is an id to be used.
    """

    now: datetime
    at: datetime
    decision_id: UUID
    attempts: list[dict[str, Any]]
    holds: list[dict[str, Any]]
    dispute: dict[str, Any] | None
    preference: dict[str, Any]
    consent_at: datetime | None
    validation_sent_on: date | None
    first_communication_on: date | None


class ContactStore(Store):
    """Contacts of one agency's accounts, and what its debtors said of being contacted."""

    async def lock_person(self, account_id: UUID) -> None:
        """Keep others from contacting the account's debtor, or changing their accounts, meanwhile."""
        await self._session.execute(_LOCK, {"agency": self._agency_id, "account": account_id})

    async def circumstances(
        self,
        account_id: UUID,
        debtor_id: UUID,
        at: datetime | None,
        *,
        zone: str,
        channels: Collection[str],
        days: int,
    ) -> Circumstances:
        """What counts for a contact at ``at`` (None: now), of an agency in the time zone ``zone``.

        ``channels`` and ``days``, before and after, bound the contacts with the person that are read.
        """
        found = await self._session.execute(
            _CIRCUMSTANCES,
            {
                "agency": self._agency_id,
                "account": account_id,
                "debtor": debtor_id,
                "at": at,
                "zone": zone,
                "channels": sorted(channels),
                "days": days,
                "personal": sorted(OF_THE_PERSON),
            },
        )
        row = found.mappings().one()
        return Circumstances(**{**row, "preference": row["preference"] or dict(UNTOLD)})

    async def add(self, values: Mapping[str, Any]) -> Contact:
        """Log a contact by the tenant's actor; ``values`` are columns."""
        statement = (
            insert(Contact)
            .values(agency_id=self._agency_id, actor=self._tenant.actor.name, **values)
            .returning(Contact)
        )
        return (await self._session.scalars(statement)).one()

    async def page(self, account_id: UUID, position: Position | None, limit: int) -> Sequence[Contact]:
        """At most ``limit`` contacts of an account next to ``(at, id)``, nearest first; newest first."""
        contacts = select(Contact).where(
            Contact.agency_id == self._agency_id, Contact.account_id == account_id
        )
        query = newest_first(contacts, (Contact.at, Contact.id), position, limit)
        return (await self._session.scalars(query)).all()

    async def preference(self, debtor_id: UUID) -> ContactPreference | None:
        """What a debtor said of being contacted; None when nothing."""
        return await self._session.get(
            ContactPreference, {"agency_id": self._agency_id, "debtor_id": debtor_id}
        )

    async def prefer(self, debtor_id: UUID, values: Mapping[str, Any]) -> tuple[ContactPreference, Change]:
        """Write what a debtor, who is locked, says of being contacted, and how that differs from before."""
        row = await self.preference(debtor_id)
        before = UNTOLD if row is None else {name: getattr(row, name) for name in UNTOLD}
        new = {name: value for name, value in values.items() if before[name] != value}
        if row is None or new:
            statement = insert(ContactPreference).values(
                agency_id=self._agency_id, debtor_id=debtor_id, **values
            )
            written = statement.on_conflict_do_update(
                index_elements=["agency_id", "debtor_id"], set_={**values, "updated_at": text("now()")}
            ).returning(ContactPreference)
            found = await self._session.scalars(written, execution_options={"populate_existing": True})
            row = found.one()
        return row, Change({name: before[name] for name in new}, new)


_LOCK = text("""
    SELECT FROM debtor d
     WHERE d.agency_id = :agency
       AND d.id = (SELECT debtor_id FROM account WHERE agency_id = :agency AND id = :account)
       FOR NO KEY UPDATE
""")

# The clock is read here and not with the lock: contacts then follow each other as they got the lock.
_CIRCUMSTANCES = text("""
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
         asked AS MATERIALIZED (SELECT now, COALESCE(CAST(:at AS timestamptz), now) AS at FROM clock)
    SELECT asked.now, asked.at, uuidv7() AS decision_id,
           (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                       'at', c.at, 'channel', c.channel, 'direction', c.direction,
                       'connected', c.connected, 'conversation', c.conversation AND c.right_party,
                       'consented', c.consented, 'debt', c.account_id = :account) ORDER BY c.at, c.id), '[]')
              FROM contact c
             WHERE c.agency_id = :agency AND c.debtor_id = :debtor AND c.channel = ANY(:channels)
               AND (c.direction = 'outbound' OR c.conversation)
               AND c.at BETWEEN asked.at - make_interval(days => :days)
                            AND asked.at + make_interval(days => :days)) AS attempts,
           (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                       'kind', h.kind, 'since', h.placed_at, 'until', h.until) ORDER BY h.id), '[]')
              FROM hold h
             WHERE h.agency_id = :agency AND h.debtor_id = :debtor
               AND (h.account_id = :account OR h.kind = ANY(:personal))
               AND (h.released_at IS NULL OR h.released_at > asked.at)) AS holds,
           (SELECT jsonb_build_object('received_on', d.received_on, 'in_period', d.in_period)
              FROM dispute d
             WHERE d.agency_id = :agency AND d.account_id = :account
               AND d.received_on <= CAST(asked.at AT TIME ZONE :zone AS date)
               AND (d.status = 'open' OR d.answered_at > asked.at)
             ORDER BY d.in_period DESC, d.id DESC LIMIT 1) AS dispute,
           (SELECT jsonb_build_object('time_zone', p.time_zone, 'inconvenient', p.inconvenient,
                                      'inconvenient_places', p.inconvenient_places)
              FROM contact_preference p
             WHERE p.agency_id = :agency AND p.debtor_id = :debtor) AS preference,
           (SELECT max(c.at) FROM contact c
             WHERE c.agency_id = :agency AND c.account_id = :account AND c.consent_given
               AND c.conversation AND c.right_party
               AND c.at <= asked.at) AS consent_at,
           (SELECT CAST(min(c.at) AT TIME ZONE :zone AS date) FROM contact c
             WHERE c.agency_id = :agency AND c.account_id = :account AND c.purpose = 'validation_notice'
               AND c.direction = 'outbound' AND c.channel IN ('letter', 'email')
               AND c.at <= asked.at) AS validation_sent_on,
           (SELECT CAST(min(c.at) AT TIME ZONE :zone AS date) FROM contact c
             WHERE c.agency_id = :agency AND c.account_id = :account
               AND (c.channel <> 'call' OR (c.conversation AND c.right_party))
               AND c.at <= asked.at) AS first_communication_on
      FROM asked
""")
