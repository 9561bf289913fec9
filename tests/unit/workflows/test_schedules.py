"""The schedules as they are declared."""

from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from workflows.schedules import declared, schedule_ids

EVERY = timedelta(minutes=15)


@given(st.uuids())
def test_every_agency_has_its_own_and_they_are_spread_in_time(agency_id: UUID) -> None:
    schedules = declared(agency_id, poll_every=EVERY)

    assert tuple(schedule.id for schedule in schedules) == schedule_ids(agency_id)
    assert {schedule.workflow for schedule in schedules} == {"PortfolioPoll", "Admission"}
    for schedule in schedules:
        assert str(agency_id) in schedule.id
        assert str(agency_id) in schedule.workflow_id
        assert schedule.argument.agency_id == agency_id
        assert timedelta(0) <= schedule.offset < schedule.every
        assert schedule.catch_up > schedule.every


def test_agencies_do_not_all_fire_at_once() -> None:
    offsets = {declared(UUID(int=n * 7919), poll_every=EVERY)[0].offset for n in range(50)}

    assert len(offsets) > 40
