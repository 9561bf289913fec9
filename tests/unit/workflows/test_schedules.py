"""The schedules as they are declared."""

from datetime import time, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from activities.assignment import AssignmentRequest
from activities.scoring import ScoringRequest
from workflows import queues
from workflows.schedules import Daily, Every, declared, schedule_ids

EVERY = timedelta(minutes=15)


@given(st.uuids())
def test_every_agency_has_its_own_and_they_are_spread_in_time(agency_id: UUID) -> None:
    schedules = declared(agency_id, time_zone="America/Chicago", poll_every=EVERY)

    assert tuple(schedule.id for schedule in schedules) == schedule_ids(agency_id)
    assert {schedule.workflow for schedule in schedules} == {
        "PortfolioPoll",
        "Admission",
        "NoticeDelivery",
        "FiguresRefresh",
        "PaymentReconciliation",
        "PaymentSweep",
        "PortfolioScoring",
        "AutoAssignment",
    }
    for schedule in schedules:
        assert str(agency_id) in schedule.id
        assert str(agency_id) in schedule.workflow_id
        assert schedule.argument.agency_id == agency_id
        if isinstance(schedule.timing, Every):
            assert timedelta(0) <= schedule.timing.offset(agency_id) < schedule.timing.period
            assert schedule.catch_up > schedule.timing.period


def test_agencies_do_not_all_fire_at_once() -> None:
    ids = [UUID(int=n * 7919) for n in range(50)]
    offsets = {Every(EVERY).offset(agency_id) for agency_id in ids}

    assert len(offsets) > 40


def test_all_accounts_are_scored_each_night_where_the_agency_is() -> None:
    *_, nightly, _ = declared(UUID(int=1), time_zone="America/Denver", poll_every=EVERY)

    assert nightly.timing == Daily(time(4, 30), "America/Denver")
    assert nightly.argument == ScoringRequest(agency_id=UUID(int=1), origin="schedule")
    # A whole night missed is made up for, but never by two runs.
    assert timedelta(hours=12) < nightly.catch_up < timedelta(days=1)


def test_accounts_are_assigned_each_morning_with_the_scores_of_the_night() -> None:
    *_, nightly, morning = declared(UUID(int=1), time_zone="America/Denver", poll_every=EVERY)

    assert morning.timing == Daily(time(5, 30), "America/Denver")
    assert isinstance(nightly.timing, Daily)
    assert nightly.timing.at < morning.timing.at
    assert morning.argument == AssignmentRequest(agency_id=UUID(int=1), origin="schedule")
    # The workflow tells a scheduled start, which has only to start the one run, by its id.
    assert morning.workflow_id != queues.assignment_workflow_id(UUID(int=1))
