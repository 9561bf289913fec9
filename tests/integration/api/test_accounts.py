"""Accounts over REST: placing, listing, looking, and who may see what."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import update
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.account_change import AccountChange
from db.models import Account
from db.scorecard_files import builtin_scorecards
from domain.compliance import retention
from domain.tenancy import Tenant
from runtime.temporal import DATA_CONVERTER
from sandbox.ports import free_port
from sandbox.temporal import TemporalServer
from services.admission import AdmissionRequests
from services.lifecycle_view import LifecycleReader
from services.web_ui import WebUi
from tests.integration.api import people
from workflows import queues

IN_THE_CLEAR = re.compile(r"(?<![0-9a-f-])9173(?![0-9a-f-])|\*-9173")
"""The digits 9173 as a value or masked number, not as a part of an id."""

SUMMARY_FIELDS = {
    "id", "external_ref", "agency_id", "creditor", "debtor", "status", "original_amount",
    "current_balance", "currency", "assigned_to", "due_date", "priority", "priority_score", "risk_score",
    "risk_level", "created_at", "updated_at",
}  # fmt: skip


def placement(**changes: Any) -> dict[str, Any]:
    """A placement with a reference of its own."""
    debtor = {
        "full_name": "Ada Lovelace",
        "email": "ada@example.com",
        "phone": "(214) 555-0100",
        "ssn_last4": "0042",
        "monthly_income": "2000.00",
        "late_payments_count": 4,
        "employment_status": "unemployed",
        **changes.pop("debtor", {}),
    }
    return {"external_ref": f"R-{uuid4().hex}", "original_amount": "1250.00", "debtor": debtor, **changes}


async def place(world: Any, who: str = "acme.admin", **changes: Any) -> dict[str, Any]:
    key = {"Idempotency-Key": uuid4().hex}
    answer = await world.call(who, "POST", "/accounts", placement(**changes), **key)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def results(world: Any, who: str, **query: Any) -> list[dict[str, Any]]:
    answer = await world.call(who, "GET", f"/accounts?{urlencode(query, doseq=True)}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


async def assign_to_collector(world: Any, agency: str, account_id: str) -> str:
    """What the command to assign will do to the account's row."""
    collectors = (await world.call(f"{agency}.admin", "GET", "/collectors")).json()["results"]
    if not collectors:
        me = (await world.call(f"{agency}.collector", "GET", "/auth/me")).json()
        form = {"user_id": me["id"]}
        collectors = [(await world.call(f"{agency}.admin", "POST", "/collectors", form)).json()]
    collector_id: str = collectors[0]["id"]
    async with world.database.transaction(Tenant.system(world.agencies[agency], "test")) as tx:
        await tx.session.execute(
            update(Account).where(Account.id == UUID(account_id)).values(assigned_to=UUID(collector_id))
        )
    return collector_id


async def test_placing_writes_everything_at_once(world: Any) -> None:
    made = await place(world, external_ref="FIRST", creditor_name="Hill Bank", due_date="2026-03-31")

    assert made.keys() >= SUMMARY_FIELDS
    assert made["status"] == "new"
    assert made["original_amount"] == made["current_balance"] == "1250.00"
    assert made["creditor"]["name"] == "Hill Bank"
    assert made["debtor"]["phone"] == "+12145550100"
    assert made["debtor"]["employment_status"] == "UNEMPLOYED"
    assert made["due_date"] == "2026-03-31"
    assert made["legal_moves"] == ["assigned", "closed"]
    assert made["risk_level"] in {"LOW", "MEDIUM", "HIGH", "CRITICAL"}
    assert Decimal(made["priority_score"]) == made["risk_score"] * Decimal("1250.00")
    assert made["score"]["current"] is True
    assert len(made["score"]["factors"]) == len(made["score"]["points"]) > 0
    assert (await results(world, "acme.admin", search="FIRST"))[0]["id"] == made["id"]

    timeline = (await world.call("acme.admin", "GET", f"/accounts/{made['id']}/timeline")).json()
    assert [(event["kind"], event["actor"], event["new"]) for event in timeline["results"]] == [
        ("placed", "acme.admin", "new")
    ]
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        assert [breach async for breach in tx.ledger.breaches()] == []
        records = await tx.audit.of("account", made["id"])
        assert [(record.action, record.actor) for record in records] == [("account.created", "acme.admin")]


