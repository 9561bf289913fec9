"""Messages of ``AccountLifecycle``, apart from it so that they are made once and not for each account."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from activities.account_messages import AccountSnapshot, Transition
from activities.messages import Message


class LifecycleInput(Message):
    """The account, and what an earlier run of its lifecycle knew of it and had yet to do.

    ``by_command``: a command has started it, before its account was admitted in its turn.
    ``alarms``: it has a timer for each deadline, as every run that is started now; of one that was started
    before, its history tells (``workflow.patched``), which a new one is spared.
    ``posted`` and ``reversed_``: money came in, or went back; ``transitions`` were asked for by signal.
    """

    agency_id: UUID
    account_id: UUID
    by_command: bool = False
    alarms: bool = False
    snapshot: AccountSnapshot | None = None
    posted: bool = False
    reversed_: bool = False
    transitions: tuple[Transition, ...] = ()


class Expected(Message):
    """Something that the lifecycle waits for: ``what`` in words, ``at`` when it happens by itself."""

    what: str
    at: datetime


class LifecycleDescription(Message):
    """Where an account's process stands, as the API shows it."""

    state: str
    holds: tuple[str, ...] = ()
    next: list[Expected] = Field(default_factory=list)
