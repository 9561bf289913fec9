"""What a transaction does with the database's own errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from psycopg import pq
from sqlalchemy import text

from db.cipher import ColumnCipher, parse_keys
from db.session import Database, DatabaseRefused
from db.store import driver_of
from domain.errors import Unavailable
from domain.tenancy import Tenant
from runtime.settings import DEVELOPMENT_COLUMN_KEYS
from tests.conftest import TemporaryDatabase

CIPHER = ColumnCipher(parse_keys(DEVELOPMENT_COLUMN_KEYS))


async def test_a_refusal_names_the_constraint_and_quotes_no_person(database: TemporaryDatabase) -> None:
    db = Database(database.app_url, CIPHER)
    agency = uuid4()
    with pytest.raises(DatabaseRefused) as caught:
        async with db.transaction(Tenant.system(agency, "test")) as tx:
            await tx.session.execute(
                text(
                    "INSERT INTO debtor (agency_id, natural_key, full_name, late_payments_count)"
                    " VALUES (:agency, 'acct:1:A', 'Ada Lovelace', -1)"
                ),
                {"agency": agency},
            )
    await db.close()
    assert caught.value.details == {"constraint": "ck_debtor_late_payments"}
    told: BaseException | None = caught.value
    while told is not None:
        assert "Ada" not in str(told)
        told = told.__cause__
    assert not caught.value.retryable


async def test_a_database_that_is_away_may_be_tried_again() -> None:
    db = Database("postgresql://recoup_app@127.0.0.1:1/recoup", CIPHER)
    with pytest.raises(Unavailable):
        async with db.platform() as tx:
            await tx.revision()
    await db.close()


class Relay:
    """A way to PostgreSQL on which answers can be held up: ``asked`` is set by what clients send."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self.answers, self.asked = asyncio.Event(), asyncio.Event()
        self.answers.set()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[str]:
        """Its own address, as a URL of the same database."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        user = self._url.netloc.rpartition("@")[0]
        yield self._url._replace(netloc=f"{user}@127.0.0.1:{port}").geturl()
        server.close()

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        host, port = self._url.hostname, self._url.port
        server_in, server_out = await asyncio.open_connection(host, port)
        ways = (self._pass_on(client_in, server_out, self.asked), self._pass_on(server_in, client_out, None))
        await asyncio.gather(*ways)

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, seen: asyncio.Event | None
    ) -> None:
        while data := await source.read(65536):
            if seen is None:
                await self.answers.wait()
            else:
                seen.set()
            target.write(data)
        target.close()


async def test_a_connection_cut_off_while_it_begins_a_transaction_serves_nobody_else(
    database: TemporaryDatabase,
) -> None:
    relay = Relay(database.app_url)
    async with relay.opened() as url:
        db = Database(url, CIPHER, pool_size=1)

        async def work() -> None:
            async with db.transaction(Tenant.system(uuid4(), "test")) as tx:
                driver = await driver_of(tx.session)
                assert driver.pgconn.pipeline_status == pq.PipelineStatus.OFF
                assert (await tx.session.scalars(text("SELECT 7"))).one() == 7

        await work()
        relay.answers.clear()
        relay.asked.clear()
        cut_off = asyncio.create_task(work())
        await asyncio.wait_for(relay.asked.wait(), 10)
        cut_off.cancel()
        asyncio.get_running_loop().call_later(0.05, relay.answers.set)
        with pytest.raises(asyncio.CancelledError):
            await cut_off
        await work()
        await db.close()
