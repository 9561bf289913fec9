"""Messages of the matching of a partner's statements."""

from typing import Any

from pydantic import Field

from activities.messages import Message


class MatchFigures(Message):
    """What the matching of one run came to.

    ``lines``: of its statements; ``problems``: those that could not be read; ``matched``: those with their
    account or payment found. ``breaks``: differences that it found, of which ``opened`` are new and
    ``resolved`` were resolved by rules; ``cured``: earlier ones that are gone. ``older``: lines behind what
    the partner had said before. ``report``: the same by kind, cause and rule; amounts are texts.
    """

    lines: int = 0
    problems: int = 0
    matched: int = 0
    breaks: int = 0
    opened: int = 0
    resolved: int = 0
    cured: int = 0
    older: int = 0
    report: dict[str, Any] = Field(default_factory=dict)