async def test_the_same_reference_of_one_creditor_is_a_conflict(world: Any) -> None:
    first = await place(world, external_ref="TWICE")

    again = await world.call("acme.admin", "POST", "/accounts", placement(external_ref="TWICE"))
    other_creditor = await place(world, external_ref="TWICE", creditor_name="Another Bank")
    other_agency = await place(world, "rival.admin", external_ref="TWICE")

    assert again.status_code == 409
    assert again.json()["account_id"] == first["id"]
    assert len({first["id"], other_creditor["id"], other_agency["id"]}) == 3


async def test_ten_placements_of_one_reference_at_once_make_one_account(world: Any) -> None:
    bodies = [placement(external_ref="RACE") for _ in range(10)]

    answers = await asyncio.gather(*(world.call("acme.admin", "POST", "/accounts", body) for body in bodies))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert len(await results(world, "acme.admin", search="RACE")) == 1


async def test_placements_at_once_agree_on_a_new_creditor(world: Any) -> None:
    placed = await asyncio.gather(*(place(world, creditor_name="Brand New Bank") for _ in range(5)))

    assert len({account["creditor"]["id"] for account in placed}) == 1


async def test_an_idempotency_key_gets_the_first_answer_and_no_second_account(world: Any) -> None:
    body = placement()
    key = {"Idempotency-Key": uuid4().hex}

    first = await world.call("acme.admin", "POST", "/accounts", body, **key)
    again = await world.call("acme.admin", "POST", "/accounts", body, **key)
    other = await world.call("acme.admin", "POST", "/accounts", placement(), **key)

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.json() == first.json()


async def test_a_known_debtor_is_found_and_brought_up_to_date(world: Any) -> None:
    first = await place(world, debtor={"debtor_ref": "D-1", "late_payments_count": 0})
    second = await place(
        world,
        debtor={"debtor_ref": "D-1", "full_name": "Augusta King", "email": None, "late_payments_count": 20},
    )

    assert second["debtor"]["id"] == first["debtor"]["id"]
    assert second["debtor"]["email"] == "ada@example.com"
    found = await results(world, "acme.admin", search="augusta king")
    assert {account["id"] for account in found} == {first["id"], second["id"]}
    async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
        records = await tx.audit.of("debtor", first["debtor"]["id"])
    assert [record.action for record in records] == ["debtor.created", "debtor.changed"]
    assert records[1].old == {"full_name": "Ada Lovelace", "late_payments_count": 0}
    assert records[1].new == {"full_name": "Augusta King", "late_payments_count": 20}
    rescored = (await world.call("acme.admin", "GET", f"/accounts/{first['id']}")).json()
    assert rescored["risk_score"] > first["risk_score"]
    assert rescored["score"]["current"] is True


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"original_amount": "0"}, "original_amount"),
        ({"original_amount": "-5"}, "original_amount"),
        ({"original_amount": "1.234"}, "original_amount"),
        ({"original_amount": "NaN"}, "original_amount"),
        ({"original_amount": "1e9"}, "original_amount"),
        ({"original_amount": "1e3"}, "original_amount"),
        ({"original_amount": " 10.00 "}, "original_amount"),
        ({"original_amount": 10.5}, "original_amount"),
        ({"debtor": {"monthly_income": "1_000.00"}}, "debtor.monthly_income"),
        ({"currency": "EUR"}, "currency"),
        ({"due_date": 0}, "due_date"),
        ({"due_date": "0"}, "due_date"),
        ({"due_date": "2026-03-31T00:00:00"}, "due_date"),
        ({"external_ref": "  "}, "external_ref"),
        ({"external_ref": "\ud800"}, "external_ref"),
        ({"creditor_name": "\udfff"}, "creditor_name"),
        ({"debtor": {"city": "a\x00"}}, "debtor.city"),
        ({"\ud800": 1}, "body"),
        ({"external_ref": "x" * 101}, "external_ref"),
        ({"external_ref": "a\x00b"}, "external_ref"),
        ({"due_date": "2025-02-30"}, "due_date"),
        ({"due_date": "1066-10-14"}, "due_date"),
        ({"currency": "dollars"}, "currency"),
        ({"creditor_id": "01890000-0000-7000-8000-000000000000"}, "creditor_id"),
        ({"surprise": 1}, "surprise"),
        ({"debtor": {"ssn_last4": "123"}}, "debtor.ssn_last4"),
        ({"debtor": {"email": "nowhere"}}, "debtor.email"),
        ({"debtor": {"phone": "call me"}}, "debtor.phone"),
        ({"debtor": {"full_name": "n" * 10_000}}, "debtor.full_name"),
        ({"debtor": {"late_payments_count": -1}}, "debtor.late_payments_count"),
    ],
    ids=str,
)
async def test_a_bad_value_is_named(world: Any, changes: dict[str, Any], field: str) -> None:
    answer = await world.call("acme.admin", "POST", "/accounts", placement(**changes))

    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
    assert answer.headers["content-type"] == "application/problem+json"
    assert "123" not in answer.json()["detail"] or field != "debtor.ssn_last4"


