"""Messages about the statement files of a partner."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from activities.messages import Message


class StatementFile(Message):
    """A file as it was seen in a partner's folder: ``size`` in bytes, ``mtime`` in seconds since the epoch.

    Of a ``dry_run`` it stays where it is.
    """

    agency_id: UUID
    partner_id: UUID
    path: str
    name: str
    size: int
    mtime: int
    found_at: datetime
    dry_run: bool = False


class StatementSighting(Message):
    """What lies in a partner's folder.

    ``files`` have to look the same after ``settle_s`` seconds. ``problems`` are sentences about what is not
    taken. ``whole``: ``files`` are all that may be statements; nothing was refused, or left for the next run.
    """

    files: list[StatementFile]
    problems: list[str]
    settle_s: float
    whole: bool = True


class StagedStatement(Message):
    """What became of one file.

    ``staged``: it is a statement that waits for its run. ``known``: the same content was staged before, it
    changes nothing. ``refused``: it is no statement, for ``reason``. ``changed``: it is not (or no longer)
    the file that was seen, and is left for the next run. ``lines`` are all of it, ``problems`` of them
    unreadable.
    """

    statement_id: UUID | None
    state: Literal["staged", "known", "refused", "changed"]
    reason: str | None = None
    lines: int = 0
    problems: int = 0


class PutAway(Message):
    """Files that left a partner's folder, and sentences about those that could not be moved."""

    moved: int
    problems: list[str]
