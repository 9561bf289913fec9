"""The edge of the application: what happens to every request, whatever its route.

Plain ASGI, so that streams pass through untouched.
"""

import re
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from time import perf_counter
from types import MappingProxyType

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from runtime.logging import failure
from runtime.metrics import HttpMetrics

REQUEST_ID_HEADER = "X-Request-ID"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_UNMATCHED = "(unmatched)"
_log = structlog.stdlib.get_logger("api")

SECURITY_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Cache-Control": "no-store",
    }
)
"""Sent with every answer that does not say otherwise itself."""


class Edge:
    """Request ids, the access log, metrics, security headers, and an answer when something is broken."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _drop_trailing_slash(scope)
        exchange = _Exchange(scope, send)
        with (
            structlog.contextvars.bound_contextvars(request_id=exchange.request_id),
            self._metrics.in_progress.track_inprogress(),
        ):
            try:
                await self._app(exchange.scope, receive, exchange.send)
            except Exception as error:  # noqa: BLE001 - the last resort: recorded, and answered without a word of it
                await self._broken(error, exchange, receive)
            finally:
                self._record(exchange)

    async def _broken(self, error: Exception, exchange: "_Exchange", receive: Receive) -> None:
        incident_id = record_incident(error, exchange.route)
        if exchange.status is None:
            response = problems.incident(exchange.scope["path"], incident_id)
            await response(exchange.scope, receive, exchange.send)

    def _record(self, exchange: "_Exchange") -> None:
        seconds = perf_counter() - exchange.began
        status = exchange.status or HTTPStatus.INTERNAL_SERVER_ERROR
        method = exchange.method
        self._metrics.observe(method, exchange.route, status, seconds)
        if exchange.route not in {"/health/live", "/metrics"}:
            _log.info(
                "request",
                method=method,
                route=exchange.route,
                status=int(status),
                duration_ms=round(seconds * 1000, 1),
            )


def record_incident(error: Exception, route: str) -> str:
    """Log a failure that nobody expected; returns the id under which it is found."""
    incident_id = secrets.token_hex(8)
    _log.error("request failed", incident=incident_id, route=route, **failure(error))
    return incident_id


class _Exchange:
    """One request and what is known of its answer so far.

    ``HEAD`` is ``GET`` to the application, whose answer is sent without its body (RFC 9110, 9.3.2).
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        self.method: str = scope["method"]
        # A copy, for the server looks at its own scope when the answer comes.
        self.scope = {**scope, "method": "GET"} if self.method == "HEAD" else scope
        self.status: int | None = None
        self.began = perf_counter()
        self._send = send

    @property
    def route(self) -> str:
        """The template of the matched route, never the path itself."""
        return getattr(self.scope.get("route"), "path_format", None) or _UNMATCHED

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID_HEADER] = self.request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            if self.scope["scheme"] == "https":
                headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await self._send(message)
            if self.method == "HEAD":
                # At once: a stream would be waited for.
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif self.method != "HEAD":
            await self._send(message)


class BodyLimit:
    """Refuse bodies above a size with 413: by their declared length, or as soon as they exceed it.

    ``exceptions`` gives single paths another limit. All in bytes. What is not below ``programs`` is asked for
    by people: there, a body is refused only when it is to be read, by whoever answers them in pages.
    """

    def __init__(
        self, app: ASGIApp, limit: int, exceptions: Mapping[str, int], *, programs: str = "/"
    ) -> None:
        self._app = app
        self._limit = limit
        self._exceptions = exceptions
        self._programs = programs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._exceptions.get(scope["path"], self._limit)
        declared = Headers(scope=scope).get("content-length", "")
        too_large = declared.isdecimal() and int(declared) > limit
        if too_large and scope["path"].startswith(self._programs):
            await _too_large(scope["path"], limit)(scope, receive, send)
            return
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message: Message = {} if too_large else await receive()
            taken += len(message.get("body", b""))
            if too_large or taken > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large_detail(limit))
            return message

        await self._app(scope, limited, send)


def _too_large_detail(limit: int) -> str:
    return f"the body is larger than the {limit} bytes that this address takes"


def _too_large(path: str, limit: int) -> problems.ProblemResponse:
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return problems.problem(
        path,
        slug=status.phrase.lower().replace(" ", "-"),
        title=status.phrase,
        status=status,
        detail=_too_large_detail(limit),
    )


def _drop_trailing_slash(scope: Scope) -> None:
    path = scope["path"]
    if len(path) > 1 and path.endswith("/"):
        scope["path"] = path.rstrip("/") or "/"
