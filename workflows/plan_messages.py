"""Messages of ``PaymentPlan``, apart from it so that they are made once and not for each plan."""

from uuid import UUID

from activities.messages import Message


class PlanInput(Message):
    """The plan whose row was written: all else is read from it."""

    agency_id: UUID
    plan_id: UUID
