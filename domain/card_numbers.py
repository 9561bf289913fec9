"""Telling numbers of payment cards from other digits, so that none is kept (PCI DSS 3.2)."""

import re
from collections.abc import Iterator

LEAST, MOST = 13, 19
"""How many digits the number of a card has (ISO/IEC 7812-1)."""

_DIGITS = re.compile(r"\d+(?:[\s\u2010-\u2015-]\d+)*")
"""Digits in groups, with one space or dash between two."""

_NETWORKS = re.compile(r"2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[04-9]|[456]")
"""What numbers of cards begin with; times and dates as digits begin otherwise."""

_RANDOM = re.compile(
    r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9]*[a-f])[0-9a-f]{32,})\b", re.IGNORECASE
)
"""Ids and digests in hexadecimal digits, in which any run of digits may stand."""


def has_card_number(text: str) -> bool:
    """Whether the number of a card stands in a text: 13 to 19 digits, spaces and dashes between allowed, as
    a card network gives them out and with the check digit of ISO/IEC 7812-1 annex B (Luhn).
    """
    return any(
        _NETWORKS.match(number) is not None and _checks(number)
        for chain in _DIGITS.findall(_RANDOM.sub(" . ", text))
        for number in _numbers(chain)
    )


def _numbers(chain: str) -> Iterator[str]:
    """What may be a number: neighbouring groups of a chain that have as many digits together."""
    groups = ["".join(str(int(digit)) for digit in group) for group in re.findall(r"\d+", chain)]
    for start in range(len(groups)):
        number = ""
        for group in groups[start:]:
            number += group
            if len(number) > MOST:
                break
            if len(number) >= LEAST:
                yield number


def _checks(number: str) -> bool:
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number)))
    return sum(sum(divmod(value, 10)) for value in doubled) % 10 == 0
