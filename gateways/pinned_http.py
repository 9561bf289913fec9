"""HTTP to hosts that others have named: a name is looked up once, judged, and connected to as it was judged.

Else a name server could give one address to who judges and another, such as this machine's or that of a
cloud's metadata, to who connects ("DNS rebinding").
"""

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING, Final

import httpx

if TYPE_CHECKING:
    from ssl import SSLContext

_IPV4_IN_IPV6: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""What a network's translator sends on to the IPv4 address in the last four bytes (RFC 6052, 2.1)."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ForbiddenAddress(Exception):
    """A name leads to this machine, or to nobody in particular."""


async def addresses_of(host: str) -> tuple[str, ...]:
    """The addresses of a host, best first; none where nobody knows the name.

    Raises ``ForbiddenAddress`` if one of them is of this machine, of the link, of a group, or none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    addresses = tuple(dict.fromkeys(str(address[0]) for *_, address in found))
    if any(map(_is_nobody, addresses)):
        raise ForbiddenAddress(host)
    return addresses


class PinnedTransport(httpx.AsyncBaseTransport):
    """Connects to addresses that were judged, by no proxy; each request's host, redirects' too, is judged.

    The name stays in ``Host`` and in the TLS handshake, and it is what the certificate is held against.
    Raises ``ForbiddenAddress`` as ``addresses_of`` does.
    """

    def __init__(self, trusted: "SSLContext") -> None:
        self._direct = httpx.AsyncHTTPTransport(verify=trusted, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask at the first address that takes a connection."""
        failure: httpx.TransportError = httpx.ConnectError("nobody knows the name")
        for address in await addresses_of(request.url.host):
            try:
                return await self._direct.handle_async_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                # Nothing was sent yet.
                failure = error
        raise failure

    async def aclose(self) -> None:
        """Close every connection."""
        await self._direct.aclose()


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


def _is_nobody(text: str) -> bool:
    address = _meant(ipaddress.ip_address(text.partition("%")[0]))
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address == ipaddress.IPv4Address("255.255.255.255")
    )


def _meant(address: _Address) -> _Address:
    """The IPv4 address within one of version 6 that stands for it; else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _IPV4_IN_IPV6:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address
