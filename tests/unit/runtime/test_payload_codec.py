"""What Temporal keeps opens with its key, in its namespace, unchanged; and not otherwise."""

import base64
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from domain.errors import Invalid
from runtime.payload_codec import ENCODING, KEY_ID, EncryptingCodec, PayloadUnreadable, parse_payload_keys
from runtime.settings import Settings
from runtime.temporal import DATA_CONVERTER, data_converter

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
SECRET = "Ana Planted, 555-0143"
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=f'"{SECRET}"'.encode())


class Amount(BaseModel):
    amount: Decimal
    due: date


def codec(namespace: str = "recoup", **by_id: bytes) -> EncryptingCodec:
    return EncryptingCodec(by_id or {"new": NEW, "old": OLD}, namespace)


def spec(**by_id: bytes) -> str:
    return ",".join(f"{key_id}:{base64.b64encode(key).decode()}" for key_id, key in by_id.items())


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **{"payload_keys": spec(new=NEW, old=OLD), **given})


@given(data=st.binary(max_size=300), metadata=st.dictionaries(st.text(max_size=9), st.binary(max_size=9)))
async def test_what_goes_in_comes_out(data: bytes, metadata: dict[str, bytes]) -> None:
    payload = Payload(metadata=metadata, data=data)
    sealed = await codec().encode([payload, PLAIN])
    assert await codec().decode(sealed) == [payload, PLAIN]


async def test_neither_content_nor_kind_shows_and_no_two_are_alike() -> None:
    sealed = await codec().encode([PLAIN] * 50)
    assert len({payload.data for payload in sealed}) == 50
    for payload in sealed:
        assert dict(payload.metadata) == {"encoding": ENCODING, KEY_ID: b"new"}
        assert b"Planted" not in payload.SerializeToString()
        assert b"json/plain" not in payload.SerializeToString()
    assert str(NEW) not in repr(codec())


async def test_the_first_key_encrypts_and_all_decrypt() -> None:
    before = await codec(old=OLD).encode([PLAIN])
    [renewed] = await codec().encode([PLAIN])
    assert await codec().decode([*before, renewed]) == [PLAIN, PLAIN]
    assert await codec(new=NEW).decode([renewed]) == [PLAIN]


async def test_a_key_that_is_not_there_is_named_with_its_setting() -> None:
    sealed = await codec(old=OLD).encode([PLAIN])
    with pytest.raises(PayloadUnreadable, match=r"needs the key “old”; add it to RECOUP_PAYLOAD_KEYS"):
        await codec(new=NEW).decode(sealed)


async def test_payloads_of_another_namespace_or_key_do_not_open() -> None:
    sealed = await codec().encode([PLAIN])
    for other in (codec("elsewhere"), codec(new=OLD)):
        with pytest.raises(PayloadUnreadable, match=r"does not open .*RECOUP_TEMPORAL_NAMESPACE"):
            await other.decode(sealed)


async def test_a_payload_under_the_name_of_another_key_does_not_open() -> None:
    both = EncryptingCodec({"new": NEW, "same": NEW}, "recoup")
    [sealed] = await both.encode([PLAIN])
    sealed.metadata[KEY_ID] = b"same"
    with pytest.raises(PayloadUnreadable, match="does not open"):
        await both.decode([sealed])


async def test_any_changed_or_missing_byte_is_noticed() -> None:
    [sealed] = await codec().encode([PLAIN])
    for position in range(len(sealed.data)):
        changed = bytearray(sealed.data)
        changed[position] ^= 1
        for data in (bytes(changed), sealed.data[:position]):
            with pytest.raises(PayloadUnreadable):
                await codec().decode([Payload(metadata=sealed.metadata, data=data)])


@pytest.mark.parametrize("key_id", [b"", b"a b", b"\xff", b"x" * 33])
async def test_a_damaged_key_id_is_not_repeated(key_id: bytes) -> None:
    payload = Payload(metadata={"encoding": ENCODING, KEY_ID: key_id}, data=bytes(40))
    with pytest.raises(PayloadUnreadable, match="names no key"):
        await codec().decode([payload])


async def test_what_is_in_the_clear_passes_and_what_is_encrypted_is_not_encrypted_again() -> None:
    nothing = Payload(metadata={"encoding": b"binary/null"})
    assert await codec().decode([PLAIN, nothing, Payload()]) == [PLAIN, nothing, Payload()]
    sealed = await codec().encode([PLAIN])
    assert await codec().encode(sealed) == sealed


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("k1", "payload keys are not usable: entry 1 has no"),
        (f"{spec(a=OLD)},b:QUFB", "entry 2 is 3 bytes long"),
    ],
)
def test_unusable_keys_are_explained(given: str, says: str) -> None:
    with pytest.raises(Invalid, match=says) as caught:
        parse_payload_keys(given)
    assert caught.value.field == "payload_keys"
    with pytest.raises(Invalid, match=says):
        data_converter(settings(payload_keys=given))


async def test_values_come_back_as_what_they_were() -> None:
    converter = data_converter(settings())
    value = Amount(amount=Decimal("10.10"), due=date(2026, 2, 28))
    sealed = await converter.encode([value])
    assert b"10.10" not in sealed[0].SerializeToString()
    assert await converter.decode(sealed, [Amount]) == [value]


async def test_messages_and_traces_of_failures_are_encrypted_and_types_are_not() -> None:
    converter = data_converter(settings())
    failure = Failure()
    try:
        raise ApplicationError(SECRET, {"name": SECRET}, type="declined") from ValueError(SECRET)
    except ApplicationError as error:
        await converter.encode_failure(error, failure)
    kept = failure.SerializeToString()
    assert b"Planted" not in kept
    assert b"test_payload_codec" not in kept
    assert failure.application_failure_info.type == "declined"
    back = await converter.decode_failure(failure)
    assert isinstance(back, ApplicationError)
    assert (back.message, back.details, str(back.__cause__)) == (
        SECRET,
        ({"name": SECRET},),
        f"ValueError: {SECRET}",
    )


async def test_without_keys_payloads_are_in_the_clear() -> None:
    assert data_converter(settings(payload_keys="")) is DATA_CONVERTER


async def test_switched_off_keys_only_decrypt() -> None:
    converter = data_converter(settings(payload_encryption=False))
    [plain] = await converter.encode([SECRET])
    assert plain == PLAIN
    sealed = await data_converter(settings()).encode([SECRET])
    assert await converter.decode([plain, *sealed], [str, str]) == [SECRET, SECRET]
    failure = Failure()
    await converter.encode_failure(ApplicationError(SECRET), failure)
    assert failure.message == SECRET
