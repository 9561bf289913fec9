"""Debtors: found by their natural key or made, never merged by guess; changed field by field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.changes import Change, apply
from db.cipher import place
from db.models import Account, Debtor
from db.staging import SSN_COLUMN
from db.store import Store
from domain.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from db.cipher import ColumnCipher
    from domain.tenancy import Tenant

SEARCHED_FIELDS = frozenset({"full_name", "email", "phone"})
"""Fields of a debtor that are part of the search documents of their accounts."""

_SSN = "ssn_last4"
_SET, _CHANGED = "(set)", "(changed)"
"""What the audit trail says of SSN digits, as imports do: that there were some, that they changed."""


def natural_key(debtor_ref: str | None, creditor_number: int, external_ref: str) -> str:
    """What makes two debtors the same person: the creditor's reference, else the account itself."""
    return f"ref:{debtor_ref}" if debtor_ref else f"acct:{creditor_number}:{external_ref}"


@dataclass(frozen=True, slots=True)
class PlacedDebtor:
    """A debtor after ``DebtorStore.place``: ``old`` and ``new`` hold the fields that changed.

    ``old`` is None when the debtor was made. SSN digits are not among the fields.
    """

    id: UUID
    old: Mapping[str, Any] | None
    new: Mapping[str, Any]


class DebtorStore(Store):
    """Debtors of one agency."""

    def __init__(self, session: "AsyncSession", tenant: "Tenant", cipher: "ColumnCipher") -> None:
        super().__init__(session, tenant)
        self._cipher = cipher

    async def place(self, key: str, values: Mapping[str, Any], *, ssn_last4: str | None) -> PlacedDebtor:
        """Find the debtor of natural key ``key`` or make one, and bring what is given up to date.

        ``values`` are columns of the debtor; None is not given and leaves what is known. The row is
        locked until the transaction ends.
        """
        given = {name: value for name, value in values.items() if value is not None}
        secret = self._encrypted(ssn_last4)
        made = await self._session.scalar(
            upsert(Debtor)
            .values(agency_id=self._agency_id, natural_key=key, ssn_last4_encrypted=secret, **given)
            .on_conflict_do_nothing(index_elements=["agency_id", "natural_key"])
            .returning(Debtor.id)
        )
        if made is not None:
            return PlacedDebtor(made, None, given)
        debtor = (
            await self._session.scalars(
                select(Debtor)
                .where(Debtor.agency_id == self._agency_id, Debtor.natural_key == key)
                .with_for_update(key_share=True)
            )
        ).one()
        return await self._update(debtor, given, secret)

    async def _update(self, debtor: Debtor, given: Mapping[str, Any], secret: bytes | None) -> PlacedDebtor:
        new = {name: value for name, value in given.items() if getattr(debtor, name) != value}
        old = {name: getattr(debtor, name) for name in new}
        if new or secret:
            await self._session.execute(
                update(Debtor)
                .where(Debtor.id == debtor.id)
                .values(
                    **new,
                    ssn_last4_encrypted=secret or debtor.ssn_last4_encrypted,
                    version=Debtor.version + 1,
                    updated_at=func.now(),
                )
            )
        return PlacedDebtor(debtor.id, old, new)

    async def add(self, values: Mapping[str, Any]) -> UUID | None:
        """Make a debtor who has no accounts; None when the agency knows the ``debtor_ref`` already.

        ``values`` are columns of the debtor with a ``debtor_ref``, and ``ssn_last4`` in the clear.
        """
        columns = {name: value for name, value in values.items() if name != _SSN}
        made: UUID | None = await self._session.scalar(
            upsert(Debtor)
            .values(
                agency_id=self._agency_id,
                natural_key=natural_key(columns["debtor_ref"], 0, ""),
                ssn_last4_encrypted=self._encrypted(values.get(_SSN)),
                **columns,
            )
            .on_conflict_do_nothing(index_elements=["agency_id", "natural_key"])
            .returning(Debtor.id)
        )
        if made is not None:
            await self._session.execute(_ADD_DOCUMENT, {"debtor": made})
        return made

    async def id_of(self, debtor_ref: str) -> UUID | None:
        """The debtor whom creditors know by this reference."""
        found: UUID | None = await self._session.scalar(
            select(Debtor.id).where(
                Debtor.agency_id == self._agency_id, Debtor.natural_key == natural_key(debtor_ref, 0, "")
            )
        )
        return found

    async def get(self, debtor_id: UUID, *, collector_id: UUID | None = None, lock: bool = False) -> Debtor:
        """One debtor. ``NotFound`` when the agency has no such debtor.

        With a collector, also when none of the debtor's accounts is assigned to them. ``lock`` keeps
        others from changing the row until the transaction ends.
        """
        query = select(Debtor).where(Debtor.agency_id == self._agency_id, Debtor.id == debtor_id)
        if collector_id is not None:
            query = query.where(
                exists().where(Account.debtor_id == Debtor.id, Account.assigned_to == collector_id)
            )
        if lock:
            query = query.with_for_update(key_share=True)
        debtor = await self._session.scalar(query)
        if debtor is None:
            raise NotFound("there is no such debtor")
        return debtor

    async def change(self, debtor: Debtor, values: Mapping[str, Any]) -> Change:
        """Write the ``values`` that differ from a debtor who was got with ``lock``; None clears.

        They are columns, and ``ssn_last4`` in the clear. Where something differs the version goes up
        by one. The change tells SSN digits as the audit trail may.
        """
        columns = {name: value for name, value in values.items() if name != _SSN}
        differing = {name: value for name, value in columns.items() if getattr(debtor, name) != value}
        old: dict[str, Any] = {name: getattr(debtor, name) for name in differing}
        new: dict[str, Any] = dict(differing)
        if _SSN in values and values[_SSN] != self.ssn_last4(debtor):
            old[_SSN] = None if debtor.ssn_last4_encrypted is None else _SET
            new[_SSN] = None if values[_SSN] is None else _CHANGED
            differing["ssn_last4_encrypted"] = self._encrypted(values[_SSN])
        if differing:
            await apply(self._session, debtor, {**differing, "version": debtor.version + 1})
        return Change(old, new)

    async def index(self, debtor_id: UUID) -> None:
        """Bring the search document of a debtor who was made by hand up to date; others have none."""
        await self._session.execute(_INDEX, {"debtor": debtor_id})

    def ssn_last4(self, debtor: Debtor) -> str | None:
        """The last four SSN digits in the clear. Raises ``ColumnUnreadable``."""
        if debtor.ssn_last4_encrypted is None:
            return None
        return self._cipher.decrypt(debtor.ssn_last4_encrypted, self._place)

    def _encrypted(self, digits: str | None) -> bytes | None:
        return None if digits is None else self._cipher.encrypt(digits, self._place)

    @property
    def _place(self) -> bytes:
        return place(SSN_COLUMN, self._agency_id)


_DOCUMENT = r"lower(concat_ws(E'\n', d.full_name, d.email, d.phone))"
_ADD_DOCUMENT = text(f"""
    INSERT INTO debtor_search (debtor_id, agency_id, document)
    SELECT d.id, d.agency_id, {_DOCUMENT} FROM debtor d WHERE d.id = :debtor
""")
_INDEX = text(f"""
    UPDATE debtor_search s SET document = {_DOCUMENT} FROM debtor d
     WHERE d.id = :debtor AND s.debtor_id = d.id
""")
