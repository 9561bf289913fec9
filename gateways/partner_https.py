"""Sending a body of bytes to a partner over HTTPS, signed as Standard Webhooks has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: HMAC-SHA256 over
``{id}.{timestamp}.{body}``, in the headers ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``.
"""

import asyncio
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
from standardwebhooks.webhooks import Webhook

from domain.errors import Conflict, Unavailable
from gateways.pinned_http import ForbiddenAddress, PinnedTransport, addresses_of

if TYPE_CHECKING:
    from ssl import SSLContext

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
ANSWER_BYTES: Final = 4096
"""How much of an answer is read."""

ANSWER_SHOWN: Final = 200
_LATER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_LONGEST_WAIT_S: Final = 3600


class PartnerUnavailable(Unavailable):
    """The partner did not take the delivery, or did not say that it did: the same is sent again."""

    type = "partner-unavailable"
    title = "Partner unavailable"


class PartnerRefused(Conflict):
    """The partner will not take this delivery, however often it is sent."""

    type = "partner-refused"
    title = "Refused by the partner"


class PartnerHttps:
    """Sends to partners' endpoints; times in seconds, ``timeout_s`` for the whole of a delivery.

    ``trusted``: the authorities of certificates, the usual ones by default.

    No redirect is followed: accounts go to the address that was set up, and nowhere else. A name is looked up
    once, its addresses are judged, and one of these is connected to. Behind a proxy of the environment
    (HTTPS_PROXY), it is the proxy that looks up and connects; the name is judged here as far as it is known.
    Each delivery has a connection of its own, for there are few of them and hours may lie between two.
    """

    def __init__(
        self, *, timeout_s: float = 60, connect_timeout_s: float = 10, trusted: "SSLContext | None" = None
    ) -> None:
        self._timeout_s = timeout_s
        self._timeout = httpx.Timeout(timeout_s, connect=connect_timeout_s)
        self._trusted = trusted or httpx.create_ssl_context()

    async def send(self, url: str, *, secret: str, key: str, body: bytes, media_type: str) -> str:
        """POST ``body`` (UTF-8) under the idempotency key ``key``; what was answered, as a line.

        Raises ``PartnerUnavailable`` for no answer, 5xx, 408, 425 and 429, with ``retry_after_s`` in its
        details where the partner names it, and ``PartnerRefused`` for any other answer but 2xx, or a name
        that leads to this machine or to none. What an answer other than 2xx says is not shown: it may be
        anybody's words.
        """
        now = datetime.now(UTC)
        headers = {
            "Content-Type": media_type,
            "Idempotency-Key": key,
            "webhook-id": key,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(key, now, body.decode()),
        }
        host = urlsplit(url).hostname or ""
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                httpx.AsyncClient(timeout=self._timeout, transport=await self._way(url, host)) as client,
                client.stream("POST", url, content=body, headers=headers) as answer,
            ):
                said = await _beginning(answer)
        except (ForbiddenAddress, httpx.InvalidURL):
            raise PartnerRefused(f"{host}: is no address of a partner; set the delivery_url to one") from None
        except TimeoutError:
            raise PartnerUnavailable(f"{host}: no answer within {self._timeout_s:g} s") from None
        except httpx.TimeoutException as error:
            raise PartnerUnavailable(f"{host}: no answer in time ({type(error).__name__})") from None
        except httpx.HTTPError as error:
            raise PartnerUnavailable(f"{host}: not reached ({type(error).__name__})") from None
        return _judged(host, answer, said)

    async def _way(self, url: str, host: str) -> httpx.AsyncBaseTransport:
        """How to reach a host. ``ForbiddenAddress`` for a name that is not to be asked for through a proxy.

        Where the name is this machine's own, whoever set it up was allowed to (in development only); it is
        not asked for through a proxy.
        """
        if host in LOOPBACK:
            return httpx.AsyncHTTPTransport(verify=self._trusted, trust_env=False)
        if (proxy := _proxy_for(url, host)) is None:
            return PinnedTransport(self._trusted)
        # A name that is not known here the proxy may know.
        await addresses_of(host)
        return httpx.AsyncHTTPTransport(verify=self._trusted, trust_env=False, proxy=proxy)


def _proxy_for(url: str, host: str) -> str | None:
    proxies = getproxies()
    found = proxies.get(urlsplit(url).scheme) or proxies.get("all")
    return found if found and not proxy_bypass(host) else None


async def _beginning(answer: httpx.Response) -> str:
    """The beginning of an answer as a line; a partner that never ends its answer is not listened to."""
    raw = bytearray()
    async for piece in answer.aiter_bytes():
        raw += piece
        if len(raw) >= ANSWER_BYTES:
            break
    text = bytes(raw[:ANSWER_BYTES]).decode(errors="replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()[:ANSWER_SHOWN]


def _judged(host: str, answer: httpx.Response, said: str) -> str:
    status = answer.status_code
    if answer.is_success:
        return f"{status}: {said}" if said else str(status)
    if answer.is_server_error or status in _LATER:
        wait = _seconds(answer.headers.get("retry-after", ""))
        details = {} if wait is None else {"retry_after_s": wait}
        raise PartnerUnavailable(f"{host}: answered {status}", **details)
    if answer.is_redirect:
        raise PartnerRefused(f"{host}: answered {status}, a redirect; set the delivery_url to where it leads")
    raise PartnerRefused(f"{host}: answered {status}")


def _seconds(value: str) -> int | None:
    """The seconds of a Retry-After header; its other form, a date, is passed over."""
    return min(int(value), _LONGEST_WAIT_S) if value.isascii() and value.isdigit() else None
