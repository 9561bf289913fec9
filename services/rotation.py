"""Rotate the column keys: everything encrypted, of every agency, under the first key."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from db.rotation import ENCRYPTED_COLUMNS, EncryptedColumn
from domain.errors import Unavailable
from domain.tenancy import Actor, Tenant

if TYPE_CHECKING:
    from db.rotation import Batch
    from db.session import Database

BATCH_ROWS = 1000
TRIES = 5

Progress = Callable[[int, int], None]
"""Told of values looked at so far, and of how many there are."""


class RotationReport(BaseModel):
    """How many values were looked at, and how many were encrypted anew."""

    model_config = ConfigDict(frozen=True)

    seen: int
    rotated: int


async def rotate_keys(database: "Database", actor: Actor, progress: Progress) -> RotationReport:
    """Encrypt every value anew that is not under the first key, in batches of one transaction each.

    Safe to stop and to repeat: what is done stays done. Work goes on meanwhile; a batch that met with a
    lock that was held for long, or a deadlock, is tried again. ``ColumnUnreadable`` names a missing key.
    Values written meanwhile by processes that still use the old first key need another run.
    """
    async with database.platform() as platform:
        tenants = [Tenant(agency.id, actor) for agency in await platform.agencies.every()]
    total = 0
    for tenant in tenants:
        async with database.transaction(tenant) as tx:
            total += sum([await tx.rotation.count(column) for column in ENCRYPTED_COLUMNS])
    seen = rotated = 0
    for tenant in tenants:
        for column in ENCRYPTED_COLUMNS:

            def report(so_far: int, before: int = seen) -> None:
                progress(before + so_far, total)

            column_seen, column_rotated = await _rotate_column(database, tenant, column, report)
            seen += column_seen
            rotated += column_rotated
    return RotationReport(seen=seen, rotated=rotated)


async def _rotate_column(
    database: "Database", tenant: Tenant, column: EncryptedColumn, progress: Callable[[int], None]
) -> tuple[int, int]:
    seen = rotated = 0
    after = None
    while True:
        batch = await _rotate_batch(database, tenant, column, after)
        seen += batch.seen
        rotated += batch.rotated
        progress(seen)
        if batch.seen < BATCH_ROWS:
            return seen, rotated
        after = batch.last


@retry(
    retry=retry_if_exception_type(Unavailable),
    stop=stop_after_attempt(TRIES),
    wait=wait_random_exponential(multiplier=0.2, max=5),
    reraise=True,
)
async def _rotate_batch(
    database: "Database", tenant: Tenant, column: EncryptedColumn, after: tuple[Any, ...] | None
) -> "Batch":
    async with database.transaction(tenant) as tx:
        batch = await tx.rotation.rotate(column, after, BATCH_ROWS)
        if batch.rotated:
            name = f"{column.table}.{column.column}"
            await tx.audit.record(
                "keys.rotated", "agency", tenant.agency_id, new={"column": name, "values": batch.rotated}
            )
    return batch
