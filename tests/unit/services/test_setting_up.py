"""Who may set an agency up is decided by the services: before a value is looked at, or the database asked."""

from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import uuid4

import pytest

from domain.errors import Forbidden
from domain.tenancy import Role
from services.access import Principal
from services.commands import CommandKey
from services.onboarding.agencies import AgencyChange, AgencyService, NewAgency
from services.onboarding.collectors import CollectorChange, CollectorService, NewCollector
from services.onboarding.creditors import CreditorChange, CreditorService, NewCreditor
from services.onboarding.sources import NewSource, SourceChange, SourceService
from services.onboarding.users import NewUser, UserChange, UserService

NOTHING = cast("Any", None)
"""In place of a database: whoever asked it would fail otherwise than by ``Forbidden``."""

AGENCY, ID, KEY = uuid4(), uuid4(), CommandKey("test")
AGENCIES = AgencyService(NOTHING, NOTHING, NOTHING, ["recovery-v1"], ["federal"])
COLLECTORS, CREDITORS, SOURCES = CollectorService(NOTHING), CreditorService(NOTHING), SourceService(NOTHING)
USERS = UserService(NOTHING, NOTHING, NOTHING)
USER = NewUser(username="eve", full_name="Eve", role=Role.AGENCY_ADMIN, password="correct horse battery")
SOURCE = NewSource(name="inbox", host="sftp.example.com", username="eve", password="s3cret", host_key="none")

Asked = Callable[[Principal], Awaitable[object]]

CHANGES: dict[str, Asked] = {
    "agency": lambda who: AGENCIES.create(who, KEY, NewAgency(slug="eves", name="Eve's")),
    "agency-terms": lambda who: AGENCIES.change(who, KEY, AGENCY, AgencyChange(overpayments="credit")),
    "user": lambda who: USERS.create(who, KEY, USER),
    "user-change": lambda who: USERS.change(who, KEY, ID, UserChange(role=Role.AGENCY_ADMIN)),
    "collector": lambda who: COLLECTORS.create(who, KEY, NewCollector(user_id=ID)),
    "collector-change": lambda who: COLLECTORS.change(who, KEY, ID, CollectorChange(max_accounts=1)),
    "creditor": lambda who: CREDITORS.create(who, KEY, NewCreditor(name="Eve's")),
    "creditor-change": lambda who: CREDITORS.change(who, KEY, ID, CreditorChange(active=False)),
    "source": lambda who: SOURCES.create(who, KEY, SOURCE),
    "source-change": lambda who: SOURCES.change(who, KEY, ID, SourceChange(host="eve.example.com")),
}
READS: dict[str, Asked] = {
    "agency": lambda who: AGENCIES.get(who, AGENCY),
    "agencies": lambda who: AGENCIES.page(who, None, 1),
    "user": lambda who: USERS.get(who, ID),
    "user-named": lambda who: USERS.named(who, "eve"),
    "users": lambda who: USERS.page(who, None, 1),
    "collector": lambda who: COLLECTORS.get(who, ID),
    "collectors": lambda who: COLLECTORS.page(who, None, 1),
    "creditor": lambda who: CREDITORS.get(who, ID),
    "creditor-named": lambda who: CREDITORS.named(who, "Eve's"),
    "creditors": lambda who: CREDITORS.page(who, None, 1),
    "source": lambda who: SOURCES.get(who, ID),
    "sources": lambda who: SOURCES.page(who, None, 1),
}


@pytest.mark.parametrize("role", [Role.COLLECTOR, Role.AUDITOR])
@pytest.mark.parametrize("asked", CHANGES.values(), ids=CHANGES)
async def test_only_administrators_set_an_agency_up(asked: Asked, role: Role) -> None:
    with pytest.raises(Forbidden):
        await asked(Principal(uuid4(), "eve", role, AGENCY))


@pytest.mark.parametrize("asked", READS.values(), ids=READS)
async def test_a_collector_reads_no_settings(asked: Asked) -> None:
    with pytest.raises(Forbidden):
        await asked(Principal(uuid4(), "eve", Role.COLLECTOR, AGENCY))


async def test_an_agency_s_administrator_makes_no_agency() -> None:
    with pytest.raises(Forbidden):
        await CHANGES["agency"](Principal(uuid4(), "eve", Role.AGENCY_ADMIN, AGENCY))
