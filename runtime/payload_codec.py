"""Encryption of what Temporal keeps: arguments, results, states, memos, details and messages of failures.

AES-256-GCM. An encrypted payload has the metadata ``encoding`` (``binary/encrypted``) and
``encryption-key-id``; its data are the nonce (12 bytes), then the serialised original and its tag. The
additional data binds it to its namespace and key id: copied to another namespace it does not open.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from domain import keys
from domain.errors import DomainError

ENCODING: Final = b"binary/encrypted"
KEY_ID: Final = "encryption-key-id"
_NONCE_BYTES: Final = 12
_WHAT: Final = "payload keys"
_FIELD: Final = "payload_keys"


class PayloadUnreadable(DomainError):
    """An encrypted payload does not open: damaged, of another namespace, or its key is not there."""

    type = "payload-unreadable"
    title = "Encrypted payload cannot be read"
    status = 422


def parse_payload_keys(spec: str) -> dict[str, bytes]:
    """The keys of ``RECOUP_PAYLOAD_KEYS``. ``Invalid`` names an entry at fault, and never a key."""
    return keys.parse_keys(spec, what=_WHAT, field=_FIELD)


class EncryptingCodec(PayloadCodec):
    """Encrypts payloads with the first key and decrypts with any.

    What is not encrypted stays as it is when decoded, so that a namespace with histories in the clear goes
    on. Nonces are random: one key may encrypt 2**32 payloads (NIST SP 800-38D, section 8.3). Nothing waits
    and nothing is kept, so one codec serves all.

    Args:
        by_id: 32 bytes for each key id, in order. ``Invalid`` as of ``parse_payload_keys``.
        namespace: the namespace of Temporal that payloads are bound to.
        encrypts: False only opens, for as long as processes run that do not know the keys.
    """

    def __init__(self, by_id: Mapping[str, bytes], namespace: str, *, encrypts: bool = True) -> None:
        keys.check_keys(by_id, what=_WHAT, field=_FIELD)
        self._keys = {key_id: (AESGCM(key), _bound(namespace, key_id)) for key_id, key in by_id.items()}
        self._encrypts = encrypts
        current = next(iter(by_id))
        self._cipher, self._place = self._keys[current]
        self._metadata = {"encoding": ENCODING, KEY_ID: current.encode()}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads, encrypted; those that are already stay as they are."""
        if not self._encrypts:
            return list(payloads)
        return [payload if is_encrypted(payload) else self._sealed(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads, decrypted; those in the clear stay as they are. Raises ``PayloadUnreadable``."""
        return [self._opened(payload) if is_encrypted(payload) else payload for payload in payloads]

    def _sealed(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, payload.SerializeToString(), self._place)
        return Payload(metadata=self._metadata, data=nonce + sealed)

    def _opened(self, payload: Payload) -> Payload:
        key_id = payload.metadata.get(KEY_ID, b"").decode("ascii", errors="replace")
        known = self._keys.get(key_id)
        if known is None:
            raise _unreadable(key_id)
        cipher, place = known
        data = payload.data
        try:
            return Payload.FromString(cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], place))
        except (InvalidTag, DecodeError, ValueError):
            raise PayloadUnreadable(
                f"an encrypted payload does not open with the key “{key_id}” of RECOUP_PAYLOAD_KEYS:"
                " damaged, of another namespace (RECOUP_TEMPORAL_NAMESPACE), or encrypted with another key"
            ) from None


def is_encrypted(payload: Payload) -> bool:
    """Whether a payload says that it is encrypted."""
    return payload.metadata.get("encoding") == ENCODING


def _bound(namespace: str, key_id: str) -> bytes:
    return f"recoup payload 1\0{namespace}\0{key_id}".encode()


def _unreadable(key_id: str) -> PayloadUnreadable:
    if not keys.KEY_ID.fullmatch(key_id):
        return PayloadUnreadable("an encrypted payload is damaged, or not ours: it names no key")
    return PayloadUnreadable(
        f"an encrypted payload needs the key “{key_id}”; add it to RECOUP_PAYLOAD_KEYS, behind the first"
    )
