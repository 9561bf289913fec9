"""The stand-in's API over HTTP: authentication, idempotency keys, faults, answers."""

import base64
import binascii
import json
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from sandbox.stripe.engine import Asked, Engine, Said, asked
from sandbox.stripe.faults import Fault, Faults, reset
from sandbox.stripe.refusals import Refusal
from sandbox.stripe.webhooks import Webhooks
from sandbox.stripe.world import API_VERSION, new_id

NOTICE: Final = "for development and tests only; this is not Stripe and charges nobody"
NOTICE_HEADER: Final = "Recoup-Sandbox"
_MOST_BODY: Final = 1 << 20
_VERSION: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")
_RATE_LIMIT: Final = Refusal(
    "Too many requests at once: slow down, and wait a little longer each time",
    code="rate_limit",
    status=429,
)
_ERROR: Final = Refusal("Something went wrong on the provider's side", kind="api_error")


class Api:
    """Answers requests below ``/v1``."""

    def __init__(self, engine: Engine, faults: Faults, webhooks: Webhooks) -> None:
        self._engine = engine
        self._faults = faults
        self._webhooks = webhooks

    async def answer(self, request: Request) -> Response:
        """One request, from its key to its answer."""
        try:
            call = await self._asked(request)
        except Refusal as refusal:
            return _refused(refusal, new_id("req"))
        fault = self._faults.met(call.method, call.path, call.account)
        try:
            if fault and (answered := await self._before(request, call, fault)):
                return answered
            said = await self._said(call, fault)
            self._webhooks.send()
            if fault and (answered := await self._after(request, call, fault)):
                return answered
        except Refusal as refusal:
            return _refused(refusal, call.id, call.key)
        return _response(request, call, said)

    async def _before(self, request: Request, call: Asked, fault: Fault) -> Response | None:
        """A fault that keeps the request from the API."""
        match fault.kind:
            case "unavailable":
                return Response("upstream unavailable", 503, media_type="text/plain")
            case "rate_limit":
                return _refused(_RATE_LIMIT, call.id, call.key)
            case "timeout_before":
                await self._faults.hang(request, fault.seconds)
                return Response()
            case "reset_before":
                reset(request)
                return Response()
        return None

    async def _said(self, call: Asked, fault: Fault | None) -> Said:
        """The stored answer of the key, or the work's. Raises ``Refusal`` for a key that cannot be used."""
        stored = self._engine.begin(call)
        if stored:
            return stored
        try:
            if fault and fault.kind == "slow":
                await self._faults.dawdle(fault.seconds)
            if fault and fault.kind == "error_before":
                said = _error()
                self._engine.keep(call, said)
                return said
            said = self._engine.work(call)
            if fault and fault.kind == "error_after":
                said = _error()
                self._engine.keep(call, said)
            return said
        finally:
            self._engine.end(call)

    async def _after(self, request: Request, call: Asked, fault: Fault) -> Response | None:
        """A fault that keeps the answer from the caller."""
        if fault.kind == "timeout_after":
            await self._faults.hang(request, fault.seconds)
            return Response()
        if fault.kind == "reset_after":
            reset(request)
            return Response()
        return None

    async def _asked(self, request: Request) -> Asked:
        pairs = parse_qsl(request.url.query, keep_blank_values=True)
        body = await request.body()
        if len(body) > _MOST_BODY:
            raise Refusal("The request is too large", status=413)
        if request.method == "POST" and body:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/x-www-form-urlencoded":
                raise Refusal("Send parameters as application/x-www-form-urlencoded, not as JSON")
            pairs += parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        version = request.headers.get("stripe-version", API_VERSION)
        if not version[:1].isdecimal() or not set(version) <= _VERSION:
            raise Refusal(f"Invalid Stripe API version: {version}")
        path = request.url.path.rstrip("/")
        return asked(
            request.method,
            path,
            pairs,
            secret_key=_secret_key(request),
            key=request.headers.get("idempotency-key"),
        )


def _error() -> Said:
    return Said(_ERROR.status, _json(_ERROR))


def _response(request: Request, call: Asked, said: Said) -> Response:
    headers = {"Request-Id": call.id, "Stripe-Version": request.headers.get("stripe-version", API_VERSION)}
    if call.key is not None:
        headers["Idempotency-Key"] = call.key
    if said.original:
        headers |= {"Idempotent-Replayed": "true", "Original-Request": said.original}
    return Response(said.body, said.status, headers, media_type="application/json")


def _refused(refusal: Refusal, request_id: str, key: str | None = None) -> Response:
    headers = {"Request-Id": request_id} | ({"Idempotency-Key": key} if key else {})
    return Response(_json(refusal), refusal.status, headers, media_type="application/json")


def _json(refusal: Refusal) -> str:
    return json.dumps(refusal.body)


def _secret_key(request: Request) -> str | None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(given, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None
