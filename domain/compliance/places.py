"""Where people may be: states and their time zones, by telephone number, address and what is known."""

from collections.abc import Mapping
from types import MappingProxyType

import phonenumbers
from phonenumbers import PhoneNumberType
from phonenumbers.timezone import UNKNOWN_TIMEZONE, time_zones_for_number

EASTERN, CENTRAL = "America/New_York", "America/Chicago"
MOUNTAIN, PACIFIC = "America/Denver", "America/Los_Angeles"

STATE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "AL": "Alabama",
        "AK": "Alaska",
        "AZ": "Arizona",
        "AR": "Arkansas",
        "CA": "California",
        "CO": "Colorado",
        "CT": "Connecticut",
        "DE": "Delaware",
        "DC": "District of Columbia",
        "FL": "Florida",
        "GA": "Georgia",
        "HI": "Hawaii",
        "ID": "Idaho",
        "IL": "Illinois",
        "IN": "Indiana",
        "IA": "Iowa",
        "KS": "Kansas",
        "KY": "Kentucky",
        "LA": "Louisiana",
        "ME": "Maine",
        "MD": "Maryland",
        "MA": "Massachusetts",
        "MI": "Michigan",
        "MN": "Minnesota",
        "MS": "Mississippi",
        "MO": "Missouri",
        "MT": "Montana",
        "NE": "Nebraska",
        "NV": "Nevada",
        "NH": "New Hampshire",
        "NJ": "New Jersey",
        "NM": "New Mexico",
        "NY": "New York",
        "NC": "North Carolina",
        "ND": "North Dakota",
        "OH": "Ohio",
        "OK": "Oklahoma",
        "OR": "Oregon",
        "PA": "Pennsylvania",
        "RI": "Rhode Island",
        "SC": "South Carolina",
        "SD": "South Dakota",
        "TN": "Tennessee",
        "TX": "Texas",
        "UT": "Utah",
        "VT": "Vermont",
        "VA": "Virginia",
        "WA": "Washington",
        "WV": "West Virginia",
        "WI": "Wisconsin",
        "WY": "Wyoming",
    }
)
"""The fifty states and the District of Columbia."""

STATE_ZONES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("CT", "DE", "DC", "GA", "ME", "MD", "MA", "NH", "NJ"), (EASTERN,)),
        **dict.fromkeys(("NY", "NC", "OH", "PA", "RI", "SC", "VT", "VA", "WV"), (EASTERN,)),
        **dict.fromkeys(("AR", "IL", "IA", "LA", "MN", "MS", "MO", "OK", "WI"), (CENTRAL,)),
        **dict.fromkeys(("CO", "MT", "NM", "UT", "WY"), (MOUNTAIN,)),
        **dict.fromkeys(("CA", "WA"), (PACIFIC,)),
        **dict.fromkeys(("FL", "KY", "TN"), (EASTERN, CENTRAL)),
        **dict.fromkeys(("KS", "NE", "ND", "SD", "TX"), (CENTRAL, MOUNTAIN)),
        # Around Phenix City clocks are set to Eastern time, by habit.
        "AL": (CENTRAL, EASTERN),
        "AK": ("America/Anchorage", "America/Adak"),
        # The Navajo Nation keeps daylight saving time, the rest of Arizona does not.
        "AZ": ("America/Phoenix", MOUNTAIN),
        "HI": ("Pacific/Honolulu",),
        "ID": ("America/Boise", PACIFIC),
        "IN": ("America/Indiana/Indianapolis", CENTRAL),
        "MI": ("America/Detroit", "America/Menominee"),
        "NV": (PACIFIC, MOUNTAIN),
        "OR": (PACIFIC, "America/Boise"),
        "AS": ("Pacific/Pago_Pago",),
        "GU": ("Pacific/Guam",),
        "MP": ("Pacific/Saipan",),
        "PR": ("America/Puerto_Rico",),
        "VI": ("America/St_Thomas",),
    }
)
"""All zones of each state and territory, the prevailing one first."""

