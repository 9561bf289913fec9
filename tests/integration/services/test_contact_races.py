"""Many collectors contact one person at once: exactly as many attempts are logged as the law allows."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from api.composition import open_database
from db.commands import Answer
from db.rule_files import load_rule_sets
from db.session import Database
from domain.compliance import Channel, Direction
from domain.tenancy import Role, Tenant
from runtime.settings import Settings
from services.access import Principal
from services.commands import CommandKey
from services.compliance import Judge, Question
from services.compliance_audit import Proof, differences
from services.contact_views import ContactForm, ContactRefused
from services.contacts import ContactService

AGENCY, DEBTOR, CREDITOR = (UUID(int=n) for n in (1, 2, 3))
ACCOUNTS = (UUID(int=10), UUID(int=11))
COLLECTORS = (UUID(int=20), UUID(int=21))
LIMIT = 7

STRICT = """
name: three-a-week
title: At most three contacts a week with one person
limits:
  - channels: [call, sms]
    attempts: 3
    days: 7
    scope: person
    citation: Agency policy 7
"""

SETUP = """
INSERT INTO agency (id, slug, name) VALUES (:agency, 'acme', 'Acme');
INSERT INTO creditor (id, agency_id, name, is_default) VALUES (:creditor, :agency, 'C', true);
INSERT INTO debtor (id, agency_id, natural_key, full_name, state, postal_code)
VALUES (:debtor, :agency, 'ref:1', 'Ada', 'TX', '75201');
"""
USER = """
INSERT INTO app_user (id, agency_id, username, full_name, role, password_hash)
VALUES (:id, :agency, :name, :name, 'collector', 'x')
"""
COLLECTOR = "INSERT INTO collector (id, agency_id, user_id, full_name) VALUES (:id, :agency, :id, :name)"
ACCOUNT = """
INSERT INTO account
    (id, agency_id, creditor_id, debtor_id, external_ref, original_amount, balance, assigned_to)
