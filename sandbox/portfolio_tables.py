"""What invented portfolios are made of: people, places, creditors, and how risk is spread.

Domains are reserved for examples (RFC 2606) and telephone numbers for fiction (555-0100 to
555-0199), so that nothing sent by mistake reaches anyone. Weights are whole numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

GIVEN_NAMES = (
    *("Aaliyah", "Adam", "Aisha", "Alejandro", "Amara", "Amy", "Andrew", "Angela", "Anthony", "Beatriz"),
    *("Benjamin", "Brandon", "Brenda", "Caleb", "Camila", "Carlos", "Carol", "Chloé", "Christopher", "Dana"),
    *("Daniel", "David", "Deborah", "Denise", "Diego", "Donna", "Elena", "Emily", "Eric", "Esther"),
    *("Fatima", "Felipe", "Gloria", "Grace", "Gregory", "Hannah", "Hector", "Henry", "Imani", "Irene"),
    *("Isaac", "Jasmine", "Jennifer", "Jerome", "Jessica", "Joanna", "John", "José", "Karen", "Keisha"),
    *("Kevin", "Kwame", "Laura", "Leila", "Linda", "Luis", "Malik", "Marcus", "María", "Marie-Claire"),
    *("Martha", "Megan", "Mei", "Michael", "Mohammed", "Monica", "Nadia", "Naomi", "Nathan", "Nicole"),
    *("Oksana", "Olivia", "Omar", "Pamela", "Patrick", "Paul", "Priya", "Quentin", "Rachel", "Ramón"),
    *("Rebecca", "Richard", "Robert", "Rosa", "Ruth", "Samuel", "Sandra", "Scott", "Siobhan", "Sofía"),
    *("Stephanie", "Steven", "Tamara", "Teresa", "Thomas", "Tyrone", "Valentina", "Victor", "Wei", "Zoë"),
)
FAMILY_NAMES = (
    *("Abernathy", "Acosta", "Adeyemi", "Albright", "Andersen", "Arroyo", "Bailey", "Banerjee", "Barrett"),
    *("Bauer", "Bennett", "Blackwood", "Boateng", "Brennan", "Calloway", "Carmichael", "Castellanos", "Chen"),
    *("Cohen", "Crawford", "D'Angelo", "Delacroix", "Delgado", "Donovan", "Dubois", "Ellsworth", "Espinoza"),
    *("Fairchild", "Farouk", "Ferreira", "Fitzgerald", "Fontaine", "Gallagher", "Goldberg", "Granger"),
    *("Guerrero", "Gupta", "Hale", "Hargrove", "Hassan", "Hawthorne", "Holloway", "Ibrahim", "Iverson"),
    *("Jankowski", "Jefferson", "Kaplan", "Kaur", "Kimura", "Kowalski", "Lafayette", "Larsen", "Lindqvist"),
    *("Livingston", "Lombardi", "Maldonado", "Marchetti", "McAllister", "Mensah", "Montgomery", "Moreau"),
    *(
        "Müller",
        "Nakamura",
        "Ngo",
        "Novak",
        "Núñez",
        "O'Connell",
        "O'Sullivan",
        "Okafor",
        "Olmstead",
        "Ortega",
    ),
    *(
        "Park",
        "Patel",
        "Pemberton",
        "Petrov",
        "Prescott",
        "Quintero",
        "Ramsey",
        "Reyes",
        "Rosenthal",
        "Russo",
    ),
    *("Salazar", "Schneider", "Shapiro", "Sinclair", "St. John", "Sutherland", "Takahashi", "Thornton"),
    *("Tran", "Underhill", "Valdez", "Van der Berg", "Vasquez", "Whitaker", "Winslow", "Yamamoto", "Zhang"),
)
SUFFIXES = {"": 96, ", Jr.": 3, ", III": 1}
STREETS = (
    *("Alder Lane", "Birch Street", "Cedar Avenue", "Chestnut Street", "Dogwood Drive", "Elm Street"),
    *(
        "Foundry Road",
        "Garden Street",
        "Harbor View Drive",
        "Juniper Court",
        "Lakeshore Drive",
        "Maple Avenue",
    ),
    *("Mill Road", "Oak Hill Road", "Orchard Street", "Park Place", "Quarry Road", "River Street"),
    *("Spruce Court", "Sycamore Avenue", "Union Street", "Valley Road", "Walnut Street", "Willow Way"),
)
UNITS: Mapping[str | None, int] = {None: 72, "Apt": 18, "Unit": 6, "Suite": 4}
MAIL_DOMAINS = {"example.com": 5, "example.net": 3, "example.org": 2}

PLACES = (
    # city, state, first three digits of the postal code, area code
    ("New York", "NY", "100", "212"),
    ("Brooklyn", "NY", "112", "718"),
    ("Boston", "MA", "021", "617"),
    ("Philadelphia", "PA", "191", "215"),
    ("Washington", "DC", "200", "202"),
    ("Atlanta", "GA", "303", "404"),
    ("Miami", "FL", "331", "305"),
    ("Tampa", "FL", "336", "813"),
    ("Charlotte", "NC", "282", "704"),
    ("Detroit", "MI", "482", "313"),
    ("Cleveland", "OH", "441", "216"),
    ("Chicago", "IL", "606", "312"),
    ("Minneapolis", "MN", "554", "612"),
    ("St. Louis", "MO", "631", "314"),
    ("Houston", "TX", "770", "713"),
    ("Dallas", "TX", "752", "214"),
    ("San Antonio", "TX", "782", "210"),
    ("Denver", "CO", "802", "303"),
    ("Phoenix", "AZ", "850", "602"),
    ("Las Vegas", "NV", "891", "702"),
    ("Los Angeles", "CA", "900", "213"),
    ("San Diego", "CA", "921", "619"),
    ("San Francisco", "CA", "941", "415"),
    ("Seattle", "WA", "981", "206"),
)


@dataclass(frozen=True, slots=True)
class SampleCreditor:
    """An invented creditor; what it places lies between ``low`` and ``high`` (whole currency units)."""

    name: str
    account_type: str
    low: int
    high: int


CARDS = SampleCreditor("Northlight Card Services", "credit_card", 300, 18_000)
MEDICAL = SampleCreditor("Harborview Medical Group", "medical", 120, 24_000)
AUTO = SampleCreditor("Meridian Auto Finance", "auto_loan", 2_000, 38_000)
RENT = SampleCreditor("Cobblestone Residential, LLC", "rent", 600, 9_500)
UTILITY = SampleCreditor("Tri-County Power & Light", "utility", 60, 1_800)
TELECOM = SampleCreditor("Bluebird Wireless", "telecom", 50, 1_500)
LOANS = SampleCreditor("Evergreen Personal Loans", "personal_loan", 500, 25_000)
TUITION = SampleCreditor("Lakeside College Bursar", "tuition", 400, 14_000)
CREDITORS = (CARDS, MEDICAL, AUTO, RENT, UTILITY, TELECOM, LOANS, TUITION)


class Distribution(StrEnum):
    """How risk is spread over a portfolio."""

    BALANCED = "balanced"
    HIGH_RISK = "high-risk"
    LOW_RISK = "low-risk"


@dataclass(frozen=True, slots=True, eq=False)
class RiskMix:
    """What one class of debtors is like: weights by value, ``None`` where the creditor does not know.

    ``incomes`` are bands of whole currency units a month, ``amount_percent`` scales what
    is owed above the creditor's least.
    """

    incomes: Mapping[tuple[int, int] | None, int]
    late_payments: Mapping[int | None, int]
    employment_status: Mapping[str | None, int]
    contract_type: Mapping[str | None, int]
    industry_sector: Mapping[str | None, int]
    family_situation: Mapping[str | None, int]
    amount_percent: int


def _mix(names: Sequence[str], weights: Sequence[int], unknown: int) -> Mapping[str | None, int]:
    return {None: unknown, **dict(zip(names, weights, strict=True))}


# Each in the order of rising points of recovery-v1, so that a class of debtors is a slope of weights.
_EMPLOYMENT = ("GOVERNMENT_EMPLOYED", "EMPLOYED", "RETIRED", "SELF_EMPLOYED", "STUDENT", "UNEMPLOYED")
_CONTRACT = ("PERMANENT", "CONTRACT", "TEMPORARY", "FREELANCE")
_INDUSTRY = (
    *("GOVERNMENT", "HEALTHCARE", "UTILITIES", "EDUCATION", "INSURANCE", "TECHNOLOGY", "FINANCE"),
    *("PROFESSIONAL_SERVICES", "TELECOMMUNICATIONS", "MANUFACTURING", "TRANSPORTATION", "ENERGY", "RETAIL"),
    *("REAL_ESTATE", "HOSPITALITY", "CONSTRUCTION", "ENTERTAINMENT"),
)
_FAMILY = (
    *("MARRIED_DUAL_INCOME", "MARRIED_SINGLE_INCOME", "SINGLE_NO_DEPENDENTS", "UNMARRIED_LIVING_TOGETHER"),
    *("DIVORCED_NO_DEPENDENTS", "SINGLE_WITH_DEPENDENTS", "DIVORCED_WITH_DEPENDENTS"),
    "WIDOWED_WITH_DEPENDENTS",
)
MIDDLING = RiskMix(
    incomes={None: 8, (0, 1): 4, (900, 2_400): 30, (2_400, 4_800): 38, (4_800, 11_000): 20},
    late_payments={None: 6, 0: 22, 1: 16, 2: 14, 3: 12, 4: 9, 5: 8, 6: 6, 8: 4, 12: 3},
    employment_status=_mix(_EMPLOYMENT, (9, 40, 12, 13, 6, 14), unknown=6),
    contract_type=_mix(_CONTRACT, (46, 18, 17, 11), unknown=8),
    industry_sector=_mix(_INDUSTRY, (6, 9, 3, 7, 4, 7, 6, 6, 4, 8, 6, 3, 10, 3, 8, 7, 3), unknown=10),
    family_situation=_mix(_FAMILY, (22, 14, 22, 9, 8, 10, 8, 3), unknown=9),
    amount_percent=75,
)
STRAINED = RiskMix(
    incomes={None: 8, (0, 1): 22, (400, 1_400): 46, (1_400, 2_800): 20, (2_800, 6_000): 4},
    late_payments={None: 4, 0: 2, 1: 4, 2: 6, 3: 10, 4: 13, 5: 14, 6: 17, 8: 16, 12: 14},
    employment_status=_mix(_EMPLOYMENT, (1, 9, 6, 14, 16, 49), unknown=5),
    contract_type=_mix(_CONTRACT, (8, 17, 36, 33), unknown=6),
    industry_sector=_mix(_INDUSTRY, (1, 2, 1, 2, 1, 2, 2, 2, 2, 6, 6, 4, 16, 7, 17, 16, 11), unknown=5),
    family_situation=_mix(_FAMILY, (4, 6, 10, 8, 10, 24, 22, 11), unknown=5),
    amount_percent=100,
)
STEADY = RiskMix(
    incomes={None: 4, (0, 1): 1, (1_800, 3_600): 15, (3_600, 7_000): 45, (7_000, 16_000): 35},
    late_payments={None: 4, 0: 58, 1: 20, 2: 11, 3: 4, 4: 2, 5: 1},
    employment_status=_mix(_EMPLOYMENT, (26, 52, 12, 5, 1, 1), unknown=3),
    contract_type=_mix(_CONTRACT, (82, 9, 3, 2), unknown=4),
    industry_sector=_mix(_INDUSTRY, (14, 14, 8, 13, 8, 11, 8, 7, 4, 4, 3, 1, 1, 1, 1, 1, 1), unknown=4),
    family_situation=_mix(_FAMILY, (50, 20, 15, 4, 3, 2, 1, 1), unknown=4),
    amount_percent=50,
)

SHARES: Mapping[Distribution, Mapping[RiskMix, int]] = {
    Distribution.BALANCED: {STEADY: 30, MIDDLING: 45, STRAINED: 25},
    Distribution.HIGH_RISK: {STEADY: 3, MIDDLING: 17, STRAINED: 80},
    Distribution.LOW_RISK: {STEADY: 80, MIDDLING: 17, STRAINED: 3},
}
"""The classes of debtors in a portfolio, by weight: the facts of one debtor go together."""
