"""Agencies: made with their default creditor and their schedules."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from db.commands import Answer
from domain.errors import Forbidden, Invalid, NotFound
from domain.money import Money
from domain.tenancy import Role, Tenant
from services.access import Principal, Right, require
from services.audit import record
from services.commands import CommandKey, carry_out
from services.fields import ChangeForm, Form, Line, Slug, TimeZone, View

if TYPE_CHECKING:
    from db.keyset import Position
    from db.models import Agency
    from db.session import Database, Transaction

EnsureSchedules = Callable[[UUID], Awaitable[None]]
"""Makes an agency's Temporal schedules fit its row: there while it is active. Safe to repeat."""

ScoreAll = Callable[[UUID, str], Awaitable[None]]
"""Has all accounts of an agency scored, on behalf of a user, when it is their turn."""

_SCORED_BY = frozenset({"scorecard", "high_priority_threshold"})
_MOVES_DEADLINES = frozenset({"time_zone", "rule_set"})

OWN_TERMS = frozenset({"overpayments", "least_settlement_percent"})
"""What an agency decides of itself; everything else of it is the platform's."""

MAX_LIFECYCLE_CAPACITY = 1_000_000
_IDS = uuid.UUID("6d8f6b62-5f0b-5b7e-9f0e-6a2a4f8f7c31")

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Capacity = Annotated[int, Field(ge=0, le=MAX_LIFECYCLE_CAPACITY)]
Threshold = Annotated[Money, Field(ge=0)]
Overpayments = Literal["refuse", "credit"]
Percent = Annotated[int, Field(strict=True, ge=0, le=100)]


class NewAgency(Form):
    """An agency to be made.

    ``high_priority_threshold`` null: the scorecard's own; ``lifecycle_capacity`` null: the installation's
    setting. ``overpayments``: whether a payment of more than the balance is refused, or taken as the debtor's
    credit. ``least_settlement_percent``: of the balance, the least that a collector may offer to settle for.
    """

    slug: Slug
    name: Line
    time_zone: TimeZone = "America/New_York"
    currency: Currency = "USD"
    scorecard: str = "recovery-v1"
    rule_set: str = "federal"
    high_priority_threshold: Threshold | None = None
    lifecycle_capacity: Capacity | None = None
    overpayments: Overpayments = "refuse"
    least_settlement_percent: Percent = 60
    default_creditor: Line = "Default"


class AgencyChange(ChangeForm):
    """What may change of an agency."""

    nullable: ClassVar[frozenset[str]] = frozenset({"high_priority_threshold", "lifecycle_capacity"})

    name: Line | None = None
    time_zone: TimeZone | None = None
    scorecard: str | None = None
    rule_set: str | None = None
    high_priority_threshold: Threshold | None = None
    lifecycle_capacity: Capacity | None = None
    overpayments: Overpayments | None = None
    least_settlement_percent: Percent | None = None
    active: bool | None = None


class AgencyView(View):
    """An agency as it is shown.

    ``high_priority_threshold`` is a priority score in the agency's currency; null is its scorecard's own.
    """

    id: UUID
    slug: str
    name: str
    time_zone: str
    currency: str
    scorecard: str
    rule_set: str
    high_priority_threshold: Money | None
    lifecycle_capacity: int | None
    overpayments: Overpayments
    least_settlement_percent: int
    active: bool
    created_at: datetime
    updated_at: datetime


