"""A worker as ``recoup worker`` is, but it stands still between a transition's commit and its answer."""

import asyncio

from temporalio.client import Client

from api.composition import open_database
from gateways.storage import ObjectStorage
from runtime import temporal
from runtime.settings import load_settings
from tests.integration.imports.faults import Faults
from workers.worker import serving, until_signalled
from workflows import queues


async def main() -> None:
    settings = load_settings()
    faults = Faults()
    faults.after("accounts.transition")
    config = (await temporal.connect(settings)).config()
    config["interceptors"] = [faults]
    async with open_database(settings, "standing-worker") as database:
        storage = ObjectStorage(settings.storage_url)
        async with serving(settings, database, Client(**config), storage, [queues.LIFECYCLE]):
            await until_signalled()


if __name__ == "__main__":
    asyncio.run(main())
