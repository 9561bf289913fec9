"""The demo agencies, users and inboxes of a development system; made once, then found again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import SecretStr
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from domain.errors import Conflict, Forbidden, Unavailable
from domain.tenancy import Role
from sandbox.ports import LOOPBACK
from services.access import Principal
from services.commands import CommandKey
from services.onboarding.agencies import NewAgency
from services.onboarding.collectors import NewCollector
from services.onboarding.creditors import NewCreditor
from services.onboarding.partners import NewPartner
from services.onboarding.sources import NewSource, SourceChange
from services.onboarding.stripe_credentials import StripeCredentialsForm
from services.onboarding.users import NewPlatformAdmin, NewUser

if TYPE_CHECKING:
    from api.composition import Services
    from db.commands import Answer
    from runtime.settings import Settings

OPERATOR = "recoup seed"
STAFF_PASSWORD = "Demo@2026"  # noqa: S105 - the published login of a development system
COLLECTOR_PASSWORD = "Collector@2026"  # noqa: S105 - likewise
LOGIN_HINT = (
    "This is a demo: log in as;"
    f"demo.admin or demo.manager, with {STAFF_PASSWORD};"
    f"sarah.mitchell, a collector, with {COLLECTOR_PASSWORD}"
)
"""Who can log in at the console, for whoever sees it first."""

SFTP_PASSWORD = "demo"  # noqa: S105 - likewise
STRIPE_KEY = "sk_test_sandbox_{slug}"
"""Opens an account at the stand-in, and nowhere else."""

RECONCILE_AT = time(6, 30)
STRIPE_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A login of a demo agency."""

    username: str
    full_name: str
    role: Role

    @property
    def password(self) -> str:
        """The published password of this sort of user."""
        return COLLECTOR_PASSWORD if self.role is Role.COLLECTOR else STAFF_PASSWORD


@dataclass(frozen=True, slots=True)
class DemoAgency:
    """A demo agency; ``slug`` is also its SFTP user, on whose server the ``partner`` has its folder."""

    slug: str
    name: str
    creditors: Sequence[str]
    users: Sequence[DemoUser] = field(default_factory=tuple)
    partner: str | None = None


DEMO_AGENCIES = (
    DemoAgency(
        "demo",
        "Demo Recovery Group",
        ("Northlight Bank", "Harborview Medical"),
        (
            DemoUser("demo.admin", "Dana Whitfield", Role.AGENCY_ADMIN),
            DemoUser("demo.manager", "Miguel Ortega", Role.AGENCY_ADMIN),
            DemoUser("demo.auditor", "Ruth Adler", Role.AUDITOR),
            DemoUser("sarah.mitchell", "Sarah Mitchell", Role.COLLECTOR),
            DemoUser("james.carter", "James Carter", Role.COLLECTOR),
        ),
        "northgate",
    ),
    DemoAgency(
        "rival",
        "Rival Receivables",
        ("Meridian Auto",),
        (DemoUser("rival.admin", "Rowan Ives", Role.AGENCY_ADMIN),),
        "southgate",
    ),
)
PLATFORM_USER = DemoUser("demo.platform", "Priya Raman", Role.PLATFORM_ADMIN)


async def seed(settings: "Settings", services: "Services", *, sftp_host_key: str) -> dict[str, UUID]:
    """Make what is missing of the demo data and return the agencies' ids by slug; safe to repeat.

    ``Forbidden`` in production.
    """
    if settings.is_production:
        raise Forbidden("demo data is for development only; RECOUP_ENV is production")
    await _platform_user(services)
    return {agency.slug: await _agency(settings, services, agency, sftp_host_key) for agency in DEMO_AGENCIES}


async def _platform_user(services: "Services") -> None:
    form = NewPlatformAdmin(
        username=PLATFORM_USER.username,
        full_name=PLATFORM_USER.full_name,
        password=SecretStr(PLATFORM_USER.password),
    )
    try:
        await services.users.create_platform_admin(Principal.operator(OPERATOR).actor, form)
    except Conflict:
        return


async def _agency(settings: "Settings", services: "Services", agency: DemoAgency, sftp_host_key: str) -> UUID:
    first, *others = agency.creditors
    answer = await services.agencies.create(
        Principal.operator(OPERATOR),
        _key("agency", agency.slug),
        NewAgency(
            slug=agency.slug,
            name=agency.name,
            default_creditor=first,
            lifecycle_capacity=settings.lifecycle_capacity,
        ),
    )
    agency_id = _id(answer)
    principal = Principal.operator(OPERATOR, agency_id)
    for name in others:
        await services.creditors.create(principal, _key("creditor", name), NewCreditor(name=name))
    for user in agency.users:
        await _user(services, principal, user)
    source_id = await _source(settings, services, principal, agency.slug, sftp_host_key)
    if agency.partner is not None:
        await _partner(services, principal, agency.partner, source_id)
    await _stripe(services, principal, agency.slug)
    return agency_id


async def _user(services: "Services", principal: Principal, user: DemoUser) -> None:
    answer = await services.users.create(
        principal,
        _key("user", user.username),
        NewUser.model_validate(
            {
                "username": user.username,
                "full_name": user.full_name,
                "role": user.role,
                "password": user.password,
            }
        ),
    )
    if user.role is Role.COLLECTOR:
        await services.collectors.create(
            principal, _key("collector", user.username), NewCollector(user_id=_id(answer))
        )


async def _source(
    settings: "Settings", services: "Services", principal: Principal, slug: str, host_key: str
) -> UUID:
    """The inbox on the sandbox's SFTP server, which may have another port or key at each start."""
    place: dict[str, Any] = {"host": LOOPBACK, "port": settings.sftp_port, "host_key": host_key}
    answer = await services.sources.create(
        principal,
        _key("sftp-source", slug),
        NewSource(name="Sandbox inbox", username=slug, password=SecretStr(SFTP_PASSWORD), **place),
    )
    await services.sources.change(
        principal, CommandKey("seed sftp-source"), _id(answer), SourceChange(**place)
    )
    return _id(answer)


async def _partner(services: "Services", principal: Principal, name: str, source_id: UUID) -> None:
    """Who works accounts for the agency: sent them as files, and states what it has in files of its own."""
    form = NewPartner(name=name, source_id=source_id, delivery="sftp", reconcile_at=RECONCILE_AT)
    await services.partners.create(principal, _key("partner", name), form)


async def _stripe(services: "Services", principal: Principal, slug: str) -> None:
    """An account of the agency's own at the Stripe stand-in, and its webhooks; found again if it is there.

    The API may have another port at each start, so that this is no command with a fixed key.
    """
    form = StripeCredentialsForm(secret_key=SecretStr(STRIPE_KEY.format(slug=slug)))
    waiting = AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        stop=stop_after_delay(STRIPE_WITHIN_S),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    await waiting(services.stripe_credentials.put, principal, CommandKey("seed stripe"), form)


def _key(kind: str, name: str) -> CommandKey:
    """Seeding is a command with a fixed key: repeated, it finds what it made."""
    return CommandKey(f"seed {kind}", name)


def _id(answer: "Answer") -> UUID:
    return UUID(answer.body["id"])
