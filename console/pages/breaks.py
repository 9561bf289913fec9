"""The queue of breaks, and one break: both sides, and what may be done about it."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from api.pagination import Paging
from api.schemas.breaks import BreakQueryDep
from console.forms import FormCommand, checked, fields, filled
from console.lists import page_of
from console.notices import done
from console.web import PagesDep, router, sees
from domain.breaks import AgeBucket, Resolution
from domain.reconciliation import BreakKind
from services.access import Right
from services.break_views import DecisionForm, OwnerForm, ResolutionForm
from services.sessions import Visitor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from db.partner_reports import OpenBreaks

pages = router()
ReadsBreaks = Annotated[Visitor, sees(Right.READ_RECONCILIATIONS)]
ResolvesBreaks = Annotated[Visitor, sees(Right.RESOLVE_BREAKS)]
BESIDE_THE_FORM = ("partner_id", "age")
"""What other pages narrow the queue to, and its form keeps."""

WHAT_IT_DOES = {
    Resolution.ACCEPT_THEIRS: "Accept theirs: our balance is adjusted to match",
    Resolution.KEEP_OURS: "Keep ours: the partner is told, and we wait for its answer",
    Resolution.WRITE_OFF: "Write off: we give up the difference",
    Resolution.EXPLAIN: "Explain: both sides are right, no money is booked",
}


@dataclass(frozen=True, slots=True)
class Age:
    """What is open of one age; ``at_risk``: the money at risk by currency."""

    bucket: AgeBucket
    count: int
    at_risk: dict[str, Decimal]


@pages.get("/reconciliation")
async def queue(
    request: Request,
    visitor: ReadsBreaks,
    query: BreakQueryDep,
    paging: Paging,
    services: ServicesDep,
    templates: PagesDep,
) -> Response:
    """Breaks, newest first: in the states that the address names, or in any. The menu names those to be
    resolved."""
    wanted = query.wanted
    rows = await services.breaks.page(
        visitor.who, paging.position(UUID), paging.limit, wanted.filter, owner=wanted.owner
    )
    shown = page_of(paging, rows, key=lambda row: (row.id,), render=lambda row: row)
    partner_id = wanted.filter.partner_id
    return templates.page(
        request,
        "breaks.html",
        partner=await services.partners.get(visitor.who, partner_id) if partner_id else None,
        narrowed=[name for name in BESIDE_THE_FORM if name in request.query_params],
        list=shown,
        ages=_by_age(await services.breaks.open_by_age(visitor.who)),
        kinds=list(BreakKind),
        chosen_states=request.query_params.getlist("state"),
    )


def _by_age(found: "Iterable[OpenBreaks]") -> list[Age]:
    counts: defaultdict[str, int] = defaultdict(int)
    values: defaultdict[str, defaultdict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for one in found:
        counts[one.age] += one.count
        values[one.age][one.currency] += one.value
    return [Age(bucket, counts[bucket], dict(values[bucket])) for bucket in AgeBucket]


@pages.get("/breaks/{break_id}")
async def one_break(
    request: Request, break_id: UUID, visitor: ReadsBreaks, services: ServicesDep, templates: PagesDep
) -> Response:
    """One break, with all that is needed to decide on it."""
    found = await services.breaks.get(visitor.who, break_id)
    proposed = next((one for one in found.proposals if one.state == "open"), None)
    may_act = visitor.who.may(Right.RESOLVE_BREAKS) and found.state != "resolved"
    return templates.page(
        request,
        "break.html",
        found=found,
        proposed=proposed,
        own=proposed is not None and proposed.proposed_by == visitor.who.username,
        may_act=may_act,
        may_decide=may_act and proposed is not None,
        what_it_does=[(one, WHAT_IT_DOES[one]) for one in found.resolutions],
        keys={name: uuid4().hex for name in ("settle", "approve", "reject", "take", "give")},
    )


@pages.post("/breaks/{break_id}/propose")
async def propose(
    request: Request, break_id: UUID, visitor: ResolvesBreaks, command: FormCommand, services: ServicesDep
) -> Response:
    """Propose how to resolve the break; somebody else decides."""
    form = await filled(request, ResolutionForm)
    await services.breaks.propose(visitor.who, command, break_id, form)
    return done(f"/breaks/{break_id}", "Proposed. Somebody else has to approve it now.")


@pages.post("/breaks/{break_id}/resolve")
async def resolve(
    request: Request, break_id: UUID, visitor: ResolvesBreaks, command: FormCommand, services: ServicesDep
) -> Response:
    """Resolve the break in one step."""
    form = await filled(request, ResolutionForm)
    await services.breaks.resolve(visitor.who, command, break_id, form)
    return done(f"/breaks/{break_id}", "The break is resolved.")


@pages.post("/breaks/{break_id}/approve")
async def approve(
    request: Request, break_id: UUID, visitor: ResolvesBreaks, command: FormCommand, services: ServicesDep
) -> Response:
    """Have done what somebody else has proposed."""
    form = await filled(request, DecisionForm)
    await services.breaks.approve(visitor.who, command, break_id, form)
    return done(f"/breaks/{break_id}", "Approved, and done.")


@pages.post("/breaks/{break_id}/reject")
async def reject(
    request: Request, break_id: UUID, visitor: ResolvesBreaks, command: FormCommand, services: ServicesDep
) -> Response:
    """Turn down what is proposed, or take it back."""
    form = await filled(request, DecisionForm)
    await services.breaks.reject(visitor.who, command, break_id, form)
    return done(f"/breaks/{break_id}", "Turned down: the break is open again.")


@pages.post("/breaks/{break_id}/assign")
async def assign(
    request: Request, break_id: UUID, visitor: ResolvesBreaks, command: FormCommand, services: ServicesDep
) -> Response:
    """Give the break to somebody; to nobody when no name is given."""
    form = checked(OwnerForm, {"owner": None, **fields(await request.form())})
    await services.breaks.assign(visitor.who, command, break_id, form)
    text = f"{form.owner} has the break now." if form.owner else "Nobody has the break now."
    return done(f"/breaks/{break_id}", text)
