"""What the law can be asked about a contact."""

import re
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BeforeValidator

from api.parameters import asked
from domain.compliance import Channel, Place, Purpose, Recipient
from services.compliance import Question
from services.contact_views import Moment

_UNESCAPED = re.compile(r"(?<=\d) (?=\d{2}:?\d{2}$)")


def _plus(value: object) -> object:
    """``+`` stands for a space in a query; before an offset nothing else can have been meant."""
    return _UNESCAPED.sub("+", value) if isinstance(value, str) else value


QueryMoment = Annotated[Moment, BeforeValidator(_plus)]


class CheckQuery:
    """The contact that ``GET …/contact-check`` asks about."""

    def __init__(
        self,
        channel: Annotated[Channel, Query()],
        at: Annotated[QueryMoment | None, Query(description="with its offset; now unless said")] = None,
        purpose: Annotated[Purpose, Query()] = Purpose.GENERAL,
        recipient: Annotated[Recipient, Query()] = Recipient.CONSUMER,
        place: Annotated[Place, Query()] = Place.UNKNOWN,
    ) -> None:
        self.question = Question(channel=channel, purpose=purpose, recipient=recipient, place=place, at=at)


CheckQueryDep = Annotated[CheckQuery, Depends(asked(CheckQuery))]
