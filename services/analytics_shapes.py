"""Figures as they were read, in the shapes that callers get."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from domain.accounts import OPEN_STATUSES, AccountStatus
from domain.figures import AgingBucket, Days, Period, share
from domain.scoring import RiskLevel
from services.analytics_views import (
    AccountFigures,
    AgingFigures,
    AgingReport,
    BreakFigures,
    CollectorFigures,
    ContactFigures,
    Dashboard,
    DecidedPromises,
    Leaderboard,
    MoneyFigures,
    PaymentTrend,
    PromiseFigures,
    RiskFigures,
    StatusFigures,
    TrendPoint,
)

if TYPE_CHECKING:
    from datetime import date

    from db.figures import Happened, Person, Slice, Totals

FUNNEL = (
    AccountStatus.NEW,
    AccountStatus.ASSIGNED,
    AccountStatus.IN_CONTACT,
    AccountStatus.NEGOTIATING,
    AccountStatus.PAYMENT_PLAN,
    AccountStatus.DISPUTED,
    AccountStatus.SETTLED,
    AccountStatus.CLOSED,
)
"""Statuses from the first to the last; a dispute stands beside the way."""

_SUMMED = ("payments", "received", "refunded", "charged_back", "collected")


def dashboard(totals: "Totals", slices: "Sequence[Slice]", *, refreshing: bool) -> Dashboard:
    """The agency at a glance."""
    statuses = [
        StatusFigures(status=status, **_counts(found))
        for status, found in _parts(slices, "status", [status.value for status in FUNNEL])
    ]
    every = _added(statuses)
    return Dashboard(
        **_freshness(totals, refreshing=refreshing),
        accounts=every,
        open=_added(one for one in statuses if one.status in OPEN_STATUSES),
        money=_money([totals]),
        owed_back=totals.owed_back,
        recovery_rate=share(totals.collected, every.placed),
        promises=PromiseFigures(
            open=totals.promises_open,
            cancelled=totals.promises_cancelled,
            **_promises(totals.promises_kept, totals.promises_broken),
        ),
        contacts=_contacts(totals),
        breaks=BreakFigures(open=totals.breaks, value=totals.breaks_value, elsewhere=totals.breaks_elsewhere),
        statuses=tuple(statuses),
        risk=tuple(
            RiskFigures(risk_level=level or None, **_counts(found))
            for level, found in _parts(slices, "risk", [*(level.value for level in RiskLevel), ""])
        ),
        aging=_aging(slices),
    )


def aging_report(totals: "Totals", slices: "Sequence[Slice]", *, refreshing: bool) -> AgingReport:
    """Open accounts by how long they are past due."""
    buckets = _aging(slices)
    return AgingReport(
        **_freshness(totals, refreshing=refreshing),
        today=totals.today,
        total=_added(buckets),
        buckets=buckets,
    )


def leaderboard(
    totals: "Totals",
    days: Days,
    found: "Sequence[tuple[Person | None, Slice, Happened]]",
    *,
    refreshing: bool,
) -> Leaderboard:
    """Collectors in the order given; nobody last."""
    ranked = sorted(found, key=lambda one: one[0] is None)
    return Leaderboard(
        **_freshness(totals, refreshing=refreshing),
        from_=days.first,
        to=days.last,
        results=tuple(
            CollectorFigures(
                collector_id=person and person.id,
                full_name=person and person.full_name,
                active=person is not None and person.active,
                held=AccountFigures(**_counts(held)),
                money=_money([happened]),
                contacts=_contacts(happened),
                promises=DecidedPromises(**_promises(happened.promises_kept, happened.promises_broken)),
            )
            for person, held, happened in ranked
        ),
    )


def trend(
    totals: "Totals",
    period: Period,
    days: Days,
    cut: Sequence[Days],
    found: "Sequence[Happened]",
    *,
    refreshing: bool,
) -> PaymentTrend:
    """Money by period; ``cut`` are the periods."""
    of: defaultdict[date, list[Happened]] = defaultdict(list)
    for happened in found:
        of[max(period.first_day(happened.key), days.first)].append(happened)
    points = tuple(
        TrendPoint(start=part.first, end=part.last, **_money(of[part.first]).model_dump()) for part in cut
    )
    return PaymentTrend(
        **_freshness(totals, refreshing=refreshing),
        period=period,
        from_=days.first,
        to=days.last,
        total=_money(found),
        points=points,
    )


def _freshness(totals: "Totals", *, refreshing: bool) -> dict[str, Any]:
    return {"as_of": totals.as_of, "refreshing": refreshing, "currency": totals.currency}


def _parts(slices: "Iterable[Slice]", respect: str, every: Iterable[str]) -> "list[tuple[str, Slice | None]]":
    """Each part of a respect in order; None of which there is no account."""
    found: Mapping[str, Slice] = {one.part: one for one in slices if one.respect == respect}
    return [(part, found.get(part)) for part in every]


def _counts(found: "Slice | None") -> dict[str, Any]:
    if found is None:
        return {}
    return {"accounts": found.accounts, "placed": found.placed, "balance": found.balance}


def _added(figures: Iterable[AccountFigures]) -> AccountFigures:
    every = list(figures)
    return AccountFigures(
        accounts=sum(one.accounts for one in every),
        placed=sum((one.placed for one in every), AccountFigures().placed),
        balance=sum((one.balance for one in every), AccountFigures().balance),
    )


def _aging(slices: "Sequence[Slice]") -> tuple[AgingFigures, ...]:
    return tuple(
        AgingFigures(bucket=bucket, **_counts(found))
        for bucket, found in _parts(slices, "aging", [bucket.value for bucket in AgingBucket])
    )


def _money(found: "Iterable[Happened | Totals]") -> MoneyFigures:
    sums = {name: getattr(MoneyFigures(), name) for name in _SUMMED}
    for one in found:
        for name in _SUMMED:
            sums[name] += getattr(one, name)
    return MoneyFigures(net=sums["received"] - sums["refunded"] - sums["charged_back"], **sums)


def _contacts(found: "Happened | Totals") -> ContactFigures:
    return ContactFigures(
        attempts=found.attempts,
        right_party=found.right_party,
        right_party_rate=share(found.right_party, found.attempts),
    )


def _promises(kept: int, broken: int) -> dict[str, Any]:
    return {"kept": kept, "broken": broken, "kept_rate": share(kept, kept + broken)}