async def test_text_that_looks_like_a_formula_is_kept_as_data(world: Any) -> None:
    made = await place(world, debtor={"full_name": "'=cmd()"})

    assert made["debtor"]["full_name"] == "'=cmd()"


async def test_who_may_place(world: Any) -> None:
    answers = {
        who: (await world.call(who, "POST", "/accounts", placement())).status_code
        for who in ("acme.collector", "acme.auditor", "platform", None)
    }

    assert answers == {"acme.collector": 403, "acme.auditor": 403, "platform": 400, None: 401}


async def test_nobody_sees_another_agencys_account(world: Any) -> None:
    made = await place(world, external_ref="SECRET-1")

    for path in ("", "/timeline", "/workflow"):
        answer = await world.call("rival.admin", "GET", f"/accounts/{made['id']}{path}")
        assert answer.status_code == 404, path
        assert made["id"] not in answer.json()["detail"]
    assert await results(world, "rival.admin", search="SECRET-1") == []
    creditor = made["creditor"]["id"]
    assert await results(world, "rival.admin", creditor=creditor) == []
    foreign = await world.call("rival.admin", "POST", "/accounts", placement(creditor_id=creditor))
    assert foreign.status_code == 422
    picked = {"X-Agency": str(world.agencies["acme"])}
    assert (await world.call("platform", "GET", f"/accounts/{made['id']}", **picked)).status_code == 200
    ignored = await world.call("rival.admin", "GET", f"/accounts/{made['id']}", **picked)
    assert ignored.status_code in {403, 404}


async def test_a_collector_sees_only_what_is_assigned_to_them(world: Any) -> None:
    theirs, another = await place(world), await place(world)
    collector = await assign_to_collector(world, "acme", theirs["id"])

    assert [account["id"] for account in await results(world, "acme.collector")] == [theirs["id"]]
    assert await results(world, "acme.collector", collector=str(uuid4())) == []
    assert [a["id"] for a in await results(world, "acme.admin", collector=collector)] == [theirs["id"]]
    assert await results(world, "acme.collector", collector="none") == []
    nobodys = await results(world, "acme.admin", collector="none")
    assert another["id"] in {account["id"] for account in nobodys}
    assert {account["assigned_to"] for account in nobodys} == {None}
    assert (await world.call("acme.collector", "GET", f"/accounts/{theirs['id']}")).status_code == 200
    for path in ("", "/timeline", "/workflow"):
        answer = await world.call("acme.collector", "GET", f"/accounts/{another['id']}{path}")
        assert answer.status_code == 404