VALUES (:id, :agency, :creditor, :debtor, :ref, 100, 100, :collector)
"""


@pytest.fixture
async def opened(database: Any, tmp_path: Path) -> AsyncIterator[Database]:
    settings = Settings(_env_file=None, database_url=database.app_url, home=tmp_path)
    async with open_database(settings, "recoup-test") as made:
        ids = {"agency": AGENCY, "creditor": CREDITOR, "debtor": DEBTOR}
        async with made.transaction(Tenant.system(AGENCY, "test")) as tx:
            for statement in SETUP.split(";")[:-1]:
                await tx.session.execute(text(statement), ids)
            for number, one in enumerate(COLLECTORS):
                for statement in (USER, COLLECTOR):
                    values = {"id": one, "agency": AGENCY, "name": f"collector {number}"}
                    await tx.session.execute(text(statement), values)
            for account, one in zip(ACCOUNTS, COLLECTORS, strict=True):
                values = {**ids, "id": account, "ref": str(account), "collector": one}
                await tx.session.execute(text(ACCOUNT), values)
        yield made


async def _told(agency_id: UUID, account_ids: Any) -> None:
    return None


def service(database: Database, rules: str = "federal", folder: Path | None = None) -> ContactService:
    return ContactService(database, Judge({"federal": load_rule_sets(folder)[rules]}), _told)


def person(number: int) -> Principal:
    """Somebody who may contact on the first account: its collector, or one of the administrators."""
    if number % 2:
        return Principal(uuid4(), f"admin {number}", Role.AGENCY_ADMIN, AGENCY)
    return collector(0)


def collector(number: int) -> Principal:
    """Whom the account of this number is assigned to."""
    assigned = COLLECTORS[number]
    return Principal(assigned, f"collector {number}", Role.COLLECTOR, AGENCY, assigned)


def noon(days_ago: int = 1) -> datetime:
    return (datetime.now(UTC) - timedelta(days=days_ago)).replace(hour=18, minute=0, second=0, microsecond=0)


def call(at: datetime, **fields: Any) -> ContactForm:
    return ContactForm(channel=Channel.CALL, direction=Direction.OUTBOUND, at=at, **fields)


async def tried(*attempts: Any) -> Counter[str]:
    """How many were logged, and by which rules the others were refused."""
    answers = await asyncio.gather(*attempts, return_exceptions=True)
    found: Counter[str] = Counter()
    for answer in answers:
        if isinstance(answer, ContactRefused):
            found[answer.details["rule"]] += 1
        else:
            assert isinstance(answer, Answer), answer
            found["logged"] += 1
    return found


async def assert_the_log_is_whole(database: Database, decisions: int, contacts: int) -> None:
    async with database.transaction(Tenant.system(AGENCY, "test")) as tx:
        assert await tx.compliance_log.count() == decisions
        assert [d async for d in differences(tx, Proof())] == []
        assert await tx.session.scalar(text("SELECT count(*) FROM contact")) == contacts


async def test_of_many_calls_at_once_about_one_debt_seven_are_placed(opened: Database) -> None:
    contacts, at, many = service(opened), noon(), 24
    seen = await tried(
        *(
            contacts.log(
                person(n), CommandKey("POST", uuid4().hex), ACCOUNTS[0], call(at + timedelta(minutes=n))
            )
            for n in range(many)
        )
    )
    assert seen == {"logged": LIMIT, "call_frequency": many - LIMIT}
    await assert_the_log_is_whole(opened, many, LIMIT)


async def test_calls_that_come_in_late_on_many_days_never_fill_a_window_twice(opened: Database) -> None:
    contacts, many = service(opened), 30
    await tried(
        *(
            contacts.log(person(n), CommandKey("POST"), ACCOUNTS[0], call(noon(1 + n % 10)))
            for n in range(many)
        )
    )
    async with opened.transaction(Tenant.system(AGENCY, "test")) as tx:
        rows = await tx.session.execute(text("SELECT CAST(at AS date) FROM contact"))
        days = [row[0] for row in rows]
    assert len(days) > LIMIT
    for first in days:
        assert sum(first <= day < first + timedelta(days=7) for day in days) <= LIMIT


async def test_a_conversation_closes_the_door_to_all_who_stand_before_it(opened: Database) -> None:
    contacts, at = service(opened), noon()
    seen = await tried(
        *(
            contacts.log(
                person(n), CommandKey("POST"), ACCOUNTS[0], call(at, conversation=True, right_party=True)
            )
            for n in range(12)
        )
    )
    assert seen == {"logged": 1, "call_after_conversation": 11}


async def test_two_accounts_of_one_person_share_the_limit_of_the_person(
    opened: Database, tmp_path: Path
) -> None:
    (tmp_path / "strict.yaml").write_text(STRICT)
    contacts, at, many = service(opened, "three-a-week", tmp_path), noon(), 20
    seen = await tried(
        *(
            contacts.log(
                collector(n % 2), CommandKey("POST"), ACCOUNTS[n % 2], call(at + timedelta(minutes=n))
            )
            for n in range(many)
        )
    )
    assert seen == {"logged": 3, "contact_limits": many - 3}
    await assert_the_log_is_whole(opened, many, 3)


async def test_one_key_many_times_at_once_is_one_contact(opened: Database) -> None:
    contacts, at, who = service(opened), noon(), person(1)
    answers = await asyncio.gather(
        *(contacts.log(who, CommandKey("POST", "same"), ACCOUNTS[0], call(at)) for _ in range(8))
    )
    assert len({answer.body["id"] for answer in answers}) == 1
    await assert_the_log_is_whole(opened, 1, 1)


async def test_a_transaction_that_fails_after_its_decision_leaves_neither_gap_nor_contact(
    opened: Database,
) -> None:
    contacts, at = service(opened), noon()

    class Lost(Exception):
        """The connection, say, before the commit."""

    async def log_and_fail(judge: Judge) -> None:
        async with opened.transaction(Tenant.system(AGENCY, "test")) as tx:
            view = await tx.accounts.get(ACCOUNTS[0])
            assert view is not None
            await judge.log(tx, await judge.judge(tx, view, Question(channel=Channel.CALL, at=at)))
            raise Lost

    await contacts.log(person(1), CommandKey("POST"), ACCOUNTS[0], call(at))
    fresh = Judge({"federal": load_rule_sets(None)["federal"]})
    with pytest.raises(Lost):
        await log_and_fail(fresh)
    await contacts.log(person(1), CommandKey("POST"), ACCOUNTS[0], call(at))
    await assert_the_log_is_whole(opened, 2, 2)
