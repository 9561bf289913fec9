"""Partners: how accounts reach them, where their folder is, and what can never work."""

import base64
import binascii
import ipaddress
import posixpath
from datetime import time
from typing import Literal
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from domain.errors import Invalid

PartnerKind = Literal["agency", "bank"]
Delivery = Literal["none", "sftp", "https"]

MAX_URL_LENGTH = 2000
SECRET_PREFIX = "whsec_"  # noqa: S105 - what every such secret begins with
SECRET_BYTES = (24, 64)
"""The least and the most bytes of a signing secret (Standard Webhooks, “Signature scheme”)."""

CLOCKS_CHANGE = (time(1), time(3))
"""Between these times of day an hour is left out in spring and comes twice in autumn."""

OUTBOX = "to-partner"
_LOCALHOST = "localhost"


def partner_folder(name: str) -> str:
    """A partner's folder on its SFTP server, where its statements arrive."""
    return f"/partners/{name}"


def outbox_file(name: str, file_name: str) -> str:
    """The path of a file that a partner is to fetch from its SFTP server."""
    return posixpath.join(partner_folder(name), OUTBOX, file_name)


def check_delivery(
    *, kind: str, delivery: str, source_id: UUID | None, delivery_url: str | None, has_secret: bool
) -> None:
    """``Invalid``, naming the field, for a delivery that could never reach the partner."""
    if delivery != "none" and kind == "bank":
        raise Invalid("a bank is sent no accounts; its delivery is none", field="delivery")
    if delivery == "sftp" and source_id is None:
        raise Invalid(
            "delivery over SFTP needs the source_id of the SFTP server with the partner's folder",
            field="source_id",
        )
    if delivery == "https" and delivery_url is None:
        raise Invalid("delivery over HTTPS needs a delivery_url", field="delivery_url")
    if delivery == "https" and not has_secret:
        raise Invalid(
            "delivery over HTTPS needs a signing_secret (whsec_…), which the partner knows, too",
            field="signing_secret",
        )


def check_takes_accounts(kind: str, **chosen: object) -> None:
    """``Invalid``, naming the field, where a bank would choose accounts by the fields ``chosen``."""
    for field, value in chosen.items():
        if kind == "bank" and value:
            raise Invalid(f"a bank works no accounts; leave {field} out", field=field)


def check_delivery_url(url: str, *, plain_http: bool) -> None:
    """``Invalid`` (field ``delivery_url``) unless ``url`` is one that accounts may be sent to.

    That is ``https``, or, where ``plain_http`` allows it, ``http`` to this machine. It holds no user or
    password, which would be shown, and no fragment, which would not be sent.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _bad_url("is not a URL; give one such as https://partner.example/accounts") from None
    if len(url) > MAX_URL_LENGTH or not url.isascii() or not url.isprintable() or " " in url:
        raise _bad_url(f"must be at most {MAX_URL_LENGTH} printable ASCII characters without blanks")
    if not host:
        raise _bad_url("names no host; give one such as https://partner.example/accounts")
    if port == 0:
        raise _bad_url("names port 0, where nobody can listen")
    if parts.username is not None or parts.password is not None:
        raise _bad_url("must not hold a user or password; deliveries are signed")
    if parts.fragment:
        raise _bad_url("must not have a fragment (#…), which is not sent")
    _check_scheme(parts, host, plain_http=plain_http)


def _check_scheme(parts: SplitResult, host: str, *, plain_http: bool) -> None:
    local = host == _LOCALHOST or _loopback(host)
    if parts.scheme == "http" and local and plain_http:
        return
    if parts.scheme != "https":
        raise _bad_url("must begin with https://: accounts are not sent where others could read them")
    if local and not plain_http:
        raise _bad_url("must not lead to this machine itself")
    address = _address(host)
    if address and (address.is_link_local or address.is_unspecified or address.is_multicast):
        raise _bad_url("must lead to a partner: this address means nobody in particular")


def _loopback(host: str) -> bool:
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def check_signing_secret(secret: str) -> None:
    """``ValueError`` unless ``secret`` is as Standard Webhooks has it: whsec_, 24 to 64 bytes in base64."""
    least, most = SECRET_BYTES
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not least <= len(key) <= most:
        raise ValueError(
            f"must be {SECRET_PREFIX} and the base64 of {least} to {most} random bytes;"
            f" `echo {SECRET_PREFIX}$(openssl rand -base64 32)` makes one"
        )


def check_reconcile_at(at: time) -> None:
    """``ValueError`` for a time of day that a schedule could miss or meet twice."""
    first, last = CLOCKS_CHANGE
    if at.tzinfo is not None or at != at.replace(second=0, microsecond=0):
        raise ValueError("must be a time of day in the agency's time zone such as 06:30")
    if first <= at < last:
        raise ValueError(
            "must not be from 01:00 to 02:59, which clocks leave out in spring and repeat in autumn"
        )


def _bad_url(reason: str) -> Invalid:
    return Invalid(f"the delivery_url {reason}", field="delivery_url")
