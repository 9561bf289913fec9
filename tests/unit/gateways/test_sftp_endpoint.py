from typing import Any

import asyncssh
import pytest

from gateways.sftp import SftpEndpoint, SftpEndpointInvalid
from gateways.sftp_endpoint import parse_host_keys, parse_private_key

KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER = asyncssh.generate_private_key("ecdsa-sha2-nistp256")


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


def test_secrets_do_not_show() -> None:
    endpoint = SftpEndpoint(
        "host", 22, "user", public(KEY), password="hunter2", private_key="-----BEGIN", passphrase="opensesame"
    )
    assert "host" in repr(endpoint)
    for secret in ("hunter2", "BEGIN", "opensesame"):
        assert secret not in repr(endpoint)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"host": ""}, "host"),
        ({"host": "a b"}, "host"),
        ({"host": "a\nb"}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"username": ""}, "username"),
        ({"password": None}, "password"),
        ({"password": ""}, "password"),
    ],
)
def test_an_endpoint_that_cannot_work_names_the_field(change: dict[str, Any], field: str) -> None:
    fields = {"host": "h", "port": 22, "username": "u", "host_key": public(KEY), "password": "p"} | change
    with pytest.raises(SftpEndpointInvalid) as caught:
        SftpEndpoint(**fields)
    assert caught.value.field == field


def test_host_keys_are_read_bare_commented_or_as_ssh_keyscan_prints_them() -> None:
    text = f"# sftp.example:22 SSH-2.0\n\n{public(KEY)} their key\n[sftp.example]:2222 {public(OTHER)}\r\n"
    assert parse_host_keys(text) == [KEY.convert_to_public(), OTHER.convert_to_public()]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "missing"),
        ("# only a comment", "missing"),
        (f"{public(KEY)}\nssh-ed25519 AAAA", "line 2"),
        ("nonsense", "line 1"),
        (f"@cert-authority * {public(KEY)}", "line 1"),
    ],
    ids=["nothing", "a comment", "half a key", "nonsense", "an authority"],
)
def test_a_host_key_that_is_none_names_its_line(text: str, says: str) -> None:
    with pytest.raises(SftpEndpointInvalid, match=says) as caught:
        parse_host_keys(text)
    assert caught.value.field == "host_key"


@pytest.mark.parametrize("form", ["openssh", "pkcs8-pem"])
def test_private_keys_open_with_their_passphrase_only(form: str) -> None:
    text = OTHER.export_private_key(form, passphrase="right", rounds=1, ignore_few_rounds=True).decode()
    assert parse_private_key(text, "right").get_fingerprint() == OTHER.get_fingerprint()
    for passphrase in ("wrong", None):
        with pytest.raises(SftpEndpointInvalid) as caught:
            parse_private_key(text, passphrase)
        assert caught.value.field == "passphrase"


def test_a_text_that_is_no_private_key_is_not_quoted() -> None:
    with pytest.raises(SftpEndpointInvalid, match="PEM or OpenSSH") as caught:
        parse_private_key(
            "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n"
        )
    assert caught.value.field == "private_key"
    assert "c2VjcmV0" not in str(caught.value)
