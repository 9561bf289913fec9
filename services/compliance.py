"""What the law says of a contact, and how that is kept: the rule sets, the facts, the log of decisions."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import Field

from db.compliance_log import NewDecision
from domain.compliance import (
    RULES,
    Channel,
    ContactFacts,
    Decision,
    Direction,
    Place,
    Purpose,
    Recipient,
    RuleSet,
    check_contact,
    limitation,
    state_code,
    zones_of,
)
from domain.errors import Conflict
from services.access import Principal, Right, require
from services.accounts import visible_account
from services.contact_views import DecisionView, RuleSetRef, decision_view
from services.fields import View

if TYPE_CHECKING:
    from db.accounts import AccountView
    from db.contacts import Circumstances
    from db.keyset import Position
    from db.models import Agency, Debtor
    from db.session import Database, Transaction

_MARGIN_DAYS = 2
"""Days are counted where the person is: a window of whole days reaches over its hours on both sides."""

_CITATION = re.compile(r"\d+ (?:CFR|U\.S\.C\.) [\d.]+(?:\(\w+\))*|[Aa]gency policy")


@dataclass(frozen=True, slots=True)
class Question:
    """A contact that is asked about; ``at`` None is now."""

    channel: Channel
    direction: Direction = Direction.OUTBOUND
    purpose: Purpose = Purpose.GENERAL
    recipient: Recipient = Recipient.CONSUMER
    place: Place = Place.UNKNOWN
    connected: bool = True
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision, what it was made from and by; not in the log yet."""

    decision_id: UUID
    account_id: UUID
    facts: ContactFacts
    rules: RuleSet
    decision: Decision


class Judge:
    """Judges contacts by the rule set that the transaction's agency names, of ``rule_sets`` by name."""

    def __init__(self, rule_sets: Mapping[str, RuleSet]) -> None:
        self.rule_sets = rule_sets
        self._kept: dict[str, UUID] = {}

    def rules_of(self, agency: "Agency") -> RuleSet:
        """What an agency works under. ``Conflict`` when it names a rule set that is not known here."""
        rules = self.rule_sets.get(agency.rule_set)
        if rules is None:
            raise Conflict(
                f"the agency names the rule set {agency.rule_set!r}, which is not known here;"
                f" choose one of {', '.join(sorted(self.rule_sets))} in its settings"
            )
        return rules

    async def judge(self, tx: "Transaction", view: "AccountView", question: Question) -> Judged:
        """What the law says of a contact about an account, as far as the transaction sees.

        To be relied on, the person must be locked (``ContactStore.lock_person``) before.
        """
        rules, around = await self._around(tx, view, question.at)
        facts = _facts(view, question, around, rules)
        return Judged(around.decision_id, view.account.id, facts, rules, check_contact(facts, rules))

    async def foresee(
        self, tx: "Transaction", view: "AccountView", channels: Iterable[Channel]
    ) -> dict[Channel, Decision]:
        """What the law would say now of an ordinary contact through each of these channels.

        Nobody may rely on it: that is decided, and kept, when a contact is logged or asked about.
        """
        rules, around = await self._around(tx, view, None)
        return {
            channel: check_contact(_facts(view, Question(channel), around, rules), rules)
            for channel in channels
        }

    async def _around(
        self, tx: "Transaction", view: "AccountView", at: datetime | None
    ) -> "tuple[RuleSet, Circumstances]":
        agency = await tx.agencies.get(tx.tenant.agency_id)
        rules = self.rules_of(agency)
        channels, days = reach(rules, state_code(view.debtor.state))
        around = await tx.contacts.circumstances(
            view.account.id,
            view.debtor.id,
            at,
            zone=agency.time_zone,
            channels=channels,
            days=days + _MARGIN_DAYS,
        )
        return rules, around

    async def log(self, tx: "Transaction", judged: Judged) -> None:
        """Write a decision to the log: the last thing that a transaction does, for it locks the log's end."""
        await tx.compliance_log.append(
            NewDecision(
                id=judged.decision_id,
                account_id=judged.account_id,
                rule_set_id=await self._id_of(tx, judged.rules),
                rule_set=judged.rules.label,
                inputs=judged.facts.model_dump(mode="json"),
                answer=judged.decision.model_dump(mode="json"),
                decided_at=judged.facts.now,
            )
        )

    async def _id_of(self, tx: "Transaction", rules: RuleSet) -> UUID:
        known = self._kept.get(rules.version)
        if known is None:
            known = await tx.rule_sets.find(rules)
            if known is None:
                # Not remembered: this transaction may still be undone.
                return await tx.rule_sets.keep(rules)
            self._kept[rules.version] = known
        return known


def reach(rules: RuleSet, state: str | None) -> tuple[frozenset[Channel], int]:
    """Through which channels, and how many days back and ahead, contacts bear on another in a state."""
    own = rules.states[state].limits if state and state in rules.states else ()
    limits = (*rules.limits, *own)
    calls = rules.calls
    days = (calls.days, calls.after_conversation_days, calls.consent_days, *(limit.days for limit in limits))
    return frozenset({Channel.CALL, *(c for limit in limits for c in limit.channels)}), max(days)


def person_zones(debtor: "Debtor", told: str | None) -> tuple[str, ...]:
    """The time zones that a debtor's telephone, address and ``told`` zone point to."""
    return zones_of(debtor.phone, debtor.state, debtor.postal_code, told, debtor.country)


