"""How often: 12 CFR 1006.14(b)(2) and (3), and stricter limits."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.compliance import Attempt, Channel, ContactFacts, Denied, RuleSet, check_contact
from domain.compliance.calls import call_after_conversation, call_frequency, contact_limits, is_consented

Case = Callable[..., ContactFacts]
CHICAGO = ZoneInfo("America/Chicago")


def at(day: int, hour: int = 12, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=CHICAGO)


def calls(*days: int, **more: Any) -> list[dict[str, Any]]:
    return [{"at": at(day), "channel": "call", **more} for day in days]


def local(moment: datetime | None) -> str | None:
    return moment and moment.astimezone(CHICAGO).isoformat()


def test_the_seventh_call_is_allowed_and_the_eighth_waits_until_the_first_is_seven_days_old(
    federal: RuleSet, case: Case
) -> None:
    six, seven = calls(12, 13, 14, 15, 16, 17), calls(12, 13, 14, 15, 16, 17, 18)
    assert check_contact(case(attempts=six), federal).allowed
    denied = check_contact(case(attempts=seven), federal)
    assert isinstance(denied, Denied)
    assert (denied.rule, denied.citation) == ("call_frequency", "12 CFR 1006.14(b)(2)(i)(A)")
    assert local(denied.retry_at) == "2026-11-19T08:00:00-06:00"


def test_the_window_is_of_calendar_days_where_the_person_is(federal: RuleSet, case: Case) -> None:
    six_today = calls(18, 18, 18, 18, 18, 18)
    first = {"channel": "call", "at": at(12, 8)}
    assert check_contact(case(attempts=[first, *six_today]), federal).allowed is False
    day_before = {"channel": "call", "at": at(11, 20)}
    assert check_contact(case(attempts=[day_before, *six_today]), federal).allowed


def test_in_several_zones_the_strictest_dates_count(federal: RuleSet, case: Case) -> None:
    """At 00:30 in New York it is still the day before in Los Angeles: one zone counts a day longer."""
    late = datetime.fromisoformat("2026-11-12T00:30-05:00")
    attempts = [{"channel": "call", "at": late}, *calls(13, 14, 15, 16, 17, 18)]
    east = case(attempts=attempts, zones=["America/New_York"])
    west = case(attempts=attempts, zones=["America/Los_Angeles"])
    assert call_frequency(east, federal)
    assert call_frequency(west, federal) is None
    both = call_frequency(case(attempts=attempts, zones=["America/New_York", "America/Los_Angeles"]), federal)
    assert both
    assert both.until == datetime(2026, 11, 19, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"connected": False}, id="busy-or-not-in-service"),
        pytest.param({"consented": True}, id="consented"),
        pytest.param({"direction": "inbound"}, id="the-person-called"),
        pytest.param({"debt": False}, id="about-another-debt"),
        pytest.param({"channel": "sms"}, id="no-call"),
    ],
)
def test_what_does_not_count_to_the_seven(change: dict[str, Any], federal: RuleSet, case: Case) -> None:
    facts = case(attempts=[*calls(12, 13, 14, 15, 16, 17), *calls(18)])
    assert check_contact(facts, federal).allowed is False
    spared = facts.attempts[0].model_copy(
        update=Attempt(**{"at": at(12), "channel": "call", **change}).model_dump()
    )
    assert check_contact(
        facts.model_copy(update={"attempts": (spared, *facts.attempts[1:])}), federal
    ).allowed


def test_a_call_that_was_not_connected_is_permitted_in_excess(federal: RuleSet, case: Case) -> None:
    full = calls(12, 13, 14, 15, 16, 17, 18)
    assert check_contact(case(attempts=full), federal).allowed is False
    assert check_contact(case(attempts=full, connected=False), federal).allowed
    talked = calls(18, conversation=True)
    assert call_after_conversation(case(attempts=talked), federal)
    assert check_contact(case(attempts=talked, connected=False), federal).allowed


def test_ringing_without_an_answer_is_connected_and_counts(federal: RuleSet, case: Case) -> None:
    rung = calls(12, 13, 14, 15, 16, 17, 18, connected=True, conversation=False)
    assert call_frequency(case(attempts=rung), federal)


def test_letters_and_messages_are_no_calls(federal: RuleSet, case: Case) -> None:
    for channel in (Channel.EMAIL, Channel.SMS, Channel.LETTER):
        assert check_contact(
            case(channel=channel, attempts=calls(*[18] * 9, conversation=True)), federal
        ).allowed


@pytest.mark.parametrize("direction", ["outbound", "inbound"])
def test_after_a_conversation_nobody_calls_before_its_date_plus_seven_days(
    direction: str, federal: RuleSet, case: Case
) -> None:
    talked = calls(12, conversation=True, direction=direction)
    denied = check_contact(case(attempts=talked), federal)
    assert isinstance(denied, Denied)
    assert (denied.rule, denied.citation) == ("call_after_conversation", "12 CFR 1006.14(b)(2)(i)(B)")
    assert local(denied.retry_at) == "2026-11-19T08:00:00-06:00"
    assert call_after_conversation(case(attempts=talked, at=at(18, 23)), federal)
    assert call_after_conversation(case(attempts=talked, at=at(19, 0)), federal) is None


def test_a_conversation_counts_by_the_zone_in_which_it_was_latest(federal: RuleSet, case: Case) -> None:
    zones = ["America/New_York", "Pacific/Honolulu"]
    talked = [{"channel": "call", "conversation": True, "at": datetime(2026, 11, 12, 2, tzinfo=UTC)}]
    refusal = call_after_conversation(case(attempts=talked, zones=zones), federal)
    assert refusal is None, "it was the 11th in both zones, so the 18th is free in both"
    refusal = call_after_conversation(case(attempts=talked, zones=zones, at=at(17)), federal)
    assert refusal
    assert refusal.until == datetime(2026, 11, 18, 10, tzinfo=UTC), "midnight in Honolulu"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"debt": False}, id="about-another-debt"),
        pytest.param({"channel": "email"}, id="no-call"),
        pytest.param({"conversation": False}, id="voice-mailbox"),
    ],
)
def test_what_is_no_conversation_about_this_debt(
    change: dict[str, Any], federal: RuleSet, case: Case
) -> None:
    one = {"at": at(17), "channel": "call", "conversation": True}
    assert call_after_conversation(case(attempts=[one]), federal)
    assert call_after_conversation(case(attempts=[{**one, **change}]), federal) is None


def test_a_consented_call_is_excluded_from_both_limits_for_seven_days(federal: RuleSet, case: Case) -> None:
    history = [*calls(*[17] * 9), *calls(12, conversation=True)]
    consented = case(attempts=history, purpose="consented", consent_at=at(12, 13))
    assert check_contact(consented, federal).allowed
    last = consented.moved_to(at(18, 20))
    assert is_consented(last, federal)
    assert check_contact(last, federal).allowed
    assert not is_consented(consented.moved_to(at(19, 8)), federal)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"purpose": "general"}, id="not-what-was-agreed"),
        pytest.param({"consent_at": None}, id="no-consent-recorded"),
        pytest.param({"consent_at": at(11)}, id="too-old"),
        pytest.param({"consent_at": at(18, 13)}, id="given-later"),
        pytest.param({"attempts": calls(*[17] * 9, conversation=True)}, id="used-up-by-a-conversation"),
    ],
)
def test_without_a_consent_that_counts_the_call_is_any_call(
    change: dict[str, Any], federal: RuleSet, case: Case
) -> None:
    good = {"purpose": "consented", "consent_at": at(16), "attempts": calls(*[17] * 9)}
    assert check_contact(case(**good), federal).allowed
    assert check_contact(case(**{**good, **change}), federal).allowed is False


def test_an_attempt_that_is_entered_late_counts_with_those_after_it(federal: RuleSet, case: Case) -> None:
    later = calls(12, 13, 14, 15, 16, 17, 18)
    denied = check_contact(case(at=at(12), now=at(18), attempts=later), federal)
    assert isinstance(denied, Denied)
    assert local(denied.retry_at) == "2026-11-19T08:00:00-06:00", "not before now"


def test_the_states_limit_counts_calls_and_texts_together(strictest: RuleSet, case: Case) -> None:
    two = [*calls(17), *calls(18, channel="sms")]
    assert check_contact(case(attempts=two, state="IL"), strictest).allowed
    for state in ("MA", "Massachusetts"):
        denied = check_contact(case(attempts=two, state=state), strictest)
        assert isinstance(denied, Denied)
        assert (denied.rule, denied.citation[:18]) == ("contact_limits", "940 CMR 7.04(1)(f)")
        assert local(denied.retry_at) == "2026-11-24T08:00:00-06:00"
        assert check_contact(case(attempts=two, state=state, channel="email"), strictest).allowed


def test_a_limit_per_person_counts_every_debt(strictest: RuleSet, case: Case) -> None:
    others = calls(16, 17, 18, debt=False)
    assert contact_limits(case(attempts=others, state="WA"), strictest)
    assert contact_limits(case(attempts=others, state="DC"), strictest) is None


@settings(deadline=None)
@example(days=[1] * 7, day=0, zone="America/New_York")
@example(days=[0, 0, 0, 7, 8, 9, 10, 11], day=5, zone="America/New_York")
@given(
    days=st.lists(st.integers(0, 60), max_size=25),
    day=st.integers(0, 60),
    zone=st.sampled_from(["America/New_York", "Pacific/Honolulu", "Asia/Kathmandu"]),
)
def test_allowed_calls_never_make_eight_in_any_seven_days(
    federal: RuleSet, case: Case, days: list[int], day: int, zone: str
) -> None:
    """Whatever the order in which calls come, no seven days ever hold more than seven that were allowed."""
    start = datetime(2026, 10, 20, 12, tzinfo=ZoneInfo(zone))
    placed: list[dict[str, Any]] = []
    for offset in [*days, day, day, day]:
        moment = start + timedelta(days=offset)
        if not call_frequency(case(at=moment, zones=[zone], attempts=placed), federal):
            placed.append({"channel": "call", "at": moment})
    dates = [attempt["at"].date() for attempt in placed]
    assert all(_within(dates, first) <= 7 for first in dates)


def _within(dates: list[date], first: date) -> int:
    return sum(first <= other < first + timedelta(days=7) for other in dates)
