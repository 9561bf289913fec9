"""Holds: what forbids to work an account, or to reach its debtor in one way."""

from collections.abc import Iterable
from enum import StrEnum


class HoldKind(StrEnum):
    """Why an account, or a way of contact, is left alone."""

    CEASE = "cease"
    """The person wrote that communication shall cease (12 CFR 1006.6(c))."""
    ATTORNEY = "attorney"
    """The person is represented by an attorney in this debt (12 CFR 1006.6(b)(2))."""
    BANKRUPTCY = "bankruptcy"
    """A petition was filed; collection is stayed (11 U.S.C. 362)."""
    DECEASED = "deceased"
    """The person has died; only an authorised representative is spoken to."""
    SCRA = "scra"
    """The person is in military service (50 U.S.C. 3901 and following)."""
    WORKPLACE = "workplace"
    """The employer forbids such contact at work (12 CFR 1006.6(b)(3))."""
    CHARGEBACK = "chargeback"
    """A payment is being disputed at the bank."""
    OPT_OUT_CALL = "opt_out_call"
    """The person asked not to be called (12 CFR 1006.14(h)); the others likewise."""
    OPT_OUT_EMAIL = "opt_out_email"
    OPT_OUT_SMS = "opt_out_sms"
    OPT_OUT_LETTER = "opt_out_letter"


K = HoldKind

OF_THE_PERSON = frozenset(
    {
        K.BANKRUPTCY,
        K.DECEASED,
        K.SCRA,
        K.WORKPLACE,
        K.OPT_OUT_CALL,
        K.OPT_OUT_EMAIL,
        K.OPT_OUT_SMS,
        K.OPT_OUT_LETTER,
    }
)
"""Holds that count on every account of the debtor; the others are about the one debt."""

STOPS_WORK = frozenset({K.CEASE, K.ATTORNEY, K.BANKRUPTCY, K.DECEASED, K.SCRA, K.CHARGEBACK})
"""Holds that take the account off the worklist; the others close one way of contact only."""

STOPS_WORK_ON_ALL = OF_THE_PERSON & STOPS_WORK
"""Holds that take every account of the debtor off the worklist, those that are placed later, too."""


def stops_work(kinds: Iterable[str]) -> bool:
    """Whether holds of these kinds keep an account off the worklist."""
    return any(kind in STOPS_WORK for kind in kinds)
