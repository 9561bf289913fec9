"""A set of rules as data: what the law leaves to numbers, per agency and per state.

A set starts from the federal one and is only ever stricter; ``faults_against`` finds what is not. How
the numbers are applied is in the modules beside this one.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import time
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from domain.compliance.clocks import ZoneName
from domain.compliance.facts import Channel, Place
from domain.compliance.places import STATE_ZONES


def _known_state(code: str) -> str:
    if code not in STATE_ZONES:
        raise ValueError(f"{code} is no state; write its two letters")
    return code


Citation = Annotated[str, StringConstraints(strict=True, min_length=4, max_length=300)]
StateCode = Annotated[str, Field(strict=True), AfterValidator(_known_state)]
Count = Annotated[int, Field(strict=True, ge=1, le=1000)]
Days = Annotated[int, Field(strict=True, ge=1, le=366)]
Path = tuple[str | int, ...]


class DebtType(StrEnum):
    """The kinds of obligation that statutes of limitations tell apart."""

    WRITTEN = "written"
    OPEN_ACCOUNT = "open_account"
    PROMISSORY = "promissory"
    ORAL = "oral"


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Calls(_Rule):
    """At most ``attempts`` calls about one debt within ``days`` consecutive days, and none within
    ``after_conversation_days`` of a conversation, whose date is the first of them. A consent to further
    calls counts for ``consent_days``, its own date being the first.
    """

    attempts: Count
    days: Days
    after_conversation_days: Annotated[int, Field(strict=True, ge=0, le=366)]
    consent_days: Days
    citation: Citation


class Hours(_Rule):
    """From ``opens`` to ``closes`` (both included) at the person's place: "08:00" to "21:00"."""

    opens: time
    closes: time
    citation: Citation

    @model_validator(mode="after")
    def _is_a_day(self) -> Self:
        if self.opens.tzinfo or self.closes.tzinfo or self.opens >= self.closes:
            raise ValueError("must open before it closes, as local times such as 08:00 and 21:00")
        return self


class ContactLimit(_Rule):
    """At most ``attempts`` outbound contacts over ``channels``, taken together, in ``days`` consecutive days.

    ``scope``: about one debt, or about all debts of the person at the agency.
    """

    channels: Annotated[tuple[Channel, ...], Field(min_length=1)]
    attempts: Count
    days: Days
    scope: Literal["debt", "person"] = "debt"
    citation: Citation


class ClosedPlace(_Rule):
    """A place where nobody is contacted at all."""

    place: Literal[Place.HOME, Place.WORK]
    citation: Citation


class StateRules(_Rule):
    """What one state adds; it counts for people who live there."""

    limits: tuple[ContactLimit, ...] = ()
    hours: Hours | None = None
    closed_places: tuple[ClosedPlace, ...] = ()


class Period(_Rule):
    """A statute of limitations: so many whole years."""

    years: Annotated[int, Field(strict=True, ge=1, le=20)]
    citation: Citation


class AccountType(_Rule):
    """What an account type of a portfolio is before the law: the shortest period of these counts.

    ``at_most_years`` is a limit that counts in every state, with its ``citation``.
    """

    debt_types: Annotated[tuple[DebtType, ...], Field(min_length=1)]
    at_most_years: Annotated[int, Field(strict=True, ge=1, le=20)] | None = None
    citation: Citation | None = None

    @model_validator(mode="after")
    def _cites(self) -> Self:
        if self.at_most_years is not None and self.citation is None:
            raise ValueError("at_most_years needs a citation")
        return self


LimitationTable = Mapping[StateCode, Mapping[DebtType, Period]]


