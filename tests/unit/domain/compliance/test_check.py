"""The whole decision: order of rules, the earliest moment, purity, and the facts as they are stored."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.compliance import (
    ORDER,
    RULES,
    Attempt,
    Channel,
    ContactFacts,
    Decision,
    Denied,
    Direction,
    HoldFact,
    InconvenientTime,
    Place,
    Purpose,
    Recipient,
    RuleSet,
    check_contact,
)

Case = Callable[..., ContactFacts]
START = datetime(2026, 10, 20, tzinfo=UTC)
KINDS = ("cease", "attorney", "bankruptcy", "deceased", "scra", "workplace", "chargeback", "opt_out_call")
ZONES = ("America/New_York", "America/Chicago", "America/Phoenix", "America/Los_Angeles", "Pacific/Honolulu")

moments = st.integers(0, 40 * 86_400).map(lambda seconds: START + timedelta(seconds=seconds))
days = st.integers(0, 60).map(lambda n: START.date() + timedelta(n))
attempts = st.builds(
    Attempt,
    at=moments,
    channel=st.sampled_from(Channel),
    direction=st.sampled_from(Direction),
    connected=st.booleans(),
    conversation=st.booleans(),
    consented=st.booleans(),
    debt=st.booleans(),
)
facts_ = st.builds(
    ContactFacts,
    channel=st.sampled_from(Channel),
    direction=st.sampled_from((*[Direction.OUTBOUND] * 9, Direction.INBOUND)),
    purpose=st.sampled_from(Purpose),
    recipient=st.sampled_from(Recipient),
    place=st.sampled_from(Place),
    at=moments,
    now=moments,
    zones=st.lists(st.sampled_from(ZONES), max_size=3, unique=True).map(tuple),
    attempts=st.lists(attempts, max_size=12).map(tuple),
    consent_at=st.none() | moments,
    holds=st.lists(
        st.builds(HoldFact, kind=st.sampled_from(KINDS), since=moments, until=st.none() | days), max_size=2
    ).map(tuple),
    inconvenient=st.lists(
        st.builds(
            InconvenientTime,
            days=st.lists(st.integers(0, 6), max_size=3).map(tuple),
            start=st.times(),
            end=st.times(),
        ),
        max_size=2,
    ).map(tuple),
    inconvenient_places=st.lists(st.sampled_from(Place), max_size=1).map(tuple),
    state=st.sampled_from((None, "MA", "WA", "DC", "TX")),
    dispute_received_on=st.none() | days,
    dispute_in_period=st.booleans(),
    verification_sent=st.booleans(),
    validation_sent_on=st.none() | days,
    first_communication_on=st.none() | days,
    limitation_on=st.none() | days,
)


@settings(deadline=None)
@given(facts_)
def test_at_retry_at_the_contact_is_allowed_and_never_earlier(
    strictest: RuleSet, facts: ContactFacts
) -> None:
    decision = check_contact(facts, strictest)
    if not isinstance(decision, Denied) or decision.retry_at is None:
        return
    assert decision.retry_at >= max(facts.at, facts.now)
    assert check_contact(facts.moved_to(decision.retry_at), strictest).allowed
    start = max(facts.at, facts.now)
    for i in range(20):
        between = start + i * (decision.retry_at - start) / 20
        if between < decision.retry_at:
            assert not check_contact(facts.moved_to(between), strictest).allowed


@settings(deadline=None)
@given(facts_)
def test_the_first_rule_that_refuses_answers(strictest: RuleSet, facts: ContactFacts) -> None:
    refusing = [name for name, rule in RULES.items() if rule(facts, strictest)]
    decision = check_contact(facts, strictest)
    if facts.direction is Direction.INBOUND or not refusing:
        assert decision.allowed
    else:
        assert isinstance(decision, Denied)
        assert decision.rule == refusing[0]
        assert decision.citation
        assert decision.explanation


@settings(deadline=None)
@given(facts_)
def test_a_rule_stands_as_long_as_it_says(strictest: RuleSet, facts: ContactFacts) -> None:
    """``until`` lies after the contact, and nothing that is allowed lies before it."""
    for rule in ORDER:
        refusal = rule(facts, strictest)
        if refusal and refusal.until:
            assert refusal.until > facts.at
            assert rule(facts.moved_to(facts.at + (refusal.until - facts.at) / 2), strictest)


@settings(deadline=None)
@given(facts_)
def test_federal_law_never_refuses_what_a_stricter_set_allows(
    federal: RuleSet, strictest: RuleSet, facts: ContactFacts
) -> None:
    if check_contact(facts, strictest).allowed:
        assert check_contact(facts, federal).allowed


@settings(deadline=None)
@given(facts_)
def test_a_stored_decision_is_derived_again_exactly(strictest: RuleSet, facts: ContactFacts) -> None:
    stored = facts.model_dump_json()
    again = ContactFacts.model_validate_json(stored)
    assert again == facts
    rules = RuleSet.model_validate_json(strictest.canonical)
    decision = check_contact(facts, strictest)
    answer: Decision = TypeAdapter[Decision](Decision).validate_json(decision.model_dump_json())
    assert check_contact(again, rules) == decision == answer


def test_rules_are_known_by_their_names() -> None:
    assert list(RULES.values()) == list(ORDER)
    assert len(RULES) == len(ORDER) == 16


def test_what_forbids_more_answers_before_what_forbids_less(federal: RuleSet, case: Case) -> None:
    since = datetime(2026, 11, 1, tzinfo=UTC)
    holds = [{"kind": kind, "since": since} for kind in ("opt_out_call", "cease", "attorney", "bankruptcy")]
    midnight = datetime(2026, 11, 18, 6, tzinfo=UTC)
    order = []
    while holds:
        decision = check_contact(case(at=midnight, holds=holds), federal)
        assert isinstance(decision, Denied)
        order.append(decision.rule)
        holds.pop()
    assert order == ["bankruptcy", "attorney", "cease", "opted_out"]


def test_a_contact_in_the_past_is_retried_from_now_on(federal: RuleSet, case: Case) -> None:
    night, now = datetime(2026, 11, 17, 9, tzinfo=UTC), datetime(2026, 11, 18, 18, tzinfo=UTC)
    decision = check_contact(case(at=night, now=now), federal)
    assert isinstance(decision, Denied)
    assert decision.retry_at == now


def test_the_decision_names_the_very_version_of_the_rules(federal: RuleSet, case: Case) -> None:
    assert check_contact(case(), federal).rule_set == f"federal@{federal.version}"
    assert len(federal.version) == 64


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"at": "2026-11-18T12:00"}, "timezone"),
        ({"zones": ["Mars/Olympus"]}, "is no time zone"),
        ({"zones": ["../etc/passwd"]}, "is no time zone"),
        ({"channel": "pigeon"}, "call"),
        ({"debtor_name": "Ann"}, "Extra inputs"),
        ({"inconvenient": [{"days": [7], "start": "08:00", "end": "09:00"}]}, "less than or equal to 6"),
    ],
)
def test_facts_that_cannot_be_are_refused(change: dict[str, object], fault: str, case: Case) -> None:
    with pytest.raises(ValidationError, match=fault):
        case(**change)


def test_facts_name_nobody() -> None:
    assert {field for field in ContactFacts.model_fields if "name" in field or "phone" in field} == set()


def test_moments_are_kept_in_utc(case: Case) -> None:
    facts = case()
    assert facts.at.tzinfo is UTC
    assert facts.at == datetime(2026, 11, 18, 18, tzinfo=UTC)
    assert facts.moved_to(facts.at - timedelta(1)).now == facts.now
    assert case(dispute_received_on=date(2026, 11, 1)).dispute_received_on == date(2026, 11, 1)
