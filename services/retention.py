"""What of the tables by month could be archived. Nothing is: the platform takes no record away."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from pydantic import Field

from db.retention import BY_ACCOUNT, OF_EVERYTHING, Partition
from domain.compliance import retention
from domain.tenancy import Actor, Tenant
from services.fields import View

if TYPE_CHECKING:
    from db.session import Database


class MonthReport(View):
    """A whole month of a table. ``archivable``: nothing in it is about a debt whose records must be kept."""

    table: str = Field(examples=["timeline_event"])
    partition: str = Field(examples=["timeline_event_2026_11"])
    month: date = Field(description="its first day, in UTC")
    rows: int
    kept: dict[str, int] = Field(description="accounts in it that are kept, by why")
    archivable: bool


class RetentionReport(View):
    """Months that are old enough to be asked about, the oldest first; those since are needed anyway."""

    as_of: date
    years: int
    activity_until: date = Field(description="records of a debt must be kept if anything happened later")
    months: tuple[MonthReport, ...]


class _Findings:
    """What the agencies' accounts keep, all together."""

    def __init__(self) -> None:
        self.rows: Counter[tuple[str, date]] = Counter()
        self.kept: dict[tuple[str, date], Counter[str]] = {}
        self.oldest_kept: datetime | None = None

    def keep(self, table: str, month: date, reason: str, accounts: int) -> None:
        self.kept.setdefault((table, month), Counter())[reason] += accounts


async def report(database: "Database", actor: Actor, *, years: int, today: date) -> RetentionReport:
    """Which whole months need not be there any more ``years`` after the last activity on every debt in them.

    12 CFR 1006.100(a) wants three; ``Invalid`` for less. A month of the audit trail, whose records may be
    about any account, is needed while any account of any agency is kept that was there before it ended.
    """
    until = retention.over_since(today, years)
    before = datetime.combine(until + timedelta(days=1), time(), UTC)
    async with database.platform() as platform:
        tenants = [Tenant(agency.id, actor) for agency in await platform.agencies.every()]
        found = await platform.partitions.by_month()
    findings = _Findings()
    for tenant in tenants:
        await _add(database, tenant, before, findings)
    return RetentionReport(
        as_of=today, years=years, activity_until=until, months=_months(found, before, findings)
    )


async def _add(database: "Database", tenant: Tenant, before: datetime, findings: _Findings) -> None:
    async with database.transaction(tenant, snapshot=True) as tx:
        for each in await tx.retention.months(before):
            findings.rows[each.table, each.month] += each.rows
            if each.reason is not None:
                findings.keep(each.table, each.month, each.reason, each.accounts)
        for month, count in (await tx.retention.audited(before)).items():
            findings.rows[OF_EVERYTHING, month] += count
        oldest = await tx.retention.oldest_kept(before)
    if oldest is not None:
        findings.oldest_kept = min(oldest, findings.oldest_kept or oldest)


def _months(found: Sequence[Partition], before: datetime, findings: _Findings) -> tuple[MonthReport, ...]:
    return tuple(_month(partition, findings) for partition in found if _end(partition.month) <= before)


def _month(partition: Partition, findings: _Findings) -> MonthReport:
    place = (partition.table, partition.month)
    kept = dict(findings.kept.get(place, {}))
    # What is kept by month and is not known here is needed, whatever it is.
    needed = bool(kept)
    if partition.table not in BY_ACCOUNT:
        oldest = findings.oldest_kept
        needed = partition.table != OF_EVERYTHING or (oldest is not None and oldest < _end(partition.month))
    return MonthReport(
        table=partition.table,
        partition=partition.name,
        month=partition.month,
        rows=findings.rows[place],
        kept=kept,
        archivable=not needed,
    )


def _end(month: date) -> datetime:
    following = (month.replace(day=1) + timedelta(days=32)).replace(day=1)
    return datetime.combine(following, time(), UTC)
