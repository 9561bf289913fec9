"""Changing one account: locked first, then written where status and version are still what was judged."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from db.account_json import ACCOUNT_FIELDS
from db.models import Account
from db.store import Store
from domain.accounts import AccountStatus, legal_moves
from domain.errors import Conflict, NotFound
from domain.holds import OF_THE_PERSON, STOPS_WORK


@dataclass(frozen=True, slots=True)
class LockedAccount:
    """An account that this transaction alone may change, and its debtor, too."""

    id: UUID
    debtor_id: UUID
    status: AccountStatus
    version: int
    balance: Decimal
    currency: str
    assigned_to: UUID | None
    held: bool
    promised: bool
    closed_reason: str | None
    admitted_at: datetime | None
    released_at: datetime | None

    @property
    def worked(self) -> bool:
        """Whether it is marked as having a lifecycle; one may just be starting."""
        return self.admitted_at is not None and self.released_at is None


class AccountChangeStore(Store):
    """Changes of single accounts of one agency."""

    async def lock(self, account_id: UUID) -> LockedAccount:
        """Lock an account; ``NotFound``.

        Its debtor is locked first, then all accounts of theirs, by id, as everywhere: a hold of the person
        changes the others, too.
        """
        values, driver = {"agency": self._agency_id, "account": account_id}, await self._driver()
        async with driver.pipeline():
            await driver.execute(_LOCK_DEBTOR, values)
            locked = await driver.execute(_LOCK_ACCOUNTS, values)
        for row in await locked.fetchall():
            if row[0] == account_id:
                return _locked(row)
        raise NotFound("there is no such account")

    async def change(self, account: LockedAccount, **values: Any) -> LockedAccount:
        """Write ``values`` and the next version. ``Conflict`` when the account is not as it was judged."""
        judged = {
            "agency": self._agency_id,
            "account": account.id,
            "judged_status": account.status.value,
            "judged_version": account.version,
        }
        changed = await self._fetch(_change(tuple(values)), {**values, **judged})
        if not changed:
            raise Conflict("the account was changed by somebody else at the same moment; look at it again")
        return _locked(changed[0])

    async def hold_person(self, debtor_id: UUID, account_id: UUID) -> list[UUID]:
        """Bring ``held`` of the debtor's other accounts in line with the holds in force; which changed.

        ``lock`` has locked them.
        """
        rows = await self._session.scalars(
            _HOLD_OTHERS,
            {
                "agency": self._agency_id,
                "debtor": debtor_id,
                "account": account_id,
                "stopping": sorted(STOPS_WORK),
                "personal": sorted(OF_THE_PERSON),
            },
        )
        return list(rows)

    async def others(self, debtor_id: UUID, account_id: UUID) -> list[UUID]:
        """The debtor's other accounts."""
        rows = await self._session.scalars(
            select(Account.id).where(
                Account.agency_id == self._agency_id, Account.debtor_id == debtor_id, Account.id != account_id
            )
        )
        return list(rows)

    async def today(self) -> date:
        """The date where the agency is."""
        found: date = await self._session.scalar(_TODAY, {"agency": self._agency_id})
        return found

    async def json(self, account_id: UUID) -> dict[str, Any]:
        """The account as callers see it after a change: ``services.account_views.ChangedAccount``."""
        shown: dict[str, Any] = await self._session.scalar(
            _JSON, {"agency": self._agency_id, "account": account_id}
        )
        shown["legal_moves"] = [move.value for move in legal_moves(AccountStatus(shown["status"]))]
        return shown


_LOCKED = tuple(field.name for field in fields(LockedAccount))
_COLUMNS = ", ".join(_LOCKED)


def _locked(row: Sequence[Any]) -> LockedAccount:
    values = dict(zip(_LOCKED, row, strict=True))
    return LockedAccount(**{**values, "status": AccountStatus(values["status"])})


@lru_cache(maxsize=64)
def _change(columns: tuple[str, ...]) -> bytes:
    """The statement that writes these columns of an account; the names are the caller's, never a user's."""
    if not set(columns) <= set(Account.__table__.columns.keys()):
        raise LookupError(f"an account has no such columns: {', '.join(columns)}")
    written = "".join(f"{column} = %({column})s, " for column in columns)
    return f"""
        UPDATE account SET {written}version = version + 1, updated_at = now()
         WHERE agency_id = %(agency)s AND id = %(account)s AND status = %(judged_status)s
           AND version = %(judged_version)s
        RETURNING {_COLUMNS}""".encode()


_LOCK_DEBTOR = b"""
    SELECT FROM debtor d
     WHERE d.agency_id = %(agency)s
       AND d.id = (SELECT debtor_id FROM account WHERE agency_id = %(agency)s AND id = %(account)s)
       FOR NO KEY UPDATE
"""

_LOCK_ACCOUNTS = f"""
    SELECT {_COLUMNS}
      FROM account
     WHERE agency_id = %(agency)s
       AND debtor_id = (SELECT debtor_id FROM account WHERE agency_id = %(agency)s AND id = %(account)s)
     ORDER BY id FOR NO KEY UPDATE
""".encode()

_HOLD_OTHERS = text("""
    WITH others AS (
        SELECT a.id, EXISTS (
                 SELECT FROM hold h
                  WHERE h.agency_id = :agency AND h.debtor_id = :debtor AND h.released_at IS NULL
                    AND h.kind = ANY(:stopping) AND (h.account_id = a.id OR h.kind = ANY(:personal))) AS held
          FROM account a
         WHERE a.agency_id = :agency AND a.debtor_id = :debtor AND a.id <> :account)
    UPDATE account a SET held = others.held, version = version + 1, updated_at = now()
      FROM others WHERE a.agency_id = :agency AND a.id = others.id AND a.held <> others.held
    RETURNING a.id
""")

_TODAY = text("SELECT CAST(now() AT TIME ZONE time_zone AS date) FROM agency WHERE id = :agency")

COLON = r"\:"
"""A colon that is none of a parameter, to SQLAlchemy."""

_JSON = text(f"""
    SELECT json_build_object({ACCOUNT_FIELDS.replace(":", COLON)},
        'version', a.version, 'held', a.held, 'promised', a.promised, 'closed_reason', a.closed_reason)
      FROM account a
      JOIN creditor c ON c.agency_id = a.agency_id AND c.id = a.creditor_id
      JOIN debtor d ON d.agency_id = a.agency_id AND d.id = a.debtor_id
      LEFT JOIN collector k ON k.agency_id = a.agency_id AND k.id = a.assigned_to
      LEFT JOIN account_score s ON s.agency_id = a.agency_id AND s.account_id = a.id
     WHERE a.agency_id = :agency AND a.id = :account
""")
