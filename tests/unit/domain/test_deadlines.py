"""When deadlines fall."""

from datetime import UTC, date, datetime
from zoneinfo import available_timezones

from domain.deadlines import end_of_day, hold_deadline


def test_a_hold_ends_when_its_last_day_is_over_wherever_the_person_may_be() -> None:
    until = date(2026, 3, 8)

    ends = hold_deadline(until)

    assert ends.astimezone(UTC) == datetime(2026, 3, 9, 12, tzinfo=UTC)
    assert ends == max(end_of_day(until, zone) for zone in available_timezones())
