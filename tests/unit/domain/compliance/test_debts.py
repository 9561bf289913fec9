"""Disputes (12 CFR 1006.38), time-barred debt (1006.26) and what an allowed contact must carry."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from domain.compliance import (
    Allowed,
    ContactFacts,
    Denied,
    Purpose,
    RuleSet,
    check_contact,
    disputes,
    names_opt_out,
)
from domain.compliance.disputes import EarlierDispute

Case = Callable[..., ContactFacts]
DISPUTE: dict[str, Any] = {"dispute_received_on": date(2026, 11, 10), "dispute_in_period": True}


def notes(facts: ContactFacts, rules: RuleSet) -> str:
    decision = check_contact(facts, rules)
    assert isinstance(decision, Allowed)
    return " ".join(decision.notes)


def test_a_dispute_in_the_period_stops_collection_until_verification_was_sent(
    federal: RuleSet, case: Case
) -> None:
    denied = check_contact(case(**DISPUTE), federal)
    assert isinstance(denied, Denied)
    assert (denied.rule, denied.citation) == ("open_dispute", "12 CFR 1006.38(d)(2)(i)")
    assert denied.retry_at is None
    assert check_contact(case(**DISPUTE, verification_sent=True), federal).allowed
    assert check_contact(case(**{**DISPUTE, "dispute_in_period": False}), federal).allowed
    letters = {
        p for p in Purpose if check_contact(case(channel="letter", purpose=p, **DISPUTE), federal).allowed
    }
    assert letters == {Purpose.VERIFICATION, Purpose.CEASE_ACKNOWLEDGEMENT}


def test_the_last_day_of_the_period_counts() -> None:
    assert disputes.in_period(date(2026, 12, 30), date(2026, 11, 20))
    assert not disputes.in_period(date(2026, 12, 31), date(2026, 11, 20))
    assert disputes.in_period(date(2026, 12, 31), None)


ANSWERED = EarlierDispute(reason="I never had this card.", in_writing=True, in_period=True, answered=True)
REPEATED: dict[str, Any] = {"in_writing": True, "in_period": True, "new_information": False}


def test_a_repeated_answered_dispute_is_duplicative() -> None:
    assert disputes.is_duplicative("I NEVER had this card!", earlier=[ANSWERED], **REPEATED)


@pytest.mark.parametrize(
    ("change", "earlier"),
    [
        pytest.param({"new_information": True}, {}, id="something-new"),
        pytest.param({"in_writing": False}, {}, id="by-telephone"),
        pytest.param({"in_period": False}, {}, id="too-late"),
        pytest.param({}, {"answered": False}, id="not-answered-yet"),
        pytest.param({}, {"in_writing": False}, id="first-by-telephone"),
        pytest.param({}, {"in_period": False}, id="first-too-late"),
        pytest.param({}, {"reason": "The amount is wrong"}, id="another-ground"),
    ],
)
def test_what_is_not_duplicative(change: dict[str, Any], earlier: dict[str, Any]) -> None:
    before = ANSWERED.model_copy(update=earlier)
    assert not disputes.is_duplicative("I never had this card", earlier=[before], **{**REPEATED, **change})


def test_a_first_dispute_is_not_duplicative() -> None:
    assert not disputes.is_duplicative("I never had this card", earlier=[], **REPEATED)


@pytest.mark.parametrize(
    ("at", "zones", "allowed"),
    [
        ("2026-11-17T20:00-06:00", ["America/Chicago"], True),
        ("2026-11-18T08:00-06:00", ["America/Chicago"], False),
        # Already the 18th in one of the zones.
        ("2026-11-17T20:00-08:00", ["America/Los_Angeles"], True),
        ("2026-11-17T20:00-08:00", ["America/Los_Angeles", "Asia/Tokyo"], False),
    ],
)
def test_a_time_barred_debt_is_not_sued_for(
    at: str, zones: list[str], allowed: bool, federal: RuleSet, case: Case
) -> None:
    when = datetime.fromisoformat(at)
    facts = {"channel": "letter", "at": when, "zones": zones, "limitation_on": date(2026, 11, 18)}
    decision = check_contact(case(purpose="litigation", **facts), federal)
    assert decision.allowed is allowed
    if isinstance(decision, Denied):
        assert (decision.rule, decision.citation, decision.retry_at) == (
            "time_barred",
            "12 CFR 1006.26(b)",
            None,
        )
        assert "Time-barred since 2026-11-18" in notes(case(**facts), federal)


def test_a_suit_that_waits_past_the_limitation_is_not_retried(federal: RuleSet, case: Case) -> None:
    night = datetime(2026, 11, 18, 5, tzinfo=UTC)
    denied = check_contact(case(purpose="litigation", at=night, limitation_on=date(2026, 11, 18)), federal)
    assert isinstance(denied, Denied)
    assert (denied.rule, denied.retry_at) == ("contact_hours", None)


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_an_electronic_message_must_say_how_to_opt_out(channel: str, federal: RuleSet, case: Case) -> None:
    assert "1006.6(e)" in notes(case(channel=channel), federal)
    assert "1006.6(e)" not in notes(case(), federal)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Reply STOP to opt out.", True),
        ("Text STOP to 55555", True),
        ("To unsubscribe, click here.", True),
        ("You may opt-out at any time.", True),
        ("To stop receiving these e-mails, write to us.", True),
        ("Please reply by Friday. We will not stop.", False),
        ("Your balance is 100.00.", False),
        ("", False),
    ],
)
def test_whether_a_text_names_the_opt_out(text: str, named: bool) -> None:
    assert names_opt_out(text) is named


def test_the_notice_is_asked_for_but_never_a_reason_to_refuse(federal: RuleSet, case: Case) -> None:
    assert "within five days" in notes(case(), federal)
    assert "is due on 2026-11-22" in notes(case(first_communication_on=date(2026, 11, 17)), federal)
    assert "is due on 2026-11-18" in notes(case(first_communication_on=date(2026, 11, 13)), federal)
    abroad = case(
        channel="letter", first_communication_on=date(2026, 11, 12), zones=["America/Chicago", "Asia/Tokyo"]
    )
    assert "was due on 2026-11-17" in notes(abroad, federal)
    still = abroad.moved_to(datetime(2026, 11, 17, 20, tzinfo=UTC))
    assert "is due on 2026-11-17" in notes(still, federal), "in Chicago it is not over"
    assert "was due on 2026-11-06" in notes(case(first_communication_on=date(2026, 11, 1)), federal)
    assert "due" not in notes(case(validation_sent_on=date(2026, 11, 1)), federal)


def test_while_the_period_is_open_the_right_to_dispute_is_not_overshadowed(
    federal: RuleSet, case: Case
) -> None:
    open_until = notes(case(validation_sent_on=date(2026, 11, 10)), federal)
    assert "open until 2026-12-18" in open_until
    assert notes(case(validation_sent_on=date(2026, 10, 1)), federal) == ""