class RuleSet(_Rule):
    """One version of the rules that an agency works under."""

    name: Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
    title: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
    calls: Calls
    hours: Hours
    zones_when_unknown: Annotated[tuple[ZoneName, ...], Field(min_length=1)]
    limits: tuple[ContactLimit, ...] = ()
    closed_places: tuple[ClosedPlace, ...] = ()
    states: Mapping[StateCode, StateRules] = Field(default_factory=dict)
    limitation: LimitationTable = Field(default_factory=dict)
    account_types: Mapping[str, AccountType] = Field(default_factory=dict)

    @cached_property
    def canonical(self) -> str:
        """The set as JSON, the same for the same meaning in any notation or order of keys.

        ``RuleSet.model_validate_json(rules.canonical)`` is the set again, with the same version.
        """
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @cached_property
    def version(self) -> str:
        """SHA-256 (hex) of ``canonical``."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    @property
    def label(self) -> str:
        """How decisions name the set: ``name@version``."""
        return f"{self.name}@{self.version}"

    def limitation_years(self, state: str, debt_type: str | None) -> int | None:
        """The statute of limitations in a state (its code), in years; ``None`` for a state without table.

        ``debt_type`` is a ``DebtType`` or an account type; any other takes the shortest period of the state.
        """
        periods = self.limitation.get(state)
        if not periods:
            return None
        kind = (debt_type or "").strip().lower()
        if kind in set(DebtType):
            return periods[DebtType(kind)].years
        if account_type := self.account_types.get(kind):
            years = min(periods[one].years for one in account_type.debt_types)
            return min(years, account_type.at_most_years or years)
        return min(period.years for period in periods.values())

    def faults_against(self, base: Self) -> Iterator[tuple[Path, str]]:
        """Where this set is looser than ``base``: the path in the set, and what is expected there."""
        yield from _loose_calls(self.calls, base.calls)
        yield from _loose_hours(("hours",), self.hours, base.hours)
        yield from _loose_limits((), self.limits, base.calls)
        for code, state in self.states.items():
            if state.hours:
                yield from _loose_hours(("states", code, "hours"), state.hours, base.hours)
            yield from _loose_limits(("states", code), state.limits, base.calls)
        yield from _loose_periods(self.limitation, base.limitation)
        for name in base.account_types:
            if any(_years(self, state, name) > _years(base, state, name) for state in base.limitation):
                yield ("account_types", name), "lets a debt be sued for longer; must be as short or shorter"
        if missing := set(base.zones_when_unknown) - set(self.zones_when_unknown):
            yield ("zones_when_unknown",), f"must keep {', '.join(sorted(missing))}"


def _years(rules: RuleSet, state: str, debt_type: str) -> int:
    return rules.limitation_years(state, debt_type) or 0


def _loose_calls(calls: Calls, base: Calls) -> Iterator[tuple[Path, str]]:
    for name, least in (("attempts", False), ("consent_days", False), ("days", True)):
        value, limit = getattr(calls, name), getattr(base, name)
        if value < limit if least else value > limit:
            yield ("calls", name), f"{value} is looser than {limit}; {_expected(limit, least=least)}"
    if calls.after_conversation_days < base.after_conversation_days:
        limit = base.after_conversation_days
        yield (
            ("calls", "after_conversation_days"),
            f"{calls.after_conversation_days} is looser than {limit}; {_expected(limit, least=True)}",
        )


def _expected(limit: object, *, least: bool) -> str:
    return f"must be {limit} or {'more' if least else 'less'}"


def _loose_hours(path: Path, hours: Hours, base: Hours) -> Iterator[tuple[Path, str]]:
    if hours.opens < base.opens:
        yield (*path, "opens"), f"{hours.opens:%H:%M} is looser; must be {base.opens:%H:%M} or later"
    if hours.closes > base.closes:
        yield (*path, "closes"), f"{hours.closes:%H:%M} is looser; must be {base.closes:%H:%M} or earlier"


def _loose_limits(path: Path, limits: tuple[ContactLimit, ...], calls: Calls) -> Iterator[tuple[Path, str]]:
    """Limits on calls about one debt that the base allows less than: they look strict and do nothing."""
    for i, limit in enumerate(limits):
        allowed = calls.attempts * -(-limit.days // calls.days)
        if limit.scope == "debt" and set(limit.channels) == {Channel.CALL} and limit.attempts > allowed:
            yield (
                (*path, "limits", i, "attempts"),
                f"{limit.attempts} is looser than the {allowed} in {limit.days} days that are allowed anyway",
            )


def _loose_periods(table: LimitationTable, base: LimitationTable) -> Iterator[tuple[Path, str]]:
    for state, periods in table.items():
        for kind, period in periods.items():
            known = base.get(state, {}).get(kind)
            if known and period.years > known.years:
                yield (
                    ("limitation", state, kind, "years"),
                    f"{period.years} is looser than {known.years}; {_expected(known.years, least=False)}",
                )
