"""Sending accounts to partners: what is sent is decided once, and every attempt sends the same bytes."""

import asyncio
import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.heartbeats import heartbeating
from activities.partner_bodies import csv_body, json_body
from activities.partner_sync_messages import (
    ACTOR,
    BatchRef,
    SyncEnd,
    SyncRef,
    SyncRequest,
    SyncSummary,
    UndeliveredBatch,
)
from activities.partner_ways import NoWay
from domain.errors import Conflict, DomainError
from domain.tenancy import Tenant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from activities.partner_ways import PartnerWays
    from db.models import PartnerBatch
    from db.partner_syncs import SentAccount
    from db.partners import DeliveryWay
    from db.session import Database, Transaction

BATCH_SIZES = {"https": 1_000, "sftp": 10_000}
"""Accounts in one request, or in one file."""

RETRY_AFTER = "retry_after_s"


class PartnerSyncActivities:
    """The steps of ``PartnerSync``."""

    def __init__(
        self, db: "Database", ways: "PartnerWays", *, batch_sizes: dict[str, int] | None = None
    ) -> None:
        self._db = db
        self._ways = ways
        self._batch_sizes = batch_sizes or BATCH_SIZES

    @activity.defn(name="partner_sync.open")
    async def open(self, request: SyncRequest) -> SyncRef:
        """Make the sending, or find it, and decide what is in it: once, for good."""
        tenant = Tenant.system(request.agency_id, ACTOR)
        async with self._db.transaction(tenant) as tx:
            # On record by itself: should it come to nothing, that is to be seen.
            found = await tx.partner_syncs.open(
                request.sync_id,
                request.partner_id,
                origin=request.origin,
                requested_by=request.requested_by,
                scoring_run_id=request.scoring_run_id,
            )
        async with heartbeating(), self._db.transaction(tenant) as tx:
            sync = await tx.partner_syncs.get(found.id, lock=True)
            if sync.status == "pending":
                await self._fill(tx, sync.id, request)
            ref = SyncRef(agency_id=request.agency_id, sync_id=sync.id)
            if sync.status in {"completed", "failed"}:
                return ref.model_copy(update={"over": True})
            counts = await tx.partner_syncs.counts(sync.id)
            return ref.model_copy(update={"batches": sum(counts)})

    async def _fill(self, tx: "Transaction", sync_id: "UUID", request: SyncRequest) -> None:
        partner = await tx.partners.get(request.partner_id)
        if not partner.active or partner.delivery not in self._batch_sizes:
            raise NoWay(f"the partner {partner.name} is not active or has no delivery; it is sent nothing")
        sync = await tx.partner_syncs.get(sync_id)
        size = self._batch_sizes[partner.delivery]
        batches = await tx.partner_syncs.fill(
            sync, delivery=partner.delivery, size=size, everything=request.everything
        )
        for number in range(1, batches + 1):
            items = await tx.partner_syncs.items(sync_id, number)
            _, digest = await asyncio.to_thread(_written, partner.delivery, items)
            await tx.partner_syncs.add_batch(sync_id, number, items=len(items), sha256=digest)

    @activity.defn(name="partner_sync.deliver")
    async def deliver(self, ref: BatchRef) -> None:
        """Deliver one batch and record that it has arrived; what is recorded already is not sent again.

        Killed between the two, the next attempt sends the same bytes under the same key, by which the
        partner knows them. What goes wrong is on record before the attempt ends.
        """
        tenant = Tenant.system(ref.agency_id, ACTOR)
        key = f"{ref.sync_id}-{ref.number}"
        file_name = f"accounts-{key}.csv"
        async with self._db.transaction(tenant) as tx:
            batch = await tx.partner_syncs.batch(ref.sync_id, ref.number)
            if batch.status == "delivered":
                return
            way, body = await self._body(tx, ref, batch)
            await tx.partner_syncs.attempt(ref.sync_id, ref.number, self._ways.target(way, file_name))
        try:
            async with heartbeating():
                answer = await self._ways.deliver(tenant, way, key=key, file_name=file_name, body=body)
        except DomainError as error:
            await self._trouble(tenant, ref, error)
            raise _postponed(error) from error
        async with self._db.transaction(tenant) as tx:
            await tx.partner_syncs.deliver(ref.sync_id, ref.number, answer)

    async def _body(
        self, tx: "Transaction", ref: BatchRef, batch: "PartnerBatch"
    ) -> "tuple[DeliveryWay, bytes]":
        sync = await tx.partner_syncs.get(ref.sync_id)
        way = await tx.partners.delivery_way(sync.partner_id)
        if way.delivery != sync.delivery:
            raise NoWay(
                f"the delivery to {way.name} is {way.delivery} now, this was made for {sync.delivery};"
                " send again"
            )
        items = await tx.partner_syncs.items(ref.sync_id, ref.number)
        body, digest = await asyncio.to_thread(_written, way.delivery, items)
        if digest != batch.sha256:
            raise BatchChanged("the batch is no longer what it was when it was made; send again")
        return way, body

    async def _trouble(self, tenant: Tenant, ref: BatchRef, error: DomainError) -> None:
        async with self._db.transaction(tenant) as tx:
            await tx.partner_syncs.trouble(ref.sync_id, ref.number, error.message, over=not error.retryable)

    @activity.defn(name="partner_sync.give_up")
    async def give_up(self, batch: UndeliveredBatch) -> None:
        """Mark a batch as one that was not delivered."""
        async with self._db.transaction(Tenant.system(batch.agency_id, ACTOR)) as tx:
            await tx.partner_syncs.trouble(batch.sync_id, batch.number, batch.reason, over=True)

    @activity.defn(name="partner_sync.finish")
    async def finish(self, end: SyncEnd) -> SyncSummary:
        """End the sending, with what it came to; safe to repeat."""
        async with heartbeating(), self._db.transaction(Tenant.system(end.agency_id, ACTOR)) as tx:
            sync = await tx.partner_syncs.finish(end.sync_id, end.reason)
            return SyncSummary(
                sync_id=sync.id,
                status=sync.status,
                total=sync.total,
                delivered=sync.delivered,
                reason=sync.reason,
            )


class BatchChanged(Conflict):
    """The bytes of a batch cannot be made again as they were: what was sent before is not known."""

    type = "partner-batch-changed"
    title = "Batch changed"


def _written(delivery: str, items: "Sequence[SentAccount]") -> tuple[bytes, str]:
    """A batch as it is sent, and the SHA-256 (hex) of that; takes processor time."""
    body = json_body(items) if delivery == "https" else csv_body(items)
    return body, hashlib.sha256(body).hexdigest()


def _postponed(error: DomainError) -> Exception:
    """The error as the partner wants it: tried again after the time that it has named."""
    wait = error.details.get(RETRY_AFTER)
    if wait is None:
        return error
    return ApplicationError(
        error.message, error.details, type=error.type, next_retry_delay=timedelta(seconds=wait)
    )
