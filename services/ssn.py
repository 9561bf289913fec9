"""Social security digits: who is shown them, and how."""

from typing import TYPE_CHECKING

from domain.tenancy import Role

if TYPE_CHECKING:
    from db.models import Debtor
    from db.session import Transaction

HIDDEN_SSN = "***-**-****"
"""A social security number that is on file and that the caller may not see."""

SEES_SSN = frozenset({Role.AGENCY_ADMIN, Role.COLLECTOR})
"""Roles that see the last four SSN digits of the debtors they see at all; a collector sees only those of
their own accounts, and needs the digits to be sure who is on the telephone. Auditors and the platform
do not."""


def shown_ssn(tx: "Transaction", debtor: "Debtor", *, with_digits: bool) -> str | None:
    """A debtor's number with the last four digits or none of them; None when none is on file."""
    if debtor.ssn_last4_encrypted is None:
        return None
    return f"***-**-{tx.debtors.ssn_last4(debtor)}" if with_digits else HIDDEN_SSN
