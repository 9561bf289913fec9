"""``recoup audit payments``: every payment beside its journals and, when asked, beside Stripe's charges."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rich.table import Table

from activities.stripe_accounts import NoStripeCredentials, StripeAccounts
from activities.stripe_lists import StripeLists
from cli.audit_scores import chosen_agencies
from cli.consoles import plain_console
from domain.tenancy import Tenant
from gateways.stripe import StripeGateway, Unreadable
from runtime.settings import load_settings

if TYPE_CHECKING:
    from db.models import Agency
    from db.processor_items import Item
    from db.session import Database, Transaction

MOST_KEPT = 1_000
"""How many differences are shown; the rest is counted, so that memory stays small."""

CHUNK = 500
_ALL_TIME = datetime(2011, 1, 1, tzinfo=UTC)
"""Before Stripe was there."""

_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Breached:
    """Something that does not agree: whose, what it is, and how."""

    agency: str
    entity: str
    ref: str
    what: str


@dataclass
class AuditedPayments:
    """How much was compared, and what differs; ``charges``: at Stripe, None where it was not asked."""

    agencies: int = 0
    payments: int = 0
    at_stripe: int | None = None
    differing: int = 0
    kept: list[Breached] = field(default_factory=list)

    def add(self, breach: Breached) -> None:
        """Count a difference, and keep it while there is room."""
        self.differing += 1
        if len(self.kept) < MOST_KEPT:
            self.kept.append(breach)


async def audited_payments(slug: str | None, *, with_stripe: bool) -> AuditedPayments:
    """Prove the payments of one agency, or of all. ``NotFound``; ``StripeOutage`` while Stripe is away."""
    from api.composition import open_database

    settings = load_settings()
    found = AuditedPayments(at_stripe=0 if with_stripe else None)
    async with open_database(settings, "recoup-audit") as database:
        gateway = StripeGateway(base_url=settings.stripe_url)
        lists = StripeLists(StripeAccounts(database, gateway)) if with_stripe else None
        try:
            for agency in await chosen_agencies(database, slug):
                await _audit(database, agency, lists, found)
        finally:
            await gateway.close()
    return found


async def _audit(
    database: "Database", agency: "Agency", lists: StripeLists | None, found: AuditedPayments
) -> None:
    found.agencies += 1
    async with database.transaction(Tenant.system(agency.id, "audit")) as tx:
        found.payments += await tx.payment_audit.count()
        async for breach in tx.payment_audit.breaches():
            found.add(Breached(agency.slug, breach.entity, str(breach.id), breach.what))
    if lists is None:
        return
    try:
        await lists.check(agency.id)
    except NoStripeCredentials:
        return
    async with database.transaction(Tenant.system(agency.id, "audit")) as tx:
        await _beside_stripe(tx, agency, lists, found)


async def _beside_stripe(
    tx: "Transaction", agency: "Agency", lists: StripeLists, found: AuditedPayments
) -> None:
    """Everything that Stripe has of an agency beside everything that is here.

    It is staged as a reconciliation does it, in a transaction that leaves nothing behind.
    """
    until = datetime.now(UTC) + _CLOCKS_DIFFER
    run = await tx.payment_reconciliations.open(
        uuid4(), origin="manual", requested_by="audit", since=_ALL_TIME, until=until
    )

    async def odd(one: Unreadable) -> None:
        found.add(Breached(agency.slug, one.kind, one.id, f"unreadable ({one.problem})"))

    chunk: list[Item] = []
    count = 0
    async for item in lists.items(agency.id, _ALL_TIME, until, odd):
        chunk.append(item)
        if len(chunk) == CHUNK:
            await tx.processor_items.stage(run.id, chunk)
            count, chunk = count + len(chunk), []
    await tx.processor_items.stage(run.id, chunk)
    found.at_stripe = (found.at_stripe or 0) + count + len(chunk)
    async for one in tx.processor_items.differences(run):
        amounts = f"{_amount(one.ours)} here, {_amount(one.theirs)} at Stripe, {one.currency}"
        found.add(Breached(agency.slug, one.kind, one.ref, f"{one.cause} ({amounts})"))
    await tx.payment_reconciliations.forget(run.id)


def _amount(amount: object) -> str:
    return "nothing" if amount is None else str(amount)


def to_json(audited: AuditedPayments) -> dict[str, Any]:
    """The result for machines."""
    return {
        "agencies": audited.agencies,
        "payments": audited.payments,
        "at_stripe": audited.at_stripe,
        "differing": audited.differing,
        "breaches": [
            {"agency": one.agency, "entity": one.entity, "ref": one.ref, "what": one.what}
            for one in audited.kept
        ],
    }


def show(audited: AuditedPayments) -> None:
    """The result for people."""
    console = plain_console()
    checked = f"checked {audited.payments:,} payments of {audited.agencies:,} agencies"
    if audited.at_stripe is not None:
        checked += f" and {audited.at_stripe:,} charges, refunds and disputes at Stripe"
    if not audited.differing:
        console.print(f"every payment agrees with its journals: {checked}")
        return
    table = Table("agency", "what", "id", "difference", title="payments that do not agree")
    for one in audited.kept:
        table.add_row(one.agency, one.entity, one.ref, one.what)
    console.print(table)
    console.print(f"{audited.differing:,} differences; {checked}")
