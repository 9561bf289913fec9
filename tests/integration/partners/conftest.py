"""An agency with partners: the application, a worker, and the SFTP server that partners write to."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client

from sandbox.ports import free_port
from sandbox.sftp_users import SftpUser
from tests.integration.api.conftest import world
from tests.integration.imports.faults import GatedSftp
from tests.integration.partners.office import Json, PartnerOffice, at_work, opened

__all__ = ["world"]


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatedSftp]:
    """An SFTP server with an account for each agency."""
    folder = tmp_path_factory.mktemp("sftp")
    users = [SftpUser(name, "demo") for name in ("acme", "rival")]
    server = GatedSftp(folder / "root", users, host_key=folder / "keys" / "host_key", port=free_port())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="module")
async def empty_office(world: Any, temporal_client: Client, door: GatedSftp) -> PartnerOffice:
    """One office of a module in which nobody works yet."""
    return await opened(world, temporal_client, door)


@pytest.fixture(scope="module")
async def office(empty_office: PartnerOffice) -> AsyncIterator[PartnerOffice]:
    """One office of a module, with a worker at it."""
    async with at_work(empty_office):
        yield empty_office


@pytest.fixture
async def partner(office: PartnerOffice) -> Json:
    """A partner of this test's own."""
    return await office.partner()
