"""A partner's name whose address changes between the look and the connection, and what stays of the name."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateways.partner_https import PartnerHttps, PartnerRefused, PartnerUnavailable
from gateways.pinned_http import ForbiddenAddress, addresses_of
from tests.integration.partners.endpoint import SECRET

NAME = "partner.example"
HERE = "127.0.0.1"


def _own_address() -> str:
    """An address of this machine that others could reach."""
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family == socket.AF_INET and not ipaddress.ip_address(each.address).is_loopback:
                return str(each.address)
    pytest.skip("this machine has no address but its loopback's")


def _certificate(folder: Path, name: str) -> Path:
    """A certificate for ``name`` that signs itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


@dataclass
class Server:
    """An HTTPS server that notes what it was asked for; ``answer`` is its status line."""

    trusted: ssl.SSLContext
    answer: str = "204 No Content"
    hosts: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    port: int = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request and answer it."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        await reader.readexactly(int(headers["content-length"]))
        self.hosts.append(headers["host"])
        writer.write(f"HTTP/1.1 {self.answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    def named(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        """Note the name that the handshake asks for."""
        self.names.append(name)


@dataclass
class Names:
    """A name server: the addresses that ``NAME`` has at each further look; the last stay."""

    answers: list[list[str]]
    asked: int = 0

    def look_up(self, host: Any, port: Any, *args: Any, **more: Any) -> list[Any]:
        """As ``socket.getaddrinfo``."""
        if host not in {NAME, NAME.encode()}:
            return _TRUE_LOOK(host, port, *args, **more)
        self.asked += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return [_TRUE_LOOK(address, port, *args, **more)[0] for address in addresses]


_TRUE_LOOK = socket.getaddrinfo


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Server]:
    """The partner's server, at an address that may be connected to."""
    async for server in _serving(tmp_path, NAME):
        yield server


async def _serving(folder: Path, name: str) -> AsyncIterator[Server]:
    file = _certificate(folder, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server = Server(ssl.create_default_context(cafile=file))
    context.sni_callback = server.named
    listening = await asyncio.start_server(server.take, _own_address(), 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()


async def _send(server: Server) -> str:
    gateway = PartnerHttps(timeout_s=5, connect_timeout_s=1, trusted=server.trusted)
    return await gateway.send(
        f"https://{NAME}:{server.port}/accounts", secret=SECRET, key="1", body=b"[]", media_type="text/plain"
    )


def _resolver(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> Names:
    names = Names(list(answers))
    monkeypatch.setattr(socket, "getaddrinfo", names.look_up)
    return names


async def test_the_address_that_was_judged_is_the_one_that_is_connected_to(
    outside: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = _resolver(monkeypatch, [_own_address()], [HERE])
    assert await _send(outside) == "204"
    assert (outside.hosts, outside.names) == ([f"{NAME}:{outside.port}"], [NAME])
    assert names.asked == 1


async def test_a_second_look_is_judged_anew(outside: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolver(monkeypatch, [_own_address()], [HERE])
    await _send(outside)
    with pytest.raises(PartnerRefused, match=f"{NAME}: is no address of a partner"):
        await _send(outside)
    assert len(outside.hosts) == 1


async def test_one_bad_address_among_good_ones_is_enough(
    outside: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolver(monkeypatch, [_own_address(), "169.254.169.254"])
    with pytest.raises(PartnerRefused):
        await _send(outside)
    assert outside.names == []


async def test_another_address_is_tried_where_nobody_listens(
    outside: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody is at an address of TEST-NET-3 (RFC 5737): refused, unreachable, or no answer within a second.
    _resolver(monkeypatch, ["203.0.113.9", _own_address()])
    assert await _send(outside) == "204"


async def test_a_name_that_nobody_knows_may_be_known_later(
    outside: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolver(monkeypatch, [])
    with pytest.raises(PartnerUnavailable, match="not reached"):
        await _send(outside)


async def test_the_certificate_is_held_against_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolver(monkeypatch, [_own_address()])
    async for server in _serving(tmp_path, "another.example"):
        with pytest.raises(PartnerUnavailable, match="not reached"):
            await _send(server)
        assert server.hosts == []


async def test_a_redirect_is_not_followed(outside: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    outside.answer = f"307 Elsewhere\r\nLocation: https://{HERE}:{outside.port}/"
    _resolver(monkeypatch, [_own_address()])
    with pytest.raises(PartnerRefused, match="a redirect; set the delivery_url to where it leads"):
        await _send(outside)
    assert len(outside.hosts) == 1


@pytest.mark.parametrize(
    ("proxies", "reached"),
    [
        ({"HTTPS_PROXY": "http://127.0.0.1:1"}, False),
        ({"ALL_PROXY": "http://127.0.0.1:1"}, False),
        ({"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": ".example"}, True),
        ({"HTTP_PROXY": "http://127.0.0.1:1"}, True),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_a_proxy_of_the_environment_is_asked_instead(
    outside: Server, monkeypatch: pytest.MonkeyPatch, proxies: dict[str, str], reached: bool
) -> None:
    _resolver(monkeypatch, [_own_address()])
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in proxies.items():
        monkeypatch.setenv(name, value)
    if reached:
        assert await _send(outside) == "204"
        return
    with pytest.raises(PartnerUnavailable, match="not reached"):
        await _send(outside)
    assert outside.names == []


@pytest.mark.parametrize(
    "address",
    [
        "127.8.8.8", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1",  # noqa: S104
        "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
    ],
)  # fmt: skip
async def test_addresses_that_are_nobody_s(address: str) -> None:
    with pytest.raises(ForbiddenAddress):
        await addresses_of(address)


@pytest.mark.parametrize("address", ["203.0.113.7", "10.1.2.3", "2001:db8::7", "64:ff9b::cb00:7107"])
async def test_addresses_that_may_be_a_partner_s(address: str) -> None:
    assert await addresses_of(address) == (address,)
