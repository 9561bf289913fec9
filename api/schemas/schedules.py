"""The shape of the list of schedules."""

from pydantic import BaseModel

from services.schedules import ScheduleView


class ScheduleList(BaseModel):
    """All schedules of an agency: there are only a few, so never more than one page."""

    results: list[ScheduleView]
    next: None = None
    previous: None = None
