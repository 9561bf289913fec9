"""Records the histories that ``tests/replay`` replays, from a real run: small, and invented people only.

``python -m pytest tests/integration/imports/record_histories.py`` writes them anew; commit them after a
change of workflow code that is meant to break with running workflows, and never to silence a replay.
"""

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from activities import notices
from activities.assignment import AssignmentRequest
from activities.messages import AgencyRef
from tests.integration.imports.shop import Shop, eventually, rows
from workflows import queues
from workflows.accounts import AccountLifecycle
from workflows.assignment import AutoAssignment
from workflows.notices import NoticeDelivery
from workflows.portfolio import PortfolioPoll

HISTORIES = Path(__file__).parents[2] / "replay" / "histories"


async def test_record(shop: Shop) -> None:
    shop.send(rows(3))
    await poll(shop, "portfolio-poll-with-a-new-file")
    [job] = await shop.settled()
    await shop.scored()
    await save(shop, shop.workflow_id(job), "portfolio-import-completed")
    await save(shop, queues.scoring_workflow_id(job["id"]), "portfolio-scoring-completed")
    await shop.ended(queues.admission_workflow_id(shop.agency_id))
    await save(shop, queues.admission_workflow_id(shop.agency_id), "admission-of-a-batch")

    shop.send(rows(3))
    (shop.inbox / "link.csv").symlink_to("/nowhere.csv")
    await poll(shop, "portfolio-poll-with-a-known-file-and-a-link")
    refused = await shop.import_file("nonsense\n")
    await save(shop, shop.workflow_id(refused), "portfolio-import-refused")

    waiting, over = [a["id"] for a in await shop.mine("id", "account")][:2]
    await save(shop, queues.account_workflow_id(waiting), "account-lifecycle-waiting")
    await close(shop, over)
    await save(shop, queues.account_workflow_id(over), "account-lifecycle-closed")


async def test_record_assignment(shop: Shop) -> None:
    await shop.import_file(rows(3))
    await shop.scored()
    await shop.query(
        "WITH u AS (INSERT INTO app_user (agency_id, username, full_name, role, password_hash)"
        " VALUES (%s, 'cole', 'Cole Lector', 'collector', '!') RETURNING *)"
        " INSERT INTO collector (agency_id, user_id, full_name, max_accounts)"
        " SELECT agency_id, id, full_name, 2 FROM u",
        shop.agency_id,
    )
    request = AssignmentRequest(agency_id=shop.agency_id)
    scheduled = f"{queues.daily_assignment_workflow_id(shop.agency_id)}-2026-11-20T05:30:00Z"
    await shop.client.execute_workflow(AutoAssignment.run, request, id=scheduled, task_queue=queues.LIFECYCLE)
    the_run = queues.assignment_workflow_id(shop.agency_id)
    await shop.ended(the_run)
    await save(shop, the_run, "auto-assignment-completed")


async def test_record_delivery(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "BATCH", 2)
    await shop.import_file(rows(3))
    await shop.scored()
    async with shop.db.transaction(shop.tenant) as tx:
        await tx.lifecycles.notify([account["id"] for account in await shop.mine("id", "account")])
    workflow_id = queues.notice_workflow_id(shop.agency_id)
    told = await shop.client.execute_workflow(
        NoticeDelivery.run,
        AgencyRef(agency_id=shop.agency_id),
        id=workflow_id,
        task_queue=queues.LIFECYCLE,
    )
    assert told == 3
    await save(shop, workflow_id, "notice-delivery-in-two-batches")


async def poll(shop: Shop, name: str) -> None:
    workflow_id = f"poll/{uuid4()}"
    agency = AgencyRef(agency_id=shop.agency_id)
    await shop.client.execute_workflow(PortfolioPoll.run, agency, id=workflow_id, task_queue=queues.LIFECYCLE)
    await save(shop, workflow_id, name)


async def close(shop: Shop, account_id: UUID) -> None:
    """As a command will: the row, then the signal."""
    await shop.query("UPDATE account SET status = 'closed', version = version + 1 WHERE id = %s", account_id)
    lifecycle = shop.client.get_workflow_handle(queues.account_workflow_id(account_id))
    await lifecycle.signal(AccountLifecycle.account_changed)
    await lifecycle.result()

    async def released() -> bool:
        [account] = await shop.query("SELECT released_at FROM account WHERE id = %s", account_id)
        return account["released_at"] is not None

    await eventually(released)


async def save(shop: Shop, workflow_id: str, name: str) -> None:
    history = await shop.client.get_workflow_handle(workflow_id).fetch_history()
    HISTORIES.mkdir(parents=True, exist_ok=True)
    history_json = json.dumps(without_machine(json.loads(history.to_json())), indent=1)
    (HISTORIES / f"{name}.json").write_text(history_json + "\n")


def without_machine(part: Any) -> Any:
    """The history less what tells of the machine it was recorded on, which no replay looks at."""
    if isinstance(part, list):
        return [without_machine(item) for item in part]
    if isinstance(part, dict):
        return {
            name: "worker" if name == "identity" else without_machine(value)
            for name, value in part.items()
            if name != "stackTrace"
        }
    return part
