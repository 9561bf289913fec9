"""Proving the log of decisions: each follows from its inputs and rules, and none was changed or taken out."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from db.compliance_log import GENESIS, Link, NewDecision, entry_hash
from domain.compliance import ContactFacts, Decision, RuleSet, check_contact
from domain.compliance.calls import counts_as_consented

if TYPE_CHECKING:
    from db.compliance_log import DoubtfulContact
    from db.models import ComplianceDecision, ComplianceRuleSet
    from db.session import Transaction

_TELL_EVERY = 500
_decisions: TypeAdapter[Decision] = TypeAdapter(Decision)


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not as it should be. ``number`` is of the decision; None where it is about no single one."""

    number: int | None
    what: str


@dataclass(slots=True)
class Proof:
    """How far a proof has come: decisions read, and the last link of the chain that was seen."""

    read: int = 0
    last: Link = field(default_factory=lambda: Link(0, GENESIS))
    rules: dict[UUID, "_Rules"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Rules:
    """A stored rule set: its label, and its definition where that is what the label says."""

    label: str
    definition: RuleSet | None


async def differences(
    tx: "Transaction", proof: Proof, told: Callable[[], None] = lambda: None
) -> AsyncIterator[Difference]:
    """What is wrong with the log of the tenant's agency; nothing when it is sound.

    ``told`` is called now and then while rows are read. Decisions that are logged meanwhile do no harm: the
    end of the chain is read before and after, and what is between may be there or not.
    """
    before = await tx.compliance_log.head()
    beyond: list[Link] = []
    async for row in tx.compliance_log.every():
        if proof.read % _TELL_EVERY == 0:
            told()
        proof.read += 1
        for what in _link_faults(row, proof.last):
            yield Difference(row.number, what)
        rules = proof.rules.get(row.rule_set_id)
        if rules is None:
            rules = proof.rules[row.rule_set_id] = _opened(await tx.rule_sets.get(row.rule_set_id))
            if rules.definition is None:
                yield Difference(None, f"the stored definition of the rule set {rules.label} was changed")
        for what in _row_faults(row, rules):
            yield Difference(row.number, what)
        proof.last = Link(row.number, bytes(row.hash))
        if before is not None and row.number == before.number:
            beyond.append(proof.last)
    for found in _end_faults(before, await tx.compliance_log.head(), beyond, proof.last):
        yield found
    async for contact in tx.compliance_log.doubtful_contacts():
        if fault := _contact_fault(contact, proof.rules):
            yield Difference(contact.number, f"contact {contact.contact_id}: {fault}")


def _link_faults(row: "ComplianceDecision", last: Link) -> Iterator[str]:
    """A gap before a decision, or another one before it than when it was made."""
    if row.number > last.number + 1:
        first, until = last.number + 1, row.number - 1
        yield f"number {first} is missing" if first == until else f"numbers {first} to {until} are missing"
    elif bytes(row.previous_hash) != last.hash:
        yield "it was chained to another decision than the one before it"


def _row_faults(row: "ComplianceDecision", rules: _Rules) -> Iterator[str]:
    """What of a decision does not fit its hash, its inputs or its rules."""
    decision = NewDecision(
        id=row.id,
        account_id=row.account_id,
        rule_set_id=row.rule_set_id,
        rule_set=rules.label,
        inputs=row.inputs,
        answer=row.answer,
        decided_at=row.decided_at,
    )
    digest = entry_hash(
        bytes(row.previous_hash),
        agency_id=row.agency_id,
        number=row.number,
        allowed=row.allowed,
        decision=decision,
    )
    if digest != bytes(row.hash):
        yield "its hash does not fit what it says"
    if (said := _allowed(row.answer)) is not row.allowed:
        yield f"allowed is {row.allowed}, but the answer says {said}"
    if rules.definition is None:
        return
    try:
        facts = ContactFacts.model_validate(row.inputs)
    except ValidationError as error:
        fields = sorted({".".join(map(str, fault["loc"])) for fault in error.errors()})
        yield f"its inputs cannot be read: {', '.join(fields)}"
        return
    if facts.model_dump(mode="json") != row.inputs:
        yield "its inputs are not as they are written"
    try:
        derived = check_contact(facts, rules.definition)
    except OverflowError:
        yield "its inputs cannot be judged: a moment in them is beyond all calendars"
        return
    if derived.model_dump(mode="json") != row.answer:
        yield f"the answer was {_in_words(row.answer)}; its inputs and rules give {_in_words(derived)}"


def _contact_fault(contact: "DoubtfulContact", rules: Mapping[UUID, _Rules]) -> str | None:
    """What a contact has other than its decision, which must have allowed it; None where all is well."""
    if contact.number is None or contact.rule_set_id is None:
        return f"its decision {contact.decision_id} is not in the log"
    if not contact.allowed:
        return f"its decision {contact.decision_id} was refused"
    differing = list(contact.differing)
    known = rules.get(contact.rule_set_id)
    if known is not None and known.definition is not None:
        lifted = _consented(contact.inputs, known.definition)
        differing += ["consented"] * (contact.consented is not lifted)
    return f"decided otherwise: {', '.join(differing)}" if differing else None


def _consented(inputs: object, rules: RuleSet) -> bool:
    """Whether a contact of these inputs counts as consented to; not, where they say nothing to be judged."""
    try:
        return counts_as_consented(ContactFacts.model_validate(inputs), rules)
    except (ValidationError, OverflowError):
        return False


def _end_faults(
    before: Link | None, after: Link | None, seen_there: list[Link], last: Link
) -> Iterator[Difference]:
    """What the end of the chain, before and after reading, has other than the log."""
    if after is None:
        if last.number:
            yield Difference(last.number, "the log has decisions, but its chain has no end")
        return
    if last.number > after.number:
        yield Difference(last.number, f"the log goes beyond the end of its chain, number {after.number}")
    if before is None:
        return
    if last.number < before.number:
        first, until = last.number + 1, before.number
        yield Difference(
            until,
            f"number {first} is missing" if first == until else f"numbers {first} to {until} are missing",
        )
    elif seen_there and seen_there[0].hash != before.hash:
        yield Difference(before.number, "the end of the chain has another hash")


def _opened(row: "ComplianceRuleSet") -> _Rules:
    label = f"{row.name}@{row.version}"
    try:
        rules = RuleSet.model_validate(row.definition)
    except ValidationError:
        return _Rules(label, None)
    return _Rules(label, rules if rules.label == label else None)


def _allowed(answer: object) -> object:
    return answer.get("allowed") if isinstance(answer, dict) else None


def _in_words(answer: object) -> str:
    try:
        decision = _decisions.validate_python(answer)
    except ValidationError:
        return "none that can be read"
    if decision.allowed:
        return f"allowed ({len(decision.notes)} notes)"
    return f"denied by {decision.rule} until {decision.retry_at or 'further notice'}"
