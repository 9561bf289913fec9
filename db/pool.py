"""Connections that broke while nobody used them are noticed before the next one does."""

import select
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError

if TYPE_CHECKING:
    from sqlalchemy import Engine

QUIET_S = 5.0
"""A connection that was used this recently is looked at, but not asked for an answer."""

_RETURNED = "recoup.returned"


def check_before_use(engine: "Engine") -> None:
    """Replace connections that are broken when they are taken from the pool of ``engine``.

    Instead of ``pool_pre_ping``, which waits for an answer of the server each time. An idle server says
    nothing; one that ends closes its connections, and says so before. So a connection with something
    to read, or one that was idle for long, is asked whether it still works, and others are taken
    as they are.
    """

    @event.listens_for(engine, "checkin")
    def returned(connection: Any, record: Any) -> None:
        record.info[_RETURNED] = monotonic()

    @event.listens_for(engine, "checkout")
    def taken(connection: Any, record: Any, proxy: Any) -> None:
        since = record.info.get(_RETURNED)
        if since is None or (monotonic() - since < QUIET_S and not _has_news(connection)):
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def _has_news(connection: Any) -> bool:
    """Whether there is something to read, be it the end. Of a connection closed by us, yes."""
    driver = connection.driver_connection
    if driver.closed:
        return True
    poll = select.poll()
    poll.register(driver.fileno(), select.POLLIN)
    return bool(poll.poll(0))
