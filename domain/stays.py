"""Acts to collect that the law stays, whatever status an account was given by hand."""

from collections.abc import Iterable
from uuid import UUID

from domain.errors import Conflict
from domain.holds import HoldKind


def check_not_stayed(holds: Iterable[str], unanswered: UUID | None, what: str) -> None:
    """``Conflict`` when ``what`` (in words) is asked of an account while every act to collect is stayed.

    That is in a bankruptcy (11 U.S.C. 362(a)(6)), and until a dispute of the validation period, which is
    ``unanswered``, is answered (12 CFR 1006.38(d)(2)).
    """
    if HoldKind.BANKRUPTCY in set(holds):
        raise Conflict(
            f"{what} is not possible while the person is bankrupt (11 U.S.C. 362(a)(6))",
            hold=HoldKind.BANKRUPTCY.value,
        )
    if unanswered is not None:
        raise Conflict(
            f"{what} is not possible until the dispute is answered (12 CFR 1006.38(d)(2))",
            dispute_id=str(unanswered),
        )
