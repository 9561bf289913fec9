import asyncio
import contextlib
import socket
from dataclasses import replace

import asyncssh
import pytest

from domain.errors import DomainError
from gateways.sftp import (
    HostKeyMismatch,
    SftpAuthenticationFailed,
    SftpEndpoint,
    SftpEndpointInvalid,
    SftpGateway,
    SftpIncompatible,
    SftpUnavailable,
)
from sandbox.ports import free_port


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode()


async def failure(gateway: SftpGateway, endpoint: SftpEndpoint) -> DomainError:
    """The error of logging in, which must not show a secret."""
    with pytest.raises(DomainError) as caught:
        async with asyncio.timeout(50), gateway.connect(endpoint) as session:
            await session.list_files("/inbox")
    assert "secret" not in f"{caught.value} {caught.value.details}"
    return caught.value


async def test_logs_in_with_a_password(unruly, gateway) -> None:
    async with gateway.connect(unruly.endpoint) as session:
        assert (await session.list_files("/inbox")).files == ()


@pytest.mark.parametrize("passphrase", [None, "opensesame"])
async def test_logs_in_with_a_key(unruly, gateway, passphrase: str | None) -> None:
    text = unruly.client_key.export_private_key(
        passphrase=passphrase, rounds=1, ignore_few_rounds=True
    ).decode()
    endpoint = replace(unruly.endpoint, password=None, private_key=text, passphrase=passphrase)
    async with gateway.connect(endpoint) as session:
        assert (await session.list_files("/inbox")).files == ()


async def test_prefers_the_fastest_strong_cipher(unruly, gateway) -> None:
    async with gateway.connect(unruly.endpoint):
        (connection,) = unruly.connections
        assert connection.get_extra_info("send_cipher") == "aes128-gcm@openssh.com"


async def test_another_host_key_is_refused_for_good(unruly, gateway) -> None:
    recorded = asyncssh.generate_private_key("ssh-ed25519")
    error = await failure(gateway, replace(unruly.endpoint, host_key=public(recorded)))
    assert isinstance(error, HostKeyMismatch)
    assert not error.retryable
    assert error.details == {
        "offered": unruly.host_key.get_fingerprint(),
        "on_record": [recorded.get_fingerprint()],
    }
    assert unruly.connections == []


async def test_a_host_key_of_another_kind_is_refused_for_good(unruly, gateway) -> None:
    recorded = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    error = await failure(gateway, replace(unruly.endpoint, host_key=public(recorded)))
    assert isinstance(error, HostKeyMismatch)
    assert not error.retryable
    assert error.details["offered"] == unruly.host_key.get_fingerprint()


async def test_a_server_with_several_host_keys_shows_the_one_on_record(unruly, gateway) -> None:
    recorded = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    async with asyncssh.listen("127.0.0.1", 0, server_host_keys=[unruly.host_key, recorded]) as acceptor:
        endpoint = replace(unruly.endpoint, port=acceptor.get_port(), host_key=public(recorded))
        assert isinstance(await failure(gateway, endpoint), SftpAuthenticationFailed)


async def test_any_of_several_recorded_host_keys_will_do(unruly, gateway) -> None:
    former = public(asyncssh.generate_private_key("ssh-ed25519"))
    async with gateway.connect(
        replace(unruly.endpoint, host_key=former + public(unruly.host_key))
    ) as session:
        assert (await session.list_files("/inbox")).files == ()


async def test_the_known_hosts_file_of_the_machine_is_not_asked(
    unruly, gateway, tmp_path, monkeypatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/known_hosts").write_text(f"* {public(unruly.host_key)}")
    monkeypatch.setenv("HOME", str(tmp_path))
    recorded = public(asyncssh.generate_private_key("ssh-ed25519"))
    assert isinstance(await failure(gateway, replace(unruly.endpoint, host_key=recorded)), HostKeyMismatch)


@pytest.mark.parametrize("change", [{"password": "secreT"}, {"username": "nobody"}])
async def test_a_refused_login_is_not_worth_another_try(unruly, gateway, change: dict[str, str]) -> None:
    error = await failure(gateway, replace(unruly.endpoint, **change))
    assert isinstance(error, SftpAuthenticationFailed)
    assert not error.retryable


async def test_a_key_of_someone_else_is_refused(unruly, gateway) -> None:
    text = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    error = await failure(gateway, replace(unruly.endpoint, password=None, private_key=text))
    assert isinstance(error, SftpAuthenticationFailed)


async def test_a_server_without_a_strong_cipher_is_incompatible(unruly, gateway) -> None:
    async with asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[unruly.host_key], encryption_algs=["aes128-cbc"]
    ) as acceptor:
        error = await failure(gateway, replace(unruly.endpoint, port=acceptor.get_port()))
    assert isinstance(error, SftpIncompatible)
    assert not error.retryable


async def test_a_closed_port_is_worth_another_try(unruly, gateway) -> None:
    error = await failure(gateway, replace(unruly.endpoint, port=free_port()))
    assert isinstance(error, SftpUnavailable)
    assert (error.retryable, error.status) == (True, 503)


async def test_a_server_that_says_nothing_is_given_up_on(unruly) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = replace(unruly.endpoint, port=listening.getsockname()[1])
        error = await failure(SftpGateway(connect_timeout_s=0.2), endpoint)
    assert isinstance(error, SftpUnavailable)


async def test_a_host_that_does_not_take_the_call_is_given_up_on(unruly) -> None:
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):  # the queue full, the kernel drops what else arrives
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        endpoint = replace(unruly.endpoint, port=listening.getsockname()[1])
        error = await failure(SftpGateway(connect_timeout_s=0.2), endpoint)
    assert isinstance(error, SftpUnavailable)


async def test_a_server_that_is_no_ssh_server_is_unavailable(unruly, gateway) -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(gateway, replace(unruly.endpoint, port=port))
    assert isinstance(error, SftpUnavailable)


async def test_a_host_that_is_no_name_is_explained(unruly, gateway) -> None:
    error = await failure(gateway, replace(unruly.endpoint, host="a" * 64 + ".example"))
    assert isinstance(error, SftpEndpointInvalid)
    assert error.field == "host"


async def test_a_dead_server_is_noticed_by_its_silence(unruly, relay) -> None:
    gateway = SftpGateway(connect_timeout_s=10, request_timeout_s=60, keepalive_s=0.1, keepalive_misses=2)
    async with asyncio.timeout(50), gateway.connect(relay.in_front_of(unruly.endpoint)) as session:
        relay.freeze()
        with pytest.raises(SftpUnavailable):
            await session.list_files("/inbox")


async def test_leaving_a_session_does_not_wait_for_a_dead_server(unruly, relay, monkeypatch) -> None:
    monkeypatch.setattr("gateways.sftp_session._CLOSE_S", 0.1)
    gateway = SftpGateway(request_timeout_s=0.5)
    async with asyncio.timeout(50), gateway.connect(relay.in_front_of(unruly.endpoint)) as session:
        relay.freeze()
        with pytest.raises(SftpUnavailable):
            await session.upload(bytes(32 << 20), "/inbox/stuck.csv")
