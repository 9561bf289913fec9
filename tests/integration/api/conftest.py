"""The application over a real database, called in process, with two agencies and every role."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from json import dumps
from typing import Any
from uuid import UUID

import asyncssh
import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from temporalio.client import Client

from api.app import create_app
from api.composition import Services, build_services, open_database
from db.session import Database
from domain.tenancy import Actor, Role
from runtime.settings import Settings
from services import passwords
from services.access import Principal
from services.commands import CommandKey
from services.onboarding.agencies import NewAgency
from services.onboarding.collectors import NewCollector
from services.onboarding.users import NewPlatformAdmin, NewUser
from tests.applications import application
from workers.deployment import ensure_search_attributes

PASSWORD = "correct horse battery"


@dataclass
class World:
    """A running application, its database and who can log in."""

    app: FastAPI
    services: Services
    database: Database
    settings: Settings
    agencies: dict[str, UUID] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def client(self, who: str | None = None, **headers: str) -> httpx.AsyncClient:
        """A client, logged in as ``who`` ("platform", "acme.admin", "acme.collector", "rival.admin", …)."""
        if who is not None:
            headers["Authorization"] = f"Bearer {self.tokens[who]}"
        # The edge answers for failures; the transport must not raise them past it.
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://test/api/v1", headers=headers)

    async def call(
        self, who: str | None, method: str, path: str, json: Any = None, **headers: str
    ) -> httpx.Response:
        """One request, on a client of its own."""
        # Escaped, so that a test can say what UTF-8 cannot.
        content = None if json is None else dumps(json).encode()
        media_type = {} if json is None else {"Content-Type": "application/json"}
        async with self.client(who, **media_type, **headers) as client:
            return await client.request(method, path, content=content)


async def _people(world: World) -> None:
    actor = Actor("system", "test")
    answer = await world.services.users.create_platform_admin(
        actor, NewPlatformAdmin(username="platform", full_name="Pat Platform", password=PASSWORD)
    )
    platform = Principal(UUID(answer.body["id"]), "platform", Role.PLATFORM_ADMIN)
    command = CommandKey("test")
    names = ["platform"]
    for slug in ("acme", "rival"):
        made = await world.services.agencies.create(
            platform, command, NewAgency(slug=slug, name=slug.title())
        )
        world.agencies[slug] = agency_id = UUID(made.body["id"])
        admin = Principal(platform.user_id, "platform", Role.PLATFORM_ADMIN, agency_id)
        for role in (Role.AGENCY_ADMIN, Role.COLLECTOR, Role.AUDITOR):
            name = f"{slug}.{'admin' if role is Role.AGENCY_ADMIN else role}"
            form = NewUser(username=name, full_name=name, role=role, password=PASSWORD)
            user = await world.services.users.create(admin, command, form)
            if role is Role.COLLECTOR:
                collector = NewCollector(user_id=UUID(user.body["id"]))
                await world.services.collectors.create(admin, command, collector)
            names.append(name)
    for name in names:
        pair = await world.services.authentication.log_in(name, PASSWORD)
        world.tokens[name] = pair.access


def quick_hasher() -> PasswordHasher:
    """Of cheap parameters, for the passwords of the people whom every module makes and logs in."""
    return PasswordHasher(time_cost=1, memory_cost=64)


@contextmanager
def _quick_passwords() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "PasswordHasher", quick_hasher)
        yield


@pytest.fixture(scope="module")
async def world(
    module_database: Any, temporal_client: Client, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """An application that the tests of one module share."""
    settings = Settings(
        _env_file=None,
        database_url=module_database.app_url,
        home=tmp_path_factory.mktemp("home"),
        # A busy machine may take longer over a command than callers are kept waiting by default.
        command_patience_seconds=60,
    )
    await ensure_search_attributes(temporal_client)
    async with open_database(settings, "recoup-test") as database:
        with _quick_passwords():
            services = build_services(settings, database, temporal_client)
        world = World(application(create_app, settings, services), services, database, settings)
        await _people(world)
        yield world


@pytest.fixture(scope="session")
def host_key() -> str:
    """The public key of some SFTP server."""
    return asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
