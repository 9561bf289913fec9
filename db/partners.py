"""Partners of an agency and the versions of their rules. Signing secrets are ciphertext at rest."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Select, select

from db.changes import Change, apply, unique
from db.cipher import place
from db.keyset import Position, newest_first
from db.models import Partner, PartnerRules
from db.store import Store
from domain.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from db.cipher import ColumnCipher
    from domain.tenancy import Tenant

SIGNING_SECRET_COLUMN = "partner.signing_secret"  # noqa: S105 - the place of a secret, not one
_SECRET = "signing_secret_encrypted"  # noqa: S105 - the name of a column
_TAKEN = {"uq_partner_agency_id_name": ("name", "another partner has this name")}


@dataclass(frozen=True, slots=True)
class DeliveryWay:
    """How accounts reach a partner. For activities only; its ``repr`` shows no secret."""

    partner_id: UUID
    name: str
    active: bool
    delivery: str
    source_id: UUID | None
    url: str | None
    signing_secret: str | None = field(default=None, repr=False)


class PartnerStore(Store):
    """The partners of one agency."""

    def __init__(self, session: "AsyncSession", tenant: "Tenant", cipher: "ColumnCipher") -> None:
        super().__init__(session, tenant)
        self._cipher = cipher

    async def add(self, values: Mapping[str, Any], *, signing_secret: str | None = None) -> Partner:
        """Add a partner. ``Conflict`` (field ``name``) when the agency has one of that name."""
        partner = Partner(agency_id=self._agency_id, **values, **self._encrypted(signing_secret))
        self._session.add(partner)
        with unique(_TAKEN):
            await self._session.flush()
        await self._session.refresh(partner)
        return partner

    async def get(self, partner_id: UUID, *, lock: bool = False) -> Partner:
        """One partner. ``NotFound`` when the agency has no such partner."""
        query = select(Partner).where(Partner.agency_id == self._agency_id, Partner.id == partner_id)
        if lock:
            query = query.with_for_update(key_share=True)
        return _there(await self._session.scalar(query.execution_options(populate_existing=True)))

    async def named(self, name: str) -> Partner:
        """The partner with exactly this name. ``NotFound``."""
        query = select(Partner).where(Partner.agency_id == self._agency_id, Partner.name == name)
        return _there(await self._session.scalar(query))

    async def page(self, position: Position | None, limit: int) -> Sequence[Partner]:
        """Partners, newest first, keyed by ``(id,)``."""
        query = select(Partner).where(Partner.agency_id == self._agency_id)
        return (await self._session.scalars(newest_first(query, (Partner.id,), position, limit))).all()

    async def active(self) -> Sequence[Partner]:
        """The partners that are worked with, by name."""
        query = (
            select(Partner).where(Partner.agency_id == self._agency_id, Partner.active).order_by(Partner.name)
        )
        return (await self._session.scalars(query)).all()

    async def served(self) -> Sequence[UUID]:
        """The active partners of kind agency that accounts are sent to, by name."""
        query = (
            select(Partner.id)
            .where(
                Partner.agency_id == self._agency_id,
                Partner.kind == "agency",
                Partner.active,
                Partner.delivery != "none",
            )
            .order_by(Partner.name)
        )
        return (await self._session.scalars(query)).all()

    async def change(
        self, partner_id: UUID, values: Mapping[str, Any], secrets: Mapping[str, str | None]
    ) -> tuple[Partner, Change]:
        """Write the values that differ and the ``signing_secret``, where it is given (None removes it).

        The change tells of the secret only that it was replaced or removed.
        """
        partner = await self.get(partner_id, lock=True)
        encrypted = self._encrypted(secrets["signing_secret"]) if "signing_secret" in secrets else {}
        with unique(_TAKEN):
            change = await apply(self._session, partner, {**values, **encrypted})
        return partner, Change(_without_secret(change.old), _without_secret(change.new))

    async def delivery_way(self, partner_id: UUID) -> DeliveryWay:
        """How accounts reach a partner, its secret in the clear. ``NotFound``, or ``ColumnUnreadable``."""
        partner = await self.get(partner_id)
        blob = partner.signing_secret_encrypted
        secret = None if blob is None else self._cipher.decrypt(blob, self._place())
        return DeliveryWay(
            partner_id=partner.id,
            name=partner.name,
            active=partner.active,
            delivery=partner.delivery,
            source_id=partner.source_id,
            url=partner.delivery_url,
            signing_secret=secret,
        )

    async def add_rules(self, partner_id: UUID, body: str) -> tuple[PartnerRules, bool]:
        """Make ``body`` the partner's rules; the version, and whether it is a new one.

        The text of the latest version is that version again. ``NotFound`` without such a partner.
        """
        await self.get(partner_id, lock=True)
        digest = hashlib.sha256(body.encode()).hexdigest()
        latest = await self.latest_rules(partner_id)
        if latest is not None and latest.sha256 == digest:
            return latest, False
        rules = PartnerRules(
            agency_id=self._agency_id,
            partner_id=partner_id,
            version=1 if latest is None else latest.version + 1,
            body=body,
            sha256=digest,
            created_by=self._tenant.actor.name,
        )
        self._session.add(rules)
        await self._session.flush()
        await self._session.refresh(rules)
        return rules, True

    async def rules(self, partner_id: UUID, version: int) -> PartnerRules:
        """One version of a partner's rules. ``NotFound``."""
        query = self._rules(partner_id).where(PartnerRules.version == version)
        found = await self._session.scalar(query)
        if found is None:
            raise NotFound("the partner has no such version of its rules")
        return found

    async def latest_rules(self, partner_id: UUID) -> PartnerRules | None:
        """The newest version of a partner's rules; None before there is any."""
        query = self._rules(partner_id).order_by(PartnerRules.version.desc()).limit(1)
        return await self._session.scalar(query)

    def _rules(self, partner_id: UUID) -> Select[PartnerRules]:
        return select(PartnerRules).where(
            PartnerRules.agency_id == self._agency_id, PartnerRules.partner_id == partner_id
        )

    def _encrypted(self, secret: str | None) -> dict[str, bytes | None]:
        return {_SECRET: None if secret is None else self._cipher.encrypt(secret, self._place())}

    def _place(self) -> bytes:
        return place(SIGNING_SECRET_COLUMN, self._agency_id)


def _there(partner: Partner | None) -> Partner:
    if partner is None:
        raise NotFound("there is no such partner")
    return partner


def _without_secret(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "signing_secret" if name == _SECRET else name: ("(set)" if value else None)
        if name == _SECRET
        else value
        for name, value in values.items()
    }
