"""Disputes of a debt (12 CFR 1006.38)."""

import re
from collections.abc import Iterable
from datetime import date

from pydantic import BaseModel, ConfigDict

from domain.compliance import validation


class EarlierDispute(BaseModel):
    """A dispute about the same debt; ``answered`` when verification (or the judgment) has been sent."""

    model_config = ConfigDict(frozen=True)

    reason: str
    in_writing: bool
    in_period: bool
    answered: bool


def in_period(received_on: date, validation_sent_on: date | None) -> bool:
    """Whether a dispute came within the validation period, whose last day counts (12 CFR 1006.34(b)(5)).

    Before any notice was sent the period has not begun to run out: it is within.
    """
    return validation_sent_on is None or received_on <= validation.period_end(validation_sent_on)


def is_duplicative(
    reason: str,
    *,
    in_writing: bool,
    in_period: bool,
    new_information: bool,
    earlier: Iterable[EarlierDispute],
) -> bool:
    """Whether a dispute only repeats an answered one (12 CFR 1006.38(a)(1)): it need not be verified again.

    Collection stops for it, too, until verification or a notice was sent that it is duplicative, why, and
    where it was answered (1006.38(d)(2)(ii)).

    Substantially the same as one that was sent in writing within the validation period and has been
    answered, and without new and material information. Sameness is judged by the words, whatever their
    case, spacing and punctuation: what is worded otherwise counts as a new dispute, which is the stricter.
    """
    if new_information or not (in_writing and in_period):
        return False
    words = _words(reason)
    return any(
        other.in_writing and other.in_period and other.answered and _words(other.reason) == words
        for other in earlier
    )


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