_ONE_ZONE: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "AL": (("350-367", CENTRAL), ("369", CENTRAL)),
        "AK": (("996-999", "America/Anchorage"),),
        "AZ": (("850-859", "America/Phoenix"), ("863-864", "America/Phoenix")),
        "FL": (("320-323", EASTERN), ("326-349", EASTERN), ("325", CENTRAL)),
        "ID": (("832-834", "America/Boise"), ("836-837", "America/Boise"), ("838", PACIFIC)),
        "IN": (
            *(("460-462", "America/Indiana/Indianapolis"), ("466-474", "America/Indiana/Indianapolis")),
            *(("478", "America/Indiana/Indianapolis"), ("463-464", CENTRAL), ("476-477", CENTRAL)),
        ),
        "KS": (("660-676", CENTRAL), ("679", CENTRAL)),
        "KY": (("400", EASTERN), ("402-418", EASTERN), ("420-424", CENTRAL)),
        "MI": (("480-497", "America/Detroit"),),
        "ND": (("580-584", CENTRAL), ("587", CENTRAL)),
        "NE": (("680-689", CENTRAL), ("693", MOUNTAIN)),
        "NV": (("889-897", PACIFIC),),
        "OR": (("970-978", PACIFIC),),
        "SD": (("570-574", CENTRAL), ("577", MOUNTAIN)),
        "TN": (
            *(("370-372", CENTRAL), ("380-385", CENTRAL), ("374", EASTERN)),
            *(("376", EASTERN), ("378-379", EASTERN)),
        ),
        "TX": (("750-797", CENTRAL), ("799", MOUNTAIN), ("885", MOUNTAIN)),
    }
)
"""Where a state has several zones: ranges of three-digit ZIP prefixes that lie in one of them.

A prefix that is not here (or that lies on both sides of a line) stands for all zones of its state.
"""

_CODES = {name.upper(): code for code, name in STATE_NAMES.items()}
_HERE = frozenset({"", "US", "USA", "U.S.", "U.S.A.", "UNITED STATES", "UNITED STATES OF AMERICA"})
_PLACED = frozenset(
    {PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}
)


def state_code(state: str | None) -> str | None:
    """The two letters of a state or territory, given as code or name in any case; else ``None``."""
    text = " ".join((state or "").upper().split())
    return text if text in STATE_ZONES else _CODES.get(text)


def zones_of(
    phone: str | None,
    state: str | None,
    postal_code: str | None,
    known: str | None,
    country: str | None = "US",
) -> tuple[str, ...]:
    """Every zone (IANA names, sorted) that any of the facts points to; empty when none does.

    12 CFR 1006.6(b)(1)(i) asks for the time "at the consumer's location"; where facts point to different
    zones, its comments let a collector rely on times that are convenient in all of them.
    ``phone`` in E.164: numbers without a place (toll-free and the like) say nothing. ``state`` and
    ``postal_code`` count for addresses in the United States. ``known`` is a zone that was told or found out.
    """
    zones = {*_zones_of_phone(phone), *_zones_of_address(state, postal_code, country)}
    return tuple(sorted(zones | {known} if known else zones))


def _zones_of_phone(phone: str | None) -> tuple[str, ...]:
    try:
        number = phonenumbers.parse(phone or "", None)
    except phonenumbers.NumberParseException:
        return ()
    if phonenumbers.number_type(number) not in _PLACED:
        return ()
    return tuple(zone for zone in time_zones_for_number(number) if zone != UNKNOWN_TIMEZONE)


def _zones_of_address(state: str | None, postal_code: str | None, country: str | None) -> tuple[str, ...]:
    code = state_code(state)
    if code is None or (country or "").strip().upper() not in _HERE:
        return ()
    prefix = (postal_code or "").strip()[:3]
    if len(prefix) == 3 and prefix.isascii() and prefix.isdecimal():  # noqa: PLR2004 (a ZIP's sectional centre)
        for span, zone in _ONE_ZONE.get(code, ()):
            first, _, last = span.partition("-")
            if first <= prefix <= (last or first):
                return (zone,)
    return STATE_ZONES[code]
