"""Ports that are asked for twice are told apart from busy ones."""

import pytest

from sandbox.errors import SandboxError
from sandbox.ports import Port, free_port, free_ports, require_free


def test_one_port_for_two_servers_names_both_variables() -> None:
    port = free_port()

    with pytest.raises(SandboxError) as refused:
        require_free([Port(port, "SFTP", "RECOUP_SFTP_PORT"), Port(port, "the API", "RECOUP_API_PORT")])

    expected = f"port {port} is asked for twice: set RECOUP_API_PORT or RECOUP_SFTP_PORT to another port"
    assert str(refused.value) == expected


def test_free_ports_are_accepted() -> None:
    require_free([Port(free_port(), "SFTP", "RECOUP_SFTP_PORT")])


def test_ports_found_together_are_different() -> None:
    assert len(set(free_ports(500))) == 500


def test_a_port_is_found_once_while_nobody_listens_on_it_yet() -> None:
    assert len({free_port() for _ in range(1000)}) == 1000