def _facts(view: "AccountView", question: Question, around: "Circumstances", rules: RuleSet) -> ContactFacts:
    account, debtor, said = view.account, view.debtor, around.preference
    dispute = around.dispute or {}
    since = account.last_payment_date or account.charge_off_date or account.due_date
    return ContactFacts.model_validate(
        {
            "channel": question.channel,
            "direction": question.direction,
            "purpose": question.purpose,
            "recipient": question.recipient,
            "place": question.place,
            "connected": question.connected,
            "at": around.at,
            "now": around.now,
            "zones": person_zones(debtor, said["time_zone"]),
            "attempts": around.attempts,
            "consent_at": around.consent_at,
            "holds": around.holds,
            "inconvenient": said["inconvenient"],
            "inconvenient_places": said["inconvenient_places"],
            "state": state_code(debtor.state),
            "status": account.status,
            "dispute_received_on": dispute.get("received_on"),
            "dispute_in_period": dispute.get("in_period", False),
            "validation_sent_on": around.validation_sent_on,
            "first_communication_on": around.first_communication_on,
            "limitation_on": limitation.limitation_on(rules, debtor.state, account.account_type, since),
        }
    )


class RuleView(View):
    """One rule: what it forbids, where it is from, and its numbers in this set."""

    name: str
    citation: str
    function: str = Field(description="in words")
    limits: dict[str, Any]


class RuleSetView(RuleSetRef):
    """The rule set that an agency works under, and all that it could choose (``known``)."""

    title: str
    rules: tuple[RuleView, ...]
    known: tuple[RuleSetRef, ...]


class ComplianceService:
    """What users see of the rules and of what was decided by them."""

    def __init__(self, database: "Database", judge: Judge) -> None:
        self._database = database
        self._judge = judge
        self._labels: dict[UUID, tuple[str, str]] = {}

    async def rules(self, who: Principal) -> RuleSetView:
        """The rules of the principal's agency. ``Conflict`` when they are not known here."""
        require(who, Right.READ_ACCOUNTS)
        async with self._database.transaction(who.tenant) as tx:
            chosen = self._judge.rules_of(await tx.agencies.get(who.tenant.agency_id))
        sets = self._judge.rule_sets
        return RuleSetView(
            name=chosen.name,
            version=chosen.version,
            title=chosen.title,
            rules=tuple(_rule_view(name, chosen) for name in RULES),
            known=tuple(RuleSetRef.model_validate(sets[name]) for name in sorted(sets)),
        )

    async def decisions(
        self, who: Principal, account_id: UUID, position: "Position | None", limit: int
    ) -> Sequence[DecisionView]:
        """Decisions about an account next to ``(number,)``, nearest first. ``NotFound`` if not theirs."""
        require(who, Right.READ_ACCOUNTS)
        async with self._database.transaction(who.tenant) as tx:
            await visible_account(tx, who, account_id)
            rows = await tx.compliance_log.page(account_id, position, limit)
            # A rule set's row never changes, so its label is asked for once per process.
            if unknown := {row.rule_set_id for row in rows} - self._labels.keys():
                self._labels |= await tx.rule_sets.labels(unknown)
        return [decision_view(row, self._labels[row.rule_set_id]) for row in rows]


_Limits = Callable[[RuleSet], dict[str, Any]]


def _hours(rules: RuleSet) -> dict[str, Any]:
    states = {code: state.hours for code, state in rules.states.items() if state.hours}
    return {
        "hours": rules.hours.model_dump(mode="json"),
        "states": {code: hours.model_dump(mode="json") for code, hours in states.items()},
        "zones_when_unknown": list(rules.zones_when_unknown),
    }


def _limits(rules: RuleSet) -> dict[str, Any]:
    states = {code: state.limits for code, state in rules.states.items() if state.limits}
    return {
        "limits": [limit.model_dump(mode="json") for limit in rules.limits],
        "states": {code: [limit.model_dump(mode="json") for limit in own] for code, own in states.items()},
    }


def _places(rules: RuleSet) -> dict[str, Any]:
    states = {code: state.closed_places for code, state in rules.states.items() if state.closed_places}
    return {
        "closed_places": [place.model_dump(mode="json") for place in rules.closed_places],
        "states": {code: [place.model_dump(mode="json") for place in own] for code, own in states.items()},
    }


_NUMBERS: Mapping[str, _Limits] = MappingProxyType(
    {
        "call_frequency": lambda rules: rules.calls.model_dump(
            mode="json", include={"attempts", "days", "consent_days", "citation"}
        ),
        "call_after_conversation": lambda rules: rules.calls.model_dump(
            mode="json", include={"after_conversation_days", "consent_days", "citation"}
        ),
        "contact_limits": _limits,
        "contact_hours": _hours,
        "inconvenient_place": _places,
        "time_barred": lambda rules: rules.model_dump(mode="json", include={"limitation", "account_types"}),
    }
)
"""The numbers of a set that each rule goes by; the others go by what is known of the person."""


def _rule_view(name: str, rules: RuleSet) -> RuleView:
    words = inspect.getdoc(RULES[name]) or name
    cited = _CITATION.search(words)
    numbers = _NUMBERS.get(name)
    return RuleView(
        name=name,
        citation=cited.group() if cited else "",
        function=" ".join(words.split()),
        limits=numbers(rules) if numbers else {},
    )