class AgencyService:
    """What a platform administrator does to agencies, and what an agency sees of itself."""

    def __init__(
        self,
        database: "Database",
        ensure_schedules: EnsureSchedules,
        score_all: ScoreAll,
        scorecards: Sequence[str],
        rule_sets: Sequence[str],
    ) -> None:
        self._database = database
        self._ensure_schedules = ensure_schedules
        self._score_all = score_all
        self._known = {"scorecard": tuple(scorecards), "rule_set": tuple(rule_sets)}

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """The names that the fields ``scorecard`` and ``rule_set`` can have."""
        return self._known

    async def create(self, principal: Principal, command: CommandKey, form: NewAgency) -> Answer:
        """Make an agency with its default creditor, then its schedules.

        Sent again with the same key after ``Unavailable``, it makes the schedules that are missing.
        ``Conflict`` (field ``slug``); ``Invalid`` (field ``scorecard`` or ``rule_set``).
        """
        require(principal, Right.MANAGE_AGENCIES)
        self._check_names(form)
        # The key decides the id, so that a repetition opens the transaction of the same new agency.
        agency_id = uuid.uuid5(_IDS, command.key) if command.key else uuid.uuid4()

        async def effect(tx: "Transaction") -> AgencyView:
            values = {"id": agency_id, **form.model_dump(exclude={"default_creditor"})}
            agency = await tx.agencies.add(values)
            creditor = await tx.creditors.add({"name": form.default_creditor, "is_default": True})
            await record(tx, "agency.created", "agency", agency_id, new=values)
            await record(tx, "creditor.created", "creditor", creditor.id, new={"name": creditor.name})
            return AgencyView.model_validate(agency)

        tenant = Tenant(agency_id, principal.actor)
        answer = await carry_out(self._database, tenant, command, effect, status=201)
        await self._ensure_schedules(agency_id)
        return answer

    async def change(
        self, principal: Principal, command: CommandKey, agency_id: UUID, form: AgencyChange
    ) -> Answer:
        """Change an agency. A deactivated one lets nobody in and is worked no more.

        What its accounts are scored by is changed for all of them: they are scored anew at once. What moves
        deadlines is told to the lifecycles of all worked accounts. Sent again with the same key after
        ``Unavailable``, it sees to the schedules and the scores again. An agency's administrators change
        its ``OWN_TERMS`` alone: ``Forbidden`` with the other ``fields``, ``NotFound`` for another agency.
        """
        require(principal, Right.MANAGE_SETTINGS)
        _check_theirs(principal, agency_id, form)
        self._check_names(form)

        async def effect(tx: "Transaction") -> AgencyView:
            agency, change = await tx.agencies.change(agency_id, form.given())
            if change:
                await record(tx, "agency.changed", "agency", agency_id, old=change.old, new=change.new)
            if _MOVES_DEADLINES & change.new.keys():
                await tx.lifecycles.notify_all_worked()
            return AgencyView.model_validate(agency)

        answer = await carry_out(self._database, Tenant(agency_id, principal.actor), command, effect)
        await self._ensure_schedules(agency_id)
        if _SCORED_BY & form.given().keys():
            await self._score_all(agency_id, principal.username)
        return answer

    async def get(self, principal: Principal, agency_id: UUID) -> AgencyView:
        """One agency; ``NotFound`` when it is not the principal's to see."""
        require(principal, Right.READ_SETTINGS)
        if principal.role is not Role.PLATFORM_ADMIN and principal.agency_id != agency_id:
            raise NotFound("there is no such agency")
        async with self._database.platform() as tx:
            return AgencyView.model_validate(await tx.agencies.get(agency_id))

    async def page(self, principal: Principal, position: "Position | None", limit: int) -> "Sequence[Agency]":
        """The agencies that the principal may see, newest first; all of them for the platform."""
        require(principal, Right.READ_SETTINGS)
        async with self._database.platform() as tx:
            return await tx.agencies.page(position=position, limit=limit, only=principal.own_agency_id)

    def _check_names(self, form: NewAgency | AgencyChange) -> None:
        for field, known in self._known.items():
            name = getattr(form, field)
            if name is not None and name not in known:
                raise Invalid(
                    f"there is no such {field.replace('_', ' ')}; known are {', '.join(known)}", field=field
                )


def _check_theirs(principal: Principal, agency_id: UUID, form: AgencyChange) -> None:
    if principal.may(Right.MANAGE_AGENCIES):
        return
    if principal.agency_id != agency_id:
        raise NotFound("there is no such agency")
    if beyond := sorted(form.given().keys() - OWN_TERMS):
        raise Forbidden(f"only the platform changes {', '.join(beyond)} of an agency", fields=beyond)