async def test_social_security_digits_are_shown_to_few_and_kept_in_the_clear_nowhere(
    world: Any, module_database: Any
) -> None:
    made = await place(world, debtor={"ssn_last4": "9173"})
    await assign_to_collector(world, "acme", made["id"])
    without = await place(world, debtor={"ssn_last4": None})

    async def shown(who: str, account: dict[str, Any]) -> Any:
        picked = {"X-Agency": str(world.agencies["acme"])}
        answer = await world.call(
            who, "GET", f"/accounts/{account['id']}", **(picked if who == "platform" else {})
        )
        return answer.json()["debtor"]["ssn"]

    assert made["debtor"]["ssn"] == "***-**-****"
    assert await shown("acme.admin", made) == await shown("acme.collector", made) == "***-**-9173"
    assert await shown("acme.auditor", made) == await shown("platform", made) == "***-**-****"
    assert await shown("acme.admin", without) is None
    async with await psycopg.AsyncConnection.connect(module_database.owner_url) as connection:
        for table in ("debtor", "account", "account_search", "timeline_event", "audit_record", "command"):
            rows = await connection.execute(f"SELECT t::text FROM {table} t")  # noqa: S608 (constants)
            assert not [row for (row,) in await rows.fetchall() if IN_THE_CLEAR.search(row)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=open", "status[0]"),
        ("status=new&status=x", "status[1]"),
        ("min_balance=abc", "min_balance"),
        ("max_balance=-1", "max_balance"),
        ("min_balance=1.234", "min_balance"),
        ("min_balance=NaN", "min_balance"),
        ("min_balance=1e3", "min_balance"),
        ("due_after=0", "due_after"),
        ("created_after=yesterday", "created_after"),
        ("due_before=2025-02-30", "due_before"),
        ("priority=4", "priority[0]"),
        ("risk_level=EXTREME", "risk_level[0]"),
        ("promise=maybe", "promise[0]"),
        ("contact=anybody", "contact"),
        ("owed_back=perhaps", "owed_back"),
        ("aging=0-31", "aging[0]"),
        ("collector=me", "collector"),
        ("creditor=bank", "creditor"),
        ("ordering=name", "ordering"),
        ("search=a%00b", "search"),
        ("search=" + "x" * 201, "search"),
        ("page_size=0", "page_size"),
        ("cursor=!!!", "cursor"),
        ("cursor=e30", "cursor"),
    ],
)
async def test_a_bad_filter_is_named(world: Any, query: str, field: str) -> None:
    answer = await world.call("acme.admin", "GET", f"/accounts?{query}")

    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field


@pytest.mark.parametrize("query", ["aging=90+", "aging=90%2B"])
async def test_an_age_may_be_asked_for_as_it_is_called(world: Any, query: str) -> None:
    old = await place(world, due_date="2020-01-01")
    answer = await world.call("acme.admin", "GET", f"/accounts?{query}&search={old['external_ref']}")
    assert [account["id"] for account in answer.json()["results"]] == [old["id"]]


async def test_pages_link_forth_and_back_and_keep_the_filters(world: Any) -> None:
    mark = uuid4().hex[:8]
    placed = [
        await place(world, external_ref=f"{mark}-{n}", original_amount=f"{n % 3 + 1}00") for n in range(5)
    ]
    path = f"/accounts?search={mark}&ordering=-balance&page_size=2"
    pages = []
    while path:
        page = (await world.call("acme.admin", "GET", path)).json()
        pages.append(page)
        path = (page["next"] or "").removeprefix("/api/v1")
    back = (await world.call("acme.admin", "GET", pages[-1]["previous"].removeprefix("/api/v1"))).json()

    listed = [account for page in pages for account in page["results"]]
    assert [len(page["results"]) for page in pages] == [2, 2, 1]
    assert {account["id"] for account in listed} == {account["id"] for account in placed}
    balances = [Decimal(account["current_balance"]) for account in listed]
    assert balances == sorted(balances, reverse=True)
    assert pages[0]["previous"] is None
    assert back["results"] == pages[1]["results"]
    assert all(account.keys() >= SUMMARY_FIELDS for account in listed)


