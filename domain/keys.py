"""Keys of 32 bytes by their ids, as settings name them: ``id:base64,id:base64``, in order."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from domain.errors import Invalid

KEY_BYTES: Final = 32
KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


def parse_keys(spec: str, *, what: str, field: str) -> dict[str, bytes]:
    """The keys of a setting, in order; each 32 bytes (44 characters of base64).

    Raises ``Invalid`` of ``field`` with ``what`` they are, the position of the entry at fault and never any
    of its key material.
    """
    keys: dict[str, bytes] = {}
    for position, entry in enumerate(spec.split(","), 1):
        key_id, separator, encoded = entry.strip().partition(":")
        if not separator:
            raise _invalid(f"entry {position} has no “:”; write it as id:base64", what, field)
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise _invalid(f"entry {position} is not base64", what, field) from None
        _check(position, key_id, key, what, field)
        if key_id in keys:
            raise _invalid(f"entry {position} has the id of an earlier entry", what, field)
        keys[key_id] = key
    return keys


def check_keys(keys: Mapping[str, bytes], *, what: str, field: str) -> None:
    """``Invalid`` unless there is a key, and each has an id and a length that can be right."""
    if not keys:
        raise _invalid("there is no key; give at least one as id:base64", what, field)
    for position, (key_id, key) in enumerate(keys.items(), 1):
        _check(position, key_id, key, what, field)


def _check(position: int, key_id: str, key: bytes, what: str, field: str) -> None:
    if not KEY_ID.fullmatch(key_id):
        reason = f"entry {position} needs an id of 1 to 32 letters, digits, “-” or “_” before the “:”"
        raise _invalid(reason, what, field)
    if len(key) != KEY_BYTES:
        reason = (
            f"entry {position} is {len(key)} bytes long, not {KEY_BYTES}; `openssl rand -base64 32` makes one"
        )
        raise _invalid(reason, what, field)


def _invalid(reason: str, what: str, field: str) -> Invalid:
    return Invalid(f"the {what} are not usable: {reason}", field=field)
