"""The services of the API, built from the settings once per process."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from db import migrate
from db.cipher import ColumnCipher, parse_keys
from db.session import Database
from runtime import temporal
from services.authentication import AuthenticationService
from services.health import HealthService
from services.onboarding.agencies import AgencyService
from services.onboarding.collectors import CollectorService
from services.onboarding.creditors import CreditorService
from services.onboarding.sources import SourceService
from services.onboarding.users import UserService
from services.passwords import Passwords
from services.tokens import AccessTokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from temporalio.client import Client

    from runtime.settings import Settings
    from services.onboarding.agencies import EnsureSchedules

SCORECARDS = ("recovery-v1", "recovery-v1-ecoa")
DEMO_AGENCY = "demo"


@dataclass(frozen=True, slots=True)
class Services:
    """What routers call. ``fingerprint_key`` conceals secrets in idempotency records."""

    authentication: AuthenticationService
    agencies: AgencyService
    users: UserService
    collectors: CollectorService
    creditors: CreditorService
    sources: SourceService
    health: HealthService
    fingerprint_key: bytes


def build_services(
    settings: "Settings",
    database: Database,
    client: "Client",
    *,
    ensure_schedules: "EnsureSchedules",
    schedule_ids: "Callable[[UUID], Sequence[str]]",
) -> Services:
    """The services over clients that are open already."""
    secret = settings.jwt_secret.get_secret_value()
    passwords = Passwords()
    return Services(
        authentication=AuthenticationService(
            database,
            passwords,
            AccessTokens(secret, timedelta(minutes=settings.access_token_minutes)),
            timedelta(days=settings.refresh_token_days),
        ),
        agencies=AgencyService(database, ensure_schedules, SCORECARDS),
        users=UserService(database, passwords),
        collectors=CollectorService(database),
        creditors=CreditorService(database),
        sources=SourceService(database),
        health=HealthService(
            database,
            client,
            revision=migrate.head(),
            schedule_ids=schedule_ids,
            demo_agency=None if settings.is_production else DEMO_AGENCY,
        ),
        fingerprint_key=hmac.new(secret.encode(), b"idempotency", hashlib.sha256).digest(),
    )


@asynccontextmanager
async def open_database(settings: "Settings", application_name: str) -> AsyncIterator[Database]:
    """The application's connection pool, closed at the end."""
    cipher = ColumnCipher(parse_keys(settings.column_keys.get_secret_value()))
    database = Database(
        settings.database_url,
        cipher,
        pool_size=settings.database_pool_size,
        application_name=application_name,
    )
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def open_services(settings: "Settings") -> AsyncIterator[Services]:
    """The services and everything under them, for as long as the application runs."""
    async with open_database(settings, "recoup-api") as database:
        client = await temporal.connect(settings)
        yield build_services(settings, database, client)
