"""Numbers of cards are found however they are written, and other digits are left alone."""

from hypothesis import given
from hypothesis import strategies as st

from domain.card_numbers import has_card_number

CARDS = (
    "4242424242424242",
    "4242 4242 4242 4242",
    "4242-4242-4242-4242",
    "pm_4242424242424242",
    "card4242424242424242",
    "paid with 378282246310005, thanks",
    "5555 5555 5555 4444 12/29",
    "1 4242 4242 4242 4242",
    "6011\u00a01111\u20131111\u00a01117",
    "2223003122003222",
    "\uff14\uff12" * 8,
    "4222222222222",
)
OTHERS = (
    "",
    "4242424242424243",
    "check 10442",
    "+1 (214) 555-0100",
    "2026-03-31 2026-04-30",
    "pay-1711893600126",
    "pm_1PXk2LKZ5uE8hQn0Zx3mVb4T",
    "42424242424242424242424242424242",
    "40000000-0000-4000-8000-000000000002",
    "a4242424242424242a4242424242424242",
)


def test_the_number_of_a_card_is_found_however_it_is_written() -> None:
    assert [text for text in CARDS if not has_card_number(text)] == []


def test_other_digits_are_left_alone() -> None:
    assert [text for text in OTHERS if has_card_number(text)] == []


@given(st.uuids())
def test_no_random_id_is_taken_for_a_card(key: object) -> None:
    assert not has_card_number(str(key))
    assert not has_card_number(f"pay/{str(key).replace('-', '')}")


@given(st.integers(4 * 10**14, 5 * 10**14 - 1), st.sampled_from(["{}", "ref {} x", "pm_{}"]))
def test_of_ten_check_digits_one_makes_a_card(stem: int, where: str) -> None:
    assert sum(has_card_number(where.format(f"{stem}{digit}")) for digit in range(10)) == 1
