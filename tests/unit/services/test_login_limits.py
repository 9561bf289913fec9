"""Limits of logins: which lock comes next, what counts as one address, and waits in words."""

from datetime import timedelta

import pytest

from db.login_attempts import LockRule
from services.login_limits import in_words, network_of


def test_locks_grow_up_to_the_longest() -> None:
    minutes = [timedelta(minutes=each) for each in (1, 5, 15)]
    rule = LockRule(5, timedelta(minutes=15), tuple(minutes), timedelta(hours=1))
    assert [rule.lock_after(locks) for locks in (0, 1, 2, 3, 100)] == [*minutes, minutes[-1], minutes[-1]]


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_what_counts_as_one_address(ip: str, network: str) -> None:
    assert network_of(ip) == network


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (61, "2 minutes"),
        (300, "5 minutes"),
        (899, "15 minutes"),
    ],
)
def test_a_wait_in_words_is_never_too_short(seconds: int, words: str) -> None:
    assert in_words(seconds) == words
