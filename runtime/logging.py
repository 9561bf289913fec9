"""Structured logs: one event per line, with the context of its request, workflow or activity.

Events carry ids, counts and durations; never personal data, query values or secrets.
"""

import logging
import sys
import traceback
from collections.abc import Sequence
from enum import Enum
from typing import Any

import structlog

_CHATTY = ("alembic", "asyncssh", "httpx", "httpcore", "uvicorn.access", "stripe", "urllib3")
_QUOTING = ("temporalio",)
"""Loggers that show whole payloads when they are to debug."""


def configure_logging(
    level: str = "INFO",
    *,
    as_json: bool | None = None,
    process: str | None = None,
    more: Sequence[structlog.typing.Processor] = (),
) -> None:
    """Send structlog and the standard library's loggers to stderr, one line an event.

    ``as_json`` None: JSON unless stderr is a terminal. ``process`` names the process in every event;
    ``more`` adds to each what else is known where it arises.
    Raises ``ValueError`` for an unknown level.
    """
    if as_json is None:
        as_json = not sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        *([_named(process)] if process else []),
        *more,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _discreet,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _QUOTING:
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))


def _named(process: str) -> structlog.typing.Processor:
    def name(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("process", process)
        return event

    return name


def _discreet(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Exceptions that libraries log, and what asyncio tells of tasks, without their messages."""
    if found := event.pop("exc_info", None):
        if not isinstance(found, BaseException):
            found = found[1] if isinstance(found, tuple) else sys.exc_info()[1]
        if found is not None:
            event["exception"] = failure(found)
    if event.get("logger") == "asyncio":
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


def failure(error: BaseException) -> dict[str, Any]:
    """What a log may say about an unexpected failure: its chain of types and where it arose.

    Its message is left out: messages of database drivers and validators quote values.
    """
    chain = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return {
        "error": [_kind(item) for item in chain],
        "frames": [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__, limit=-12)
        ],
    }


def _kind(error: BaseException) -> str:
    """The type of an error, with the code that its server gave it: a gRPC status, an SQLSTATE."""
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    status, sqlstate = getattr(error, "status", None), getattr(error, "sqlstate", None)
    code = status.name if isinstance(status, Enum) else sqlstate
    return f"{name} ({code})" if isinstance(code, str) else name
