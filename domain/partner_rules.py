"""A partner's rules as data: how its references are read, which differences resolve themselves.

Parsing them is the business of ``db.partner_rule_files``, which refuses what contradicts itself.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from string import ascii_lowercase, ascii_uppercase
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from domain.payments import PaymentMethod
from domain.reconciliation import BreakKind, Fee

Path = tuple[str | int, ...]
Days = Annotated[int, Field(strict=True, ge=0, le=366)]
MOST_PREFIXES = 100
MOST_RULES = 100


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must not contain line breaks or control characters")
    return value


Name = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_printable),
]
Prefix = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=30), AfterValidator(_printable)
]
Cents = Annotated[Decimal, Field(ge=0, max_digits=14, decimal_places=2, allow_inf_nan=False)]
Percent = Annotated[Decimal, Field(ge=0, le=100, max_digits=7, decimal_places=4, allow_inf_nan=False)]

_PUNCTUATION = re.compile(r"[^0-9A-Za-z]+")
_CAPITALS = str.maketrans(ascii_lowercase, ascii_uppercase)
"""Of ASCII only, as in the database: what Unicode makes of a letter is not the same everywhere."""


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Variants(_Rule):
    """What two references may differ in and still be the same; applied in the order of the fields."""

    strip_prefixes: tuple[Prefix, ...] = Field(default=(), max_length=MOST_PREFIXES)
    ignore_case: bool = False
    ignore_punctuation: bool = False
    ignore_leading_zeros: bool = False

    def key(self, reference: str) -> str:
        """What is compared instead of ``reference``; empty for one that nothing is left of."""
        text = self._cased(reference.strip(" "))
        for prefix in self.prefixes:
            if text.startswith(prefix):
                text = text[len(prefix) :]
                break
        if self.ignore_punctuation:
            text = _PUNCTUATION.sub("", text)
        return text.lstrip("0") if self.ignore_leading_zeros else text

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefixes as they are looked for: the longest first, one of them at most."""
        return tuple(sorted(map(self._cased, self.strip_prefixes), key=lambda p: (-len(p), p)))

    @property
    def pattern(self) -> str:
        """A regular expression for one of the prefixes at the beginning."""
        return f"^(?:{'|'.join(map(re.escape, self.prefixes))})"

    @property
    def any(self) -> bool:
        """Whether anything but the exact reference is ever the same."""
        return bool(
            self.strip_prefixes or self.ignore_case or self.ignore_punctuation or self.ignore_leading_zeros
        )

    def _cased(self, text: str) -> str:
        return text.translate(_CAPITALS) if self.ignore_case else text


class PaymentMatching(_Rule):
    """How a line about money finds its payment when no reference tells; never by its amount alone.

    ``by_account``: the account's reference, the amount and the date; ``by_name``: the payer's name, the
    amount and the date; ``splits``: several lines of one reference, account or payer add up to a payment.
    ``window_days``: how far the two dates may be apart. ``methods``: only such payments are missed when the
    partner does not state them.
    """

    window_days: Days = 3
    by_account: bool = True
    by_name: bool = True
    splits: bool = True
    methods: tuple[PaymentMethod, ...] = tuple(PaymentMethod)


class Matching(_Rule):
    """What is tried for lines whose reference is not exactly ours."""

    variants: Variants | None = None
    payments: PaymentMatching = PaymentMatching()


class FeeRule(_Rule):
    """A fee that the partner is known to take."""

    name: Name
    fixed: Cents = Decimal(0)
    percent: Percent = Decimal(0)


class ResolvableKind(StrEnum):
    """Differences that a rule may resolve: those whose cause is known."""

    TIMING = "timing"
    FEE = "fee"


class ResolveRule(_Rule):
    """Resolves one kind of difference by itself.

    ``within_days``: as long as the partner's record is at most so old (timing). ``fee``: only this fee (fee).
    ``up_to``: only differences of at most this amount.
    """

    kind: ResolvableKind
    within_days: Days | None = None
    fee: Name | None = None
    up_to: Cents | None = None

    @property
    def label(self) -> str:
        """What a break that it resolved says of it."""
        if self.kind is ResolvableKind.TIMING:
            return f"timing within {self.within_days} days"
        return f"fee {self.fee}" if self.fee else "any known fee"


class PartnerRuleBook(_Rule):
    """All rules of one partner; without any, references are exact and nothing resolves itself."""

    matching: Matching = Matching()
    fees: tuple[FeeRule, ...] = Field(default=(), max_length=MOST_RULES)
    resolve: tuple[ResolveRule, ...] = Field(default=(), max_length=MOST_RULES)

    def known_fees(self) -> tuple[Fee, ...]:
        """The fees as a difference is judged by them."""
        return tuple(Fee(fee.name, fee.fixed, fee.percent) for fee in self.fees)

    def resolving(self, kind: BreakKind) -> tuple[ResolveRule, ...]:
        """The rules that may resolve differences of a kind."""
        return tuple(rule for rule in self.resolve if rule.kind.value == kind.value)

    def contradictions(self) -> Iterator[tuple[Path, str]]:
        """Where the rules contradict themselves or can never apply: the place, and what to do."""
        variants = self.matching.variants
        if variants is not None:
            yield from _variants(variants)
        seen: set[str] = set()
        for i, fee in enumerate(self.fees):
            if fee.name in seen:
                yield ("fees", i, "name"), f"the fee {fee.name} is there already; give each its own name"
            seen.add(fee.name)
            if not fee.fixed and not fee.percent:
                yield ("fees", i), f"the fee {fee.name} is nothing; give it fixed or percent"
        yield from self._resolving(seen)

    def _resolving(self, fees: set[str]) -> Iterator[tuple[Path, str]]:
        seen: set[tuple[ResolvableKind, str | None]] = set()
        for i, rule in enumerate(self.resolve):
            if rule.kind is ResolvableKind.TIMING:
                if rule.within_days is None:
                    yield ("resolve", i), "timing needs within_days: how old the partner's record may be"
                if rule.fee is not None:
                    yield ("resolve", i, "fee"), "timing has no fee; leave it out"
            else:
                if rule.within_days is not None:
                    yield ("resolve", i, "within_days"), "a fee has no days; leave within_days out"
                if not fees:
                    yield ("resolve", i), "there are no fees to resolve; name them under fees"
                elif rule.fee is not None and rule.fee not in fees:
                    known = ", ".join(sorted(fees))
                    yield ("resolve", i, "fee"), f"there is no fee {rule.fee}; known are {known}"
            target = (rule.kind, rule.fee)
            if target in seen or (rule.kind, None) in seen or (rule.fee is None and _has(seen, rule.kind)):
                yield ("resolve", i), f"another rule resolves this already ({rule.label}); keep one of them"
            seen.add(target)


def _variants(variants: Variants) -> Iterator[tuple[Path, str]]:
    place: Path = ("matching", "variants")
    if not variants.any:
        yield place, "variants are asked for, but none is allowed; switch one on or leave them out"
    for i, prefix in enumerate(variants.strip_prefixes):
        if prefix in variants.strip_prefixes[:i]:
            yield (*place, "strip_prefixes", i), f"the prefix {prefix} is there already"


def _has(seen: set[tuple[ResolvableKind, str | None]], kind: ResolvableKind) -> bool:
    return any(known is kind for known, _ in seen)
