"""Time zones by telephone number, address and what is known (12 CFR 1006.6(b)(1)(i))."""

from zoneinfo import available_timezones

import pytest

from domain.compliance import state_code, zones_of
from domain.compliance.places import STATE_NAMES, STATE_ZONES
from sandbox.portfolio_tables import PLACES

NY, CHI, DEN, LA = "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"


@pytest.mark.parametrize(
    ("phone", "state", "postal_code", "known", "country", "zones"),
    [
        pytest.param("+12125550147", None, None, None, "US", (NY,), id="number"),
        pytest.param("+12125550147", "CA", "94105", None, "US", (LA, NY), id="moved-with-the-number"),
        pytest.param(
            "+12125550147", "CA", "94105", "Pacific/Honolulu", "US", (LA, NY, "Pacific/Honolulu"), id="all"
        ),
        pytest.param("+18005550147", None, None, None, "US", (), id="toll-free-is-nowhere"),
        pytest.param("+442079460000", None, None, None, "US", ("Europe/London",), id="abroad"),
        pytest.param("no number", "tx", None, None, "US", (CHI, DEN), id="split-state"),
        pytest.param(None, "TX", "79901", None, "US", (DEN,), id="el-paso"),
        pytest.param(None, "TX", "77002-1234", None, "US", (CHI,), id="houston"),
        pytest.param(None, "TX", "79830", None, "US", (CHI, DEN), id="prefix-on-the-line"),
        pytest.param(None, "TX", "7790", None, "US", (CHI,), id="damaged-zip"),
        pytest.param(None, "TX", "??", None, "US", (CHI, DEN), id="no-zip"),
        pytest.param(None, "Florida", "32501", None, "United States", (CHI,), id="pensacola"),
        pytest.param(None, "FL", "33101", None, None, (NY,), id="miami"),
        pytest.param(None, "AZ", "85001", None, "USA", ("America/Phoenix",), id="phoenix"),
        pytest.param(None, "AZ", "86033", None, "us", (DEN, "America/Phoenix"), id="navajo-nation"),
        pytest.param(None, "CA", "K1A", None, "CA", (), id="another-country"),
        pytest.param(None, "Ontario", None, None, "US", (), id="no-state"),
        pytest.param("", "", "", "", "", (), id="nothing"),
    ],
)
def test_every_zone_that_a_fact_points_to(
    phone: str | None,
    state: str | None,
    postal_code: str | None,
    known: str | None,
    country: str | None,
    zones: tuple[str, ...],
) -> None:
    assert zones_of(phone, state, postal_code, known, country) == zones


def test_every_zone_of_the_table_exists() -> None:
    assert {zone for zones in STATE_ZONES.values() for zone in zones} <= available_timezones()
    assert set(STATE_NAMES) <= set(STATE_ZONES)


@pytest.mark.parametrize(("city", "state", "prefix", "area"), PLACES, ids=[place[0] for place in PLACES])
def test_address_and_area_code_of_a_city_agree(city: str, state: str, prefix: str, area: str) -> None:
    (zone,) = zones_of(None, state, f"{prefix}01", None)
    number = zones_of(f"+1{area}5550100", None, None, None)
    assert zone.replace("Detroit", "New_York") in {name.replace("Detroit", "New_York") for name in number}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ny", "NY"),
        (" New  York ", "NY"),
        ("PR", "PR"),
        ("district of columbia", "DC"),
        ("XX", None),
        (None, None),
    ],
)
def test_states_by_code_or_name(text: str | None, code: str | None) -> None:
    assert state_code(text) == code
