"""Figures: counted ahead, read as they were counted, with the word since when they hold."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from activities.figures import refresh_figures
from domain.errors import Unavailable
from domain.figures import MOST_DAYS, USUAL_DAYS, Days, Period
from services.access import Principal, Right, require
from services.analytics_shapes import aging_report, dashboard, leaderboard, trend
from services.analytics_views import AgingReport, Dashboard, Leaderboard, PaymentTrend, Refreshed
from services.commands import CommandKey, answered, carry_out

if TYPE_CHECKING:
    from db.commands import Answer
    from db.figures import FigureReadings, Totals
    from db.session import Database, Transaction
    from domain.tenancy import Tenant

LEAST_AGE = timedelta(seconds=2)
"""Figures younger than this are not counted anew, whoever looks at them."""

LARGE_LEAST_AGE = timedelta(minutes=1)
"""The same of an agency that is counted by a worker while nobody waits."""

QUICK = timedelta(milliseconds=500)
"""What took longer to count is not counted while somebody waits."""

RESTS = 10
"""Figures are counted at most a tenth of the time: not before ten times as long has passed as it took."""

SOON_S = 5

Found = TypeVar("Found")
Read = Callable[["FigureReadings"], Awaitable["tuple[Totals, Found] | None"]]


class FiguresNotReady(Unavailable):
    """The figures of a large agency were never counted: it is being done."""

    type = "figures-not-ready"
    title = "Figures are being counted"


class AnalyticsService:
    """Figures of the principal's agency.

    Those of a small agency are counted while the caller waits, when they are older than some seconds; those
    of a large one by a worker, which ``ask`` has do it soon: until then the answer is what there is.
    """

    def __init__(self, database: "Database", ask: Callable[[UUID], None]) -> None:
        self._database = database
        self._ask = ask

    async def dashboard(self, who: Principal) -> Dashboard:
        """The agency at a glance. ``FiguresNotReady``."""
        require(who, Right.READ_ANALYTICS)
        totals, slices, refreshing = await self._read(who.tenant, lambda figures: figures.accounts())
        return dashboard(totals, slices, refreshing=refreshing)

    async def aging(self, who: Principal) -> AgingReport:
        """Open accounts by how long they are past due. ``FiguresNotReady``."""
        require(who, Right.READ_ANALYTICS)
        totals, slices, refreshing = await self._read(who.tenant, lambda figures: figures.accounts())
        return aging_report(totals, slices, refreshing=refreshing)

    async def collectors(
        self, who: Principal, since: date | None = None, until: date | None = None
    ) -> Leaderboard:
        """Collectors by what they collected from ``since`` to ``until``, both counted, thirty days to today
        unless said; a collector sees only themselves. ``Invalid`` for more than ``MOST_DAYS``,
        ``FiguresNotReady``.
        """
        require(who, Right.READ_OWN_ANALYTICS)
        today = await self._today(who.tenant)
        days = Days.asked(since, until, today=today, usual=USUAL_DAYS[Period.DAY]).at_most(MOST_DAYS)
        only = None if who.may(Right.READ_ANALYTICS) else who.sees_only
        totals, found, refreshing = await self._read(
            who.tenant, lambda figures: figures.by_collector(days, only)
        )
        return leaderboard(totals, days, found, refreshing=refreshing)

    async def payments(
        self,
        who: Principal,
        period: Period = Period.DAY,
        since: date | None = None,
        until: date | None = None,
    ) -> PaymentTrend:
        """Money by ``period`` from ``since`` to ``until``, both counted: thirty days, twelve weeks or twelve
        months to today unless said. ``Invalid`` for more than ``MOST_PERIODS``, ``FiguresNotReady``.
        """
        require(who, Right.READ_ANALYTICS)
        today = await self._today(who.tenant)
        days = Days.asked(since, until, today=today, usual=USUAL_DAYS[period])
        if since is None:
            days = Days(period.first_day(days.first), days.last)
        cut = list(days.cut(period))
        totals, found, refreshing = await self._read(who.tenant, lambda figures: figures.by_day(days))
        return trend(totals, period, days, cut, found, refreshing=refreshing)

    async def refresh(self, who: Principal, command: CommandKey) -> "Answer":
        """Have the figures counted anew (202): of a small agency that is done by then."""
        require(who, Right.REFRESH_ANALYTICS)
        known = await answered(self._database, who.tenant, command)
        if known is not None:
            return known
        totals = await self._database.readings(who.tenant).figures.totals()
        refreshing = await self._renew(who.tenant, totals)
        if not refreshing:
            totals = await self._database.readings(who.tenant).figures.totals()
        view = Refreshed(as_of=totals and totals.as_of, refreshing=refreshing)

        async def effect(_: "Transaction") -> Refreshed:
            return view

        return await carry_out(self._database, who.tenant, command, effect, status=202)

    async def _today(self, tenant: "Tenant") -> date:
        async with self._database.transaction(tenant) as tx:
            agency = await tx.agencies.get(tenant.agency_id)
            return tx.began_at.astimezone(ZoneInfo(agency.time_zone)).date()

    async def _read(self, tenant: "Tenant", read: "Read[Found]") -> "tuple[Totals, Found, bool]":
        """What ``read`` finds, renewed before where that is quick; whether newer figures are under way."""
        figures = self._database.readings(tenant).figures
        found = await read(figures)
        refreshing = False
        if found is None or found[0].age > max(LEAST_AGE, RESTS * found[0].took):
            refreshing = await self._renew(tenant, found and found[0])
            if not refreshing:
                found = await read(figures)
        if found is None:
            raise FiguresNotReady("the figures are counted for the first time", retry_after_s=SOON_S)
        return *found, refreshing

    async def _renew(self, tenant: "Tenant", totals: "Totals | None") -> bool:
        """Count on the spot, or ask for it; whether it is still under way."""
        if (totals is not None and totals.took > QUICK) or not await self._is_small(tenant):
            if totals is None or totals.age > max(LARGE_LEAST_AGE, RESTS * totals.took):
                self._ask(tenant.agency_id)
                return True
            return False
        try:
            if await refresh_figures(self._database, tenant) is not None:
                return False
        except Unavailable:
            # Somebody else has finished just then; or the database is away, as the next reading tells.
            return False
        if totals is not None:
            return True
        async with self._database.transaction(tenant) as tx:
            await tx.figures.wait()
        return False

    async def _is_small(self, tenant: "Tenant") -> bool:
        async with self._database.transaction(tenant) as tx:
            return await tx.figures.is_small()
