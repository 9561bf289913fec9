"""People and secrets that are unlike anything else, and where they were found."""

import re
from collections.abc import Iterable, Mapping

PERSON = "Zebulonia Quackenthorpe"
OTHER = "Vexillia Drumgoolsby"
SSN = "987-65-4329"
CARD = "4929 1357 2468 1086"
EMAIL = "zeb.quackenthorpe@planted.example"
PHONE = "(214) 555-0147"
STREET = "1729 Marmalade Crescent"
PASSWORD = "swordfish-planted-7Q"

PLANTED: Mapping[str, re.Pattern[str]] = {
    "a name": re.compile(r"zebulonia|quackenthorpe|vexillia|drumgoolsby", re.IGNORECASE),
    "a social security number": re.compile(r"987\D?65\D?4329"),
    "a card number": re.compile(r"4929\D?1357\D?2468\D?1086"),
    "an e-mail address": re.compile(r"@planted\.example", re.IGNORECASE),
    "a phone number": re.compile(r"214\D{0,3}555\D?0147"),
    "an address": re.compile(r"marmalade", re.IGNORECASE),
    "a password": re.compile(r"swordfish", re.IGNORECASE),
}


def leaks(sources: Iterable[tuple[str, str]]) -> list[str]:
    """What was found where: of texts by the name of their place, with what stands around each find."""
    return [
        f"{what} in {place}: …{text[max(0, found.start() - 200) : found.end() + 60]}…"
        for place, text in sources
        for what, pattern in PLANTED.items()
        if (found := pattern.search(text))
    ]