async def test_a_cursor_of_another_ordering_is_refused(world: Any) -> None:
    for _ in range(2):
        await place(world)
    first = (await world.call("acme.admin", "GET", "/accounts?page_size=1&ordering=balance")).json()
    cursor = first["next"].split("cursor=")[1].split("&")[0]

    answer = await world.call("acme.admin", "GET", f"/accounts?ordering=-due_date&cursor={cursor}")

    assert answer.status_code == 422
    assert answer.json()["field"] == "cursor"


async def test_days_count_to_their_end(world: Any) -> None:
    made = await place(world)
    day = made["created_at"][:10]

    same_day = await results(world, "acme.admin", created_after=day, created_before=day, page_size=500)
    upper = await results(world, "acme.admin", created_before=made["created_at"], page_size=500)

    assert made["id"] in {account["id"] for account in same_day}
    assert made["id"] in {account["id"] for account in upper}
    assert await results(world, "acme.admin", created_before="2020-01-01") == []


async def test_an_account_never_worked_has_no_workflow(world: Any) -> None:
    made = await place(world)

    view = (await world.call("acme.admin", "GET", f"/accounts/{made['id']}/workflow")).json()

    assert view["workflow_id"] == f"account/{made['id']}"
    assert (view["status"], view["run_id"], view["state"], view["next"]) == ("not_started", None, None, [])
    assert view["web_ui_url"].endswith(f"/workflows/account%2F{made['id']}")


