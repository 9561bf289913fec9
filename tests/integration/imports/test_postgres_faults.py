"""The database server goes away in the middle of an import, politely or by a crash.

A crash empties the unlogged staging tables together with their cursors; nothing may be lost or
doubled by it. The server is this module's own, and durable, as production's is.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from activities import portfolio_staging
from activities.portfolio_bytes import ReaderLimits
from activities.portfolio_file import PortfolioReader
from db import migrate
from sandbox.ports import free_port
from sandbox.postgres import OWNER, THROW_AWAY, Postgres, ensure_database
from tests.conftest import TEMPLATE, TemporaryDatabase, _copy
from tests.integration.imports.shop import Shop, eventually

ROWS = 420
FILLER = "x" * 16_000
"""In a column that is ignored: the file is longer than one block of the SFTP reader (4 MiB)."""

FAULTS: dict[str, Callable[[Postgres], Awaitable[None]]] = {}


def fault(way: Callable[[Postgres], Awaitable[None]]) -> Callable[[Postgres], Awaitable[None]]:
    FAULTS[way.__name__] = way
    return way


@fault
async def restart(server: Postgres) -> None:
    await server.restart()


@fault
async def crash(server: Postgres) -> None:
    await server.kill()
    await server.start()


@pytest.fixture(scope="module")
async def durable_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Postgres]:
    folder = tmp_path_factory.mktemp("durable")
    settings = {**THROW_AWAY, "synchronous_commit": "on"}
    server = Postgres(folder / "data", free_port(), log=folder / "postgres.log", settings=settings)
    await server.start()
    yield server
    await server.stop(fast=False)


@pytest.fixture
async def database(durable_postgres: Postgres) -> AsyncIterator[TemporaryDatabase]:
    """A database on the server that this module may break."""
    await ensure_database(durable_postgres, TEMPLATE)
    await asyncio.to_thread(migrate.upgrade, durable_postgres.url(OWNER, TEMPLATE))
    async with _copy(durable_postgres, TEMPLATE) as made:
        yield made


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many chunks and buckets from few rows."""
    reader = partial(PortfolioReader, limits=ReaderLimits(chunk_rows=50))
    monkeypatch.setattr(portfolio_staging, "PortfolioReader", reader)
    monkeypatch.setattr(portfolio_staging, "ROWS_PER_BUCKET", 100)


def portfolio(filler: str = "") -> str:
    """Rows with problems of every kind in early and late chunks."""
    lines = ["external_ref,debtor_name,original_amount,debtor_ref,debtor_email,filler"]
    for n in range(ROWS):
        amount = "-1" if n % 40 == 7 else f"{n + 1}.50"
        email = "nonsense" if n % 50 == 3 else f"p{n}@example.com"
        lines.append(f"R-{n % 400},Person {n},{amount},D-{n % 90},{email},{filler}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, list[object]]]:
    """What files come to when nothing goes wrong, by their content."""
    return {}


@pytest.fixture
def undisturbed(
    rival: Shop, results: dict[str, dict[str, list[object]]]
) -> Callable[[str], Awaitable[dict[str, list[object]]]]:
    """What a file comes to in another agency, before anything goes wrong."""

    async def take(content: str) -> dict[str, list[object]]:
        if content not in results:
            await rival.import_file(content)
            await rival.scored()
            results[content] = await rival.tables()
        return results[content]

    return take


@pytest.mark.parametrize("way", FAULTS)
async def test_staging_survives_the_database(
    shop: Shop, undisturbed: Any, durable_postgres: Postgres, way: str
) -> None:
    content = portfolio(FILLER)
    expected = await undisturbed(content)
    before_staging = shop.faults.before("imports.stage")
    shop.send(content)
    await shop.poll()
    await before_staging.reached()
    second_block = shop.door.hold_read("acme", 4 << 20)
    before_staging.open()
    await second_block.reached()
    await eventually(lambda: first_block_staged(shop))

    await FAULTS[way](durable_postgres)
    second_block.open()

    await shop.settled()
    await shop.scored()
    assert await shop.tables() == expected
    assert not await shop.breaches()


async def first_block_staged(shop: Shop) -> bool:
    [job] = await shop.jobs()
    return bool(job["total_records"] >= 200)


@pytest.mark.parametrize("way", FAULTS)
@pytest.mark.parametrize("stage", ["debtors", "accounts"])
async def test_merging_survives_the_database(
    shop: Shop, undisturbed: Any, durable_postgres: Postgres, way: str, stage: str
) -> None:
    expected = await undisturbed(portfolio())
    gate = shop.faults.before("imports.merge_bucket", lambda ref: (ref.stage, ref.bucket) == (stage, 2))
    shop.send(portfolio())
    await shop.poll()
    await gate.reached()

    await FAULTS[way](durable_postgres)
    gate.open()

    await shop.settled()
    await shop.scored()
    assert await shop.tables() == expected
    assert not await shop.breaches()


async def test_the_answer_of_a_bucket_is_lost_with_the_database(
    shop: Shop, undisturbed: Any, durable_postgres: Postgres
) -> None:
    expected = await undisturbed(portfolio())
    gate = shop.faults.after("imports.merge_bucket", lambda ref: (ref.stage, ref.bucket) == ("accounts", 0))
    shop.send(portfolio())
    await shop.poll()
    await gate.reached()

    await crash(durable_postgres)
    gate.open()

    await shop.settled()
    await shop.scored()
    assert await shop.tables() == expected
