"""The answer about one contact."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.compliance.facts import Instant


class Allowed(BaseModel):
    """No rule of the set forbids the contact; ``notes`` say what it must carry or what is due soon.

    ``rule_set`` is ``name@version``, the version being the SHA-256 of the set.
    """

    model_config = ConfigDict(frozen=True)

    allowed: Literal[True] = True
    rule_set: str
    notes: tuple[str, ...] = ()


class Denied(BaseModel):
    """The first rule that forbids the contact.

    ``rule`` is the name of its function, ``citation`` its source. ``retry_at`` is the earliest moment at
    which, with nothing else changed, no rule forbids it; ``None`` where time alone does not help.
    """

    model_config = ConfigDict(frozen=True)

    allowed: Literal[False] = False
    rule_set: str
    rule: str
    citation: str
    retry_at: Instant | None = None
    explanation: str


Decision = Annotated[Allowed | Denied, Field(discriminator="allowed")]
"""Either; ``pydantic.TypeAdapter(Decision)`` reads a stored one."""
