"""When and where: 12 CFR 1006.6(b)(1) and (b)(3), in every zone and over every change of the clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.compliance import ContactFacts, Denied, RuleSet, check_contact
from domain.compliance.times import contact_hours, inconvenient_place, inconvenient_time, workplace

Case = Callable[..., ContactFacts]
ZONES = ["America/New_York", "America/Phoenix", "America/Adak", "Pacific/Honolulu", "America/St_Johns"]
START = datetime(2025, 1, 1, tzinfo=UTC)
STRANGE = ["Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]


def local(text: str, zone: str = "America/Chicago") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("clock", "allowed"),
    [
        ("00:00:00", False),
        ("07:59:59", False),
        ("07:59:59.999999", False),
        ("08:00:00", True),
        ("20:59:59", True),
        ("21:00:00", True),
        ("21:00:00.000001", False),
        ("21:00:01", False),
        ("23:59:59", False),
    ],
)
@pytest.mark.parametrize("channel", ["call", "sms", "email"])
def test_the_hours_are_from_eight_to_nine_both_included(
    channel: str, clock: str, allowed: bool, federal: RuleSet, case: Case
) -> None:
    at = local(f"2026-11-18T{clock}")
    assert check_contact(case(channel=channel, at=at), federal).allowed is allowed
    assert check_contact(case(channel="letter", at=at), federal).allowed


@pytest.mark.parametrize(
    ("at", "retry_at"),
    [
        ("2026-11-18T03:00", "2026-11-18T08:00:00-06:00"),
        ("2026-11-18T22:00", "2026-11-19T08:00:00-06:00"),
        # The nights in which the clock is changed.
        ("2026-03-07T22:00", "2026-03-08T08:00:00-05:00"),
        ("2026-03-08T01:59", "2026-03-08T08:00:00-05:00"),
        ("2026-10-31T22:00", "2026-11-01T08:00:00-06:00"),
        ("2026-11-01T01:30", "2026-11-01T08:00:00-06:00"),
    ],
)
def test_a_refusal_tells_the_next_opening(at: str, retry_at: str, federal: RuleSet, case: Case) -> None:
    denied = check_contact(case(at=local(at)), federal)
    assert isinstance(denied, Denied)
    assert (denied.rule, denied.citation) == ("contact_hours", "12 CFR 1006.6(b)(1)(i)")
    assert denied.retry_at
    assert denied.retry_at.astimezone(ZoneInfo("America/Chicago")).isoformat() == retry_at


@pytest.mark.parametrize(
    ("instant", "phoenix", "denver"),
    [
        # The same hour of UTC: the Navajo Nation's clock moves, Phoenix's does not.
        pytest.param("2026-03-07T14:30+00:00", False, False, id="winter"),
        pytest.param("2026-03-07T15:00+00:00", True, True, id="winter-eight"),
        pytest.param("2026-03-08T14:30+00:00", False, True, id="first-day-of-summer-time"),
        pytest.param("2026-03-09T03:30+00:00", True, False, id="first-evening-of-summer-time"),
        pytest.param("2026-11-01T14:30+00:00", False, False, id="first-day-of-winter-time"),
        pytest.param("2026-11-02T03:30+00:00", True, True, id="first-evening-of-winter-time"),
    ],
)
def test_daylight_saving_is_that_of_the_place(
    instant: str, phoenix: bool, denver: bool, federal: RuleSet, case: Case
) -> None:
    facts = case(at=datetime.fromisoformat(instant))
    for zone, allowed in (("America/Phoenix", phoenix), ("America/Denver", denver)):
        there = facts.model_copy(update={"zones": (zone,)})
        assert (contact_hours(there, federal) is None) is allowed
    both = facts.model_copy(update={"zones": ("America/Phoenix", "America/Denver")})
    assert (contact_hours(both, federal) is None) is (phoenix and denver)


def test_without_any_zone_it_must_be_right_from_coast_to_coast(federal: RuleSet, case: Case) -> None:
    for clock, allowed in (("10:59", False), ("11:00", True), ("21:00", True), ("21:01", False)):
        facts = case(zones=[], at=local(f"2026-11-18T{clock}", "America/New_York"))
        assert check_contact(facts, federal).allowed is allowed
    denied = check_contact(case(zones=[], at=local("2026-11-18T22:00", "America/New_York")), federal)
    assert isinstance(denied, Denied)
    assert denied.retry_at == local("2026-11-19T08:00", "America/Los_Angeles").astimezone(UTC)
    assert "not known" in denied.explanation


def test_zones_that_share_no_hour_leave_no_time_to_retry(federal: RuleSet, case: Case) -> None:
    denied = check_contact(case(zones=["Asia/Tokyo", "Africa/Lagos", "America/Los_Angeles"]), federal)
    assert isinstance(denied, Denied)
    assert denied.retry_at is None


@settings(deadline=None)
@given(
    st.integers(0, 3 * 366 * 86_400).map(lambda seconds: START + timedelta(seconds=seconds)),
    st.lists(st.sampled_from([*ZONES, *STRANGE]), min_size=1, max_size=2, unique=True),
)
def test_retry_at_is_the_first_allowed_moment(
    federal: RuleSet, case: Case, at: datetime, zones: list[str]
) -> None:
    denied = check_contact(case(at=at, zones=zones), federal)
    if not isinstance(denied, Denied):
        assert all(8 <= at.astimezone(ZoneInfo(z)).hour <= 21 for z in zones)
        return
    assert denied.retry_at
    assert denied.retry_at > at
    assert check_contact(case(at=denied.retry_at, zones=zones), federal).allowed
    step = (denied.retry_at - at) / 50
    assert not any(check_contact(case(at=at + i * step, zones=zones), federal).allowed for i in range(50))
    assert not check_contact(
        case(at=denied.retry_at - timedelta(microseconds=1), zones=zones), federal
    ).allowed


WEEKDAY_EVENINGS = {"days": (0, 1, 2, 3, 4), "start": "17:00", "end": "19:30"}
NIGHTS = {"days": (4,), "start": "20:00", "end": "09:30"}


@pytest.mark.parametrize(
    ("window", "at", "until"),
    [
        (WEEKDAY_EVENINGS, "2026-11-18T16:59:59", None),
        (WEEKDAY_EVENINGS, "2026-11-18T17:00", "2026-11-18T19:30:00-06:00"),
        (WEEKDAY_EVENINGS, "2026-11-18T19:30", None),
        (WEEKDAY_EVENINGS, "2026-11-21T18:00", None),
        pytest.param(NIGHTS, "2026-11-20T20:30", "2026-11-21T09:30:00-06:00", id="before-midnight"),
        pytest.param(NIGHTS, "2026-11-21T09:00", "2026-11-21T09:30:00-06:00", id="after-midnight"),
        pytest.param(NIGHTS, "2026-11-20T09:00", None, id="the-morning-before"),
        pytest.param(
            {"start": "00:00", "end": "00:00"}, "2026-11-18T12:00", "2026-11-19T00:00:00-06:00", id="all"
        ),
        # Clocks jump from 02:00 to 03:00: the end of the window is that moment.
        pytest.param(
            {"start": "01:00", "end": "02:30"}, "2026-03-08T01:30", "2026-03-08T03:00:00-05:00", id="skipped"
        ),
    ],
)
def test_a_time_that_the_person_named_is_left_alone(
    window: dict[str, Any], at: str, until: str | None, federal: RuleSet, case: Case
) -> None:
    refusal = inconvenient_time(case(at=local(at), inconvenient=[window]), federal)
    if until is None:
        assert refusal is None
    else:
        assert refusal
        assert refusal.until
        assert refusal.until.astimezone(ZoneInfo("America/Chicago")).isoformat() == until
    assert inconvenient_time(case(channel="letter", at=local(at), inconvenient=[window]), federal) is None


def test_retry_waits_for_hours_and_inconvenient_times_alike(federal: RuleSet, case: Case) -> None:
    mornings = {"start": "00:00", "end": "13:00"}
    denied = check_contact(case(at=local("2026-11-18T22:00"), inconvenient=[mornings]), federal)
    assert isinstance(denied, Denied)
    assert denied.retry_at == local("2026-11-19T13:00").astimezone(UTC)


def test_times_that_leave_no_hour_have_no_retry(federal: RuleSet, case: Case) -> None:
    denied = check_contact(case(inconvenient=[{"start": "08:00", "end": "21:30"}]), federal)
    assert isinstance(denied, Denied)
    assert denied.retry_at is None


def test_a_place_that_the_person_named_is_left_alone(federal: RuleSet, case: Case) -> None:
    facts = case(place="home", inconvenient_places=["home"])
    refusal = inconvenient_place(facts, federal)
    assert refusal
    assert (refusal.citation, refusal.until) == ("12 CFR 1006.6(b)(1)(ii)", None)
    for place in ("work", "unknown"):
        assert inconvenient_place(case(place=place, inconvenient_places=["home"]), federal) is None


def test_a_state_may_close_the_workplace(strictest: RuleSet, federal: RuleSet, case: Case) -> None:
    facts = case(place="work", state="WA")
    assert inconvenient_place(facts, federal) is None
    refusal = inconvenient_place(facts, strictest)
    assert refusal
    assert refusal.citation == "RCW 19.16.250(13)(b)"


def test_the_workplace_is_closed_when_the_employer_forbids_it(federal: RuleSet, case: Case) -> None:
    hold = {"kind": "workplace", "since": local("2026-11-01T00:00")}
    refusal = workplace(case(place="work", holds=[hold]), federal)
    assert refusal
    assert refusal.citation == "12 CFR 1006.6(b)(3)"
    assert check_contact(case(place="home", holds=[hold]), federal).allowed
    assert check_contact(case(place="work"), federal).allowed
