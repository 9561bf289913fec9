"""A worker at the queue for money, as ``recoup worker --queues money`` is: one that a test can kill."""

import asyncio

from api.composition import open_database
from gateways.storage import ObjectStorage
from runtime import temporal
from runtime.settings import load_settings
from workers.worker import serving, until_signalled
from workflows import queues


async def main() -> None:
    settings = load_settings()
    client = await temporal.connect(settings)
    async with open_database(settings, "money-worker") as database:
        storage = ObjectStorage(settings.storage_url)
        async with serving(settings, database, client, storage, [queues.MONEY]):
            await until_signalled()


if __name__ == "__main__":
    asyncio.run(main())
