"""Debtors: found by their natural key or made, never merged by guess."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.cipher import place
from db.models import Debtor
from db.staging import SSN_COLUMN
from db.store import Store

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from db.cipher import ColumnCipher
    from domain.tenancy import Tenant


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
        secret = self._cipher.encrypt(ssn_last4, self._place) if ssn_last4 else None
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
                .with_for_update()
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

    def ssn_last4(self, debtor: Debtor) -> str | None:
        """The last four SSN digits in the clear. Raises ``ColumnUnreadable``."""
        if debtor.ssn_last4_encrypted is None:
            return None
        return self._cipher.decrypt(debtor.ssn_last4_encrypted, self._place)

    @property
    def _place(self) -> bytes:
        return place(SSN_COLUMN, self._agency_id)