@workflow.defn(name="AccountLifecycle")
class Waiting:
    """Stands in for the lifecycle: waits, and answers the same query."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.query
    def describe(self) -> dict[str, Any]:
        return {"state": "new", "next": [{"what": "follow-up", "at": "2026-12-24T18:00:00Z"}]}


async def test_a_workflow_tells_what_it_waits_for(world: Any, temporal_client: Client) -> None:
    made = await place(world)
    queue = f"test-{uuid4().hex}"
    worker = Worker(
        temporal_client, task_queue=queue, workflows=[Waiting], workflow_runner=UnsandboxedWorkflowRunner()
    )
    async with worker:
        handle = await temporal_client.start_workflow(
            Waiting.run, id=queues.account_workflow_id(UUID(made["id"])), task_queue=queue
        )
        view = (await world.call("acme.admin", "GET", f"/accounts/{made['id']}/workflow")).json()

    assert view["status"] == "running"
    assert view["state"] == "new"
    assert view["next"] == [{"what": "follow-up", "at": "2026-12-24T18:00:00Z"}]
    assert view["run_id"] == handle.first_execution_run_id
    assert view["run_id"] in view["web_ui_url"]
    await handle.terminate()


@pytest.fixture
async def dead_client(tmp_path: Path) -> Client:
    """A client of a Temporal server that went away."""
    server = TemporalServer(free_port(), log=tmp_path / "temporal.log")
    await server.start()
    client = await Client.connect(server.address, data_converter=DATA_CONVERTER)
    await server.stop()
    return client


async def test_without_temporal_accounts_are_placed_and_workflows_unavailable(
    world: Any, dead_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = AdmissionRequests(dead_client)
    monkeypatch.setattr(world.services.accounts, "_ask_admission", requests.ask)
    reader = LifecycleReader(dead_client, WebUi("http://ui", "default"))
    monkeypatch.setattr(world.services.accounts, "_lifecycles", reader)

    made = await place(world)
    detail = await world.call("acme.admin", "GET", f"/accounts/{made['id']}")
    view = await world.call("acme.admin", "GET", f"/accounts/{made['id']}/workflow")

    assert detail.status_code == 200
    assert view.status_code == 503
    assert "Retry-After" in view.headers
    await asyncio.gather(*requests._under_way)


async def test_without_a_worker_the_view_says_so(
    world: Any, temporal_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await place(world)
    handle = await temporal_client.start_workflow(
        "AccountLifecycle", id=queues.account_workflow_id(UUID(made["id"])), task_queue=f"nobody-{uuid4()}"
    )

    with monkeypatch.context() as hasty:
        hasty.setattr("services.lifecycle_view.PATIENCE", timedelta(seconds=3))
        view = (await world.call("acme.admin", "GET", f"/accounts/{made['id']}/workflow")).json()
    await handle.terminate()
    ended = (await world.call("acme.admin", "GET", f"/accounts/{made['id']}/workflow")).json()

    assert (view["status"], view["state"]) == ("running", None)
    assert "no worker" in view["problem"]
    assert (ended["status"], ended["problem"], ended["next"]) == ("terminated", None, [])


async def test_placing_asks_for_admission(world: Any, temporal_client: Client) -> None:
    await place(world)

    handle = temporal_client.get_workflow_handle(queues.admission_workflow_id(world.agencies["acme"]))
    assert (await handle.describe()).workflow_type == "Admission"


async def test_the_timeline_is_paged_newest_first(world: Any) -> None:
    made = await place(world)
    for n in range(4):
        async with world.database.transaction(Tenant.system(world.agencies["acme"], "test")) as tx:
            await tx.timeline.add(UUID(made["id"]), "note", f"note {n}")
    path = f"/accounts/{made['id']}/timeline?page_size=2"

    pages = []
    while path:
        pages.append((await world.call("acme.admin", "GET", path)).json())
        path = (pages[-1]["next"] or "").removeprefix("/api/v1")
    back = (await world.call("acme.admin", "GET", pages[2]["previous"].removeprefix("/api/v1"))).json()

    told = [event["description"] for page in pages for event in page["results"]]
    assert told == ["note 3", "note 2", "note 1", "note 0", "Placed by hand for Default"]
    assert back["results"] == pages[1]["results"]
    assert pages[2]["results"][0]["metadata"] == {"amount": "1250.00", "currency": "USD"}


async def test_records_are_to_be_kept_until_three_years_after_the_latest_event(world: Any) -> None:
    """12 CFR 1006.100(a): whenever the account was placed."""
    account = await people.place(world, await people.make(world))
    await people.set_account(world, account, created_at=datetime(2020, 1, 2, tzinfo=UTC))
    path = f"/accounts/{account['id']}"
    noted = await world.call("acme.admin", "POST", f"{path}/notes", {"text": "a call"})
    last = datetime.fromisoformat(noted.json()["at"]).astimezone(UTC).date()
    assert (await people.read(world, path))["keep_until"] == retention.keep_until(last).isoformat()


async def test_what_was_paid_beyond_the_debt_is_shown_as_owed_back(world: Any) -> None:
    placed = await place(world)
    shown = []
    for paid in ("1250.00", "50.00"):
        tenant = Tenant.system(UUID(placed["agency_id"]), "test")
        async with world.database.transaction(tenant) as tx:
            change = await AccountChange.begin(tx, UUID(placed["id"]), builtin_scorecards())
            await change.receive(Decimal(paid), key=uuid4().hex, occurred_at=tx.began_at)
            await change.settle()
        account = (await world.call("acme.admin", "GET", f"/accounts/{placed['id']}")).json()
        shown.append((account["current_balance"], account["credit_balance"], account["unapplied"]))
    assert shown == [("0.00", "0.00", "0.00"), ("0.00", "50.00", "0.00")]
