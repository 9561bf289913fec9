import base64
import os
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.cipher import ColumnCipher, ColumnUnreadable, parse_keys, place
from domain.errors import Invalid

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
HERE = place("debtor.ssn_last4", UUID(int=1))


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.fixture
def cipher() -> ColumnCipher:
    return ColumnCipher({"2026": NEW, "2025": OLD})


@given(text=st.text(max_size=200), aad=st.binary(max_size=40))
def test_what_goes_in_comes_out(text: str, aad: bytes) -> None:
    cipher = ColumnCipher({"k": OLD})
    assert cipher.decrypt(cipher.encrypt(text, aad), aad) == text


def test_the_same_text_never_looks_the_same(cipher: ColumnCipher) -> None:
    assert len({cipher.encrypt("1234", HERE) for _ in range(100)}) == 100


def test_the_text_and_its_key_do_not_show(cipher: ColumnCipher) -> None:
    blob = cipher.encrypt("a rather long secret", HERE)
    assert b"secret" not in blob
    assert NEW not in blob
    assert str(NEW) not in repr(cipher)


@pytest.mark.parametrize(
    "elsewhere", [place("debtor.ssn_last4", UUID(int=2)), place("sftp_source.password", UUID(int=1)), b""]
)
def test_a_value_moved_to_another_place_does_not_open(cipher: ColumnCipher, elsewhere: bytes) -> None:
    blob = cipher.encrypt("1234", HERE)
    with pytest.raises(ColumnUnreadable, match="damaged, moved"):
        cipher.decrypt(blob, elsewhere)


def test_any_changed_or_missing_byte_is_noticed(cipher: ColumnCipher) -> None:
    blob = cipher.encrypt("1234", HERE)
    for position in range(len(blob)):
        changed = bytearray(blob)
        changed[position] ^= 1
        with pytest.raises(ColumnUnreadable):
            cipher.decrypt(bytes(changed), HERE)
        with pytest.raises(ColumnUnreadable):
            cipher.decrypt(blob[:position], HERE)


def test_many_values_are_encrypted_each_on_its_own(cipher: ColumnCipher) -> None:
    values = [None if number % 7 == 0 else str(number % 10_000) for number in range(40_000)]
    blobs = cipher.encrypt_many(values, HERE)
    assert [None if blob is None else cipher.decrypt(blob, HERE) for blob in blobs] == values
    assert len(set(blobs)) == len([value for value in values if value is not None]) + 1
    assert cipher.encrypt_many([], HERE) == []


def test_keys_rotate(cipher: ColumnCipher) -> None:
    before = ColumnCipher({"2025": OLD}).encrypt("1234", HERE)
    after = cipher.encrypt(cipher.decrypt(before, HERE), HERE)
    assert cipher.needs_rotation(before)
    assert not cipher.needs_rotation(after)
    assert ColumnCipher({"2026": NEW}).decrypt(after, HERE) == "1234"


def test_a_value_of_a_dropped_key_names_the_key(cipher: ColumnCipher) -> None:
    blob = cipher.encrypt("1234", HERE)
    with pytest.raises(ColumnUnreadable, match="needs the key “2026”"):
        ColumnCipher({"2025": OLD}).decrypt(blob, HERE)


def test_another_key_under_the_same_id_does_not_open(cipher: ColumnCipher) -> None:
    blob = cipher.encrypt("1234", HERE)
    with pytest.raises(ColumnUnreadable, match="another key"):
        ColumnCipher({"2026": OLD}).decrypt(blob, HERE)


def test_keys_are_read_in_order() -> None:
    keys = parse_keys(f"2026:{encoded(NEW)}, 2025:{encoded(OLD)}")
    assert list(keys.items()) == [("2026", NEW), ("2025", OLD)]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("", "entry 1 has no"),
        (encoded(OLD), "entry 1 has no"),
        (f"ok:{encoded(OLD)},", "entry 2 has no"),
        (f":{encoded(OLD)}", "entry 1 needs an id"),
        (f"a b:{encoded(OLD)}", "entry 1 needs an id"),
        (f"ok:{encoded(OLD)},no:{encoded(OLD)}!", "entry 2 is not base64"),
        (f"ok:{encoded(OLD)},no:é{encoded(OLD)}", "entry 2 is not base64"),
        (f"ok:{encoded(OLD[:16])}", "entry 1 is 16 bytes long, not 32"),
        (f"ok:{encoded(OLD)},ok:{encoded(NEW)}", "entry 2 has the id of an earlier"),
    ],
)
def test_unusable_keys_are_explained_without_showing_them(spec: str, says: str) -> None:
    with pytest.raises(Invalid, match=says) as caught:
        parse_keys(spec)
    assert caught.value.field == "column_keys"
    assert encoded(OLD)[:8] not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_cipher_needs_a_whole_key() -> None:
    with pytest.raises(Invalid, match="no key"):
        ColumnCipher({})
    with pytest.raises(Invalid, match="31 bytes"):
        ColumnCipher({"k": os.urandom(31)})
