"""Where accounts may be sent in production, and which times of day a schedule can keep."""

from datetime import time

import pytest

from domain.errors import Invalid
from domain.partners import check_delivery_url, check_reconcile_at, outbox_file, partner_folder


@pytest.mark.parametrize(
    "url",
    ["https://partner.example/in", "https://partner.example:8443/in?x=1", "https://10.1.2.3/in"],
)
def test_partners_are_reached_by_https(url: str) -> None:
    check_delivery_url(url, plain_http=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/in",
        "http://partner.example/in",
        "https://127.0.0.1/in",
        "https://[::1]/in",
        "https://LOCALHOST/in",
        "https://0.0.0.0/in",
        "https://[fe80::1]/in",
        "https://partner.example/ä",
        "https://partner.example/a b",
        "https://partner.example/" + "a" * 2000,
        "//partner.example",
        "partner.example",
        "",
    ],
)
def test_in_production_nothing_else_will_do(url: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_delivery_url(url, plain_http=False)
    assert refusal.value.field == "delivery_url"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/in", "http://localhost/in", "http://[::1]:1/in"])
def test_in_development_this_machine_will_do(url: str) -> None:
    check_delivery_url(url, plain_http=True)


@pytest.mark.parametrize("at", [time(0, 59), time(3), time(23, 59)])
def test_times_that_every_day_has_once(at: time) -> None:
    check_reconcile_at(at)


@pytest.mark.parametrize("at", [time(1), time(2, 59), time(6, 30, 1)])
def test_times_that_some_days_lack_or_have_twice(at: time) -> None:
    with pytest.raises(ValueError, match="must"):
        check_reconcile_at(at)


def test_what_a_partner_is_to_fetch_lies_below_its_folder() -> None:
    assert partner_folder("northgate") == "/partners/northgate"
    assert outbox_file("northgate", "a.csv") == "/partners/northgate/to-partner/a.csv"
