"""A generated file through the door makes what `recoup generate` makes in the database; clearing ends it."""

import io
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from domain.errors import Unavailable
from runtime import temporal
from runtime.settings import Settings
from sandbox.generator import Generated, Portfolio, generate
from sandbox.portfolio_tables import Distribution
from tests.integration.imports.shop import Shop
from workflows import queues

PORTFOLIO = Portfolio(600, Distribution.BALANCED, 42)


@pytest.fixture
def settings(settings: Settings, database: Any, temporal_server: Any, namespace: Client) -> Settings:
    return settings.model_copy(
        update={
            "database_owner_url": database.owner_url,
            "temporal_address": temporal_server.address,
            "temporal_namespace": namespace.namespace,
        }
    )


def file_of(portfolio: Portfolio) -> bytes:
    fh = io.BytesIO()
    portfolio.write(fh, lambda *_: None)
    return fh.getvalue()


async def generated(shop: Shop, *, clear: bool = False, settings: Settings | None = None) -> Generated:
    return await generate(
        settings or shop.settings,
        PORTFOLIO,
        agency=shop.name,
        clear=clear,
        scores=True,
        report=lambda *_: None,
        say=lambda _: None,
    )


async def test_the_file_imports_cleanly_and_comes_to_the_same_accounts(shop: Shop, rival: Shop) -> None:
    job = await shop.import_file(file_of(PORTFOLIO))
    assert (job["status"], job["processed_ok"], job["processed_errors"], job["warnings"]) == (
        "completed",
        600,
        0,
        0,
    )
    await shop.scored()
    await generated(rival)
    imported, made = await shop.tables(), await rival.tables()
    for same in ("creditors", "debtors", "accounts", "postings", "scores", "search"):
        assert imported[same] == made[same], same
    lines = [(ref, kind, line) for ref, kind, _, _, line in imported["timeline"]]
    assert lines == [(ref, kind, line) for ref, kind, _, _, line in made["timeline"]]
    history = """
        SELECT a.external_ref, h.total, h.rank, h.points, h.inputs_hash, h.threshold, h.monthly_income
          FROM account_score_history h JOIN account a ON a.id = h.account_id
         WHERE h.agency_id = %s ORDER BY 1"""
    assert await shop.query(history, shop.agency_id) == await rival.query(history, rival.agency_id)
    assert await rival.breaches() == []


async def test_clearing_ends_the_lifecycles_and_leaves_others_alone(shop: Shop, rival: Shop) -> None:
    for one in (shop, rival):
        await one.import_file(file_of(PORTFOLIO))
        await one.scored()
    admitted = await shop.query(
        "SELECT id FROM account WHERE agency_id = %s AND admitted_at IS NOT NULL", shop.agency_id
    )
    assert len(admitted) == shop.settings.lifecycle_capacity
    others = await rival.tables()
    made = await generated(shop, clear=True)
    assert made.removed["account"] == 600
    assert made.removed["import_job"] == 1
    assert made.workflows_ended["AccountLifecycle"] >= len(admitted)
    for row in admitted:
        handle = shop.client.get_workflow_handle(queues.account_workflow_id(row["id"]))
        assert (await handle.describe()).status is WorkflowExecutionStatus.TERMINATED
    assert await rival.tables() == others
    assert len((await shop.tables())["accounts"]) == 600
    assert (await shop.tables())["imports"] == []
    again = await shop.import_file(file_of(Portfolio(50, Distribution.LOW_RISK, 42)))
    assert (again["status"], again["accounts_created"], again["warnings"]) == ("completed", 50, 0)


async def test_without_temporal_nothing_is_cleared(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.import_file(file_of(PORTFOLIO))
    monkeypatch.setattr(temporal._connect.retry, "stop", lambda _: True)
    away = shop.settings.model_copy(update={"temporal_address": "127.0.0.1:9"})
    with pytest.raises(Unavailable, match="Temporal does not answer at"):
        await generated(shop, clear=True, settings=away)
    assert len((await shop.tables())["accounts"]) == 600
