"""Partners: checked when they are set up, their rules kept by version, secrets going in and never out."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    ValidationError,
)

from db.commands import Answer
from db.partner_rule_files import MAX_LENGTH, read_rules
from domain.errors import Invalid, NotFound
from domain.money import MAX_AMOUNT, Money
from domain.partners import (
    MAX_URL_LENGTH,
    Delivery,
    PartnerKind,
    check_delivery,
    check_delivery_url,
    check_reconcile_at,
    check_signing_secret,
    check_takes_accounts,
    partner_folder,
)
from domain.scoring import RiskLevel
from domain.statement_profiles import profile_of
from services.access import Principal, Right, require
from services.audit import record
from services.commands import CommandKey, carry_out
from services.fields import ChangeForm, Form, Slug, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from db.keyset import Position
    from db.models import Partner
    from db.session import Database, Transaction

MOST_HOURS = 24 * 365
MOST_DAYS = 3650
MOST_CREDITORS = 1000
MOST_SHARE = 100
_SECRET = "signing_secret"  # noqa: S105 - the name of a field
_CHOOSING = ("creditor_ids", "risk_levels", "min_balance")
_CHECKED = ("kind", "source_id", "delivery", "delivery_url", "statement_profile", *_CHOOSING)
_SCHEDULED_BY = frozenset({"reconcile_at", "active"})

EnsureSchedules = Callable[[UUID], Awaitable[None]]
"""Brings the schedules of an agency in line with what it has."""


def _secret(value: SecretStr) -> SecretStr:
    check_signing_secret(value.get_secret_value())
    return value


def _written_time(value: object) -> object:
    if isinstance(value, time | str):
        return value
    raise ValueError("must be a time of day such as 06:30")


def _time(value: time) -> time:
    check_reconcile_at(value)
    return value


Profile = Annotated[
    dict[str, Any],
    Field(
        description="the layout of its statements, as docs/partner-statements.md has it; {} is the plain one"
    ),
]
Limit = Annotated[Money, Field(ge=0, le=MAX_AMOUNT)]
Percent = Annotated[Money, Field(ge=0, le=100)]
Url = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_URL_LENGTH)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
Hours = Annotated[int, Field(strict=True, ge=1, le=MOST_HOURS)]
Days = Annotated[int, Field(strict=True, ge=1, le=MOST_DAYS)]
Creditors = Annotated[
    list[UUID],
    AfterValidator(lambda ids: list(dict.fromkeys(ids))),
    Field(max_length=MOST_CREDITORS, description="whose accounts it takes; none: those of all"),
]
RiskLevels = Annotated[
    list[RiskLevel],
    AfterValidator(lambda levels: [level for level in RiskLevel if level in levels]),
    Field(max_length=len(RiskLevel), description="which accounts it takes by risk; none: all"),
]
Share = Annotated[
    int,
    Field(
        strict=True,
        ge=0,
        le=MOST_SHARE,
        description="its part of the accounts that others take, too, against theirs; 0: no new ones",
    ),
]
TimeOfDay = Annotated[
    time,
    BeforeValidator(_written_time),
    AfterValidator(_time),
    PlainSerializer(lambda at: f"{at:%H:%M}", return_type=str, when_used="json"),
]
"""A time of day as HH:MM, in the agency's time zone."""


class NewPartner(Form):
    """A partner to be made.

    ``kind``: an ``agency`` that works accounts for us and states balance and status, or a ``bank`` that
    states payments. ``source_id``: the SFTP server with its folder ``/partners/<name>``. ``delivery``: how
    high-priority accounts are sent to it. ``signing_secret`` (``whsec_…``) signs them over HTTPS.
    A difference is tolerated up to the smaller of ``tolerance_absolute`` and ``tolerance_percent`` of our
    amount. ``reconcile_at``: the time of the daily reconciliation, null for none. It takes the accounts of
    its ``creditor_ids`` and ``risk_levels`` with a balance from ``min_balance`` on.
    """

    name: Slug
    kind: PartnerKind = "agency"
    source_id: UUID | None = None
    delivery: Delivery = "none"
    delivery_url: Url | None = None
    signing_secret: Secret | None = None
    statement_profile: Profile = Field(default={})
    tolerance_absolute: Limit = Decimal("1.00")
    tolerance_percent: Percent = Decimal("1.00")
    approval_limit: Limit = Decimal("100.00")
    material_amount: Limit = Decimal("1000.00")
    answer_within_hours: Hours = 72
    stale_after_days: Days = 45
    reconcile_at: TimeOfDay | None = None
    creditor_ids: Creditors = Field(default=[])
    risk_levels: RiskLevels = Field(default=[])
    min_balance: Limit | None = None
    share: Share = 1
    active: bool = True


class PartnerChange(ChangeForm):
    """What may change of a partner; its name is that of its folder and stays, as does its kind."""

    nullable: ClassVar[frozenset[str]] = frozenset(
        {"source_id", "delivery_url", _SECRET, "reconcile_at", "min_balance"}
    )

    source_id: UUID | None = None
    delivery: Delivery | None = None
    delivery_url: Url | None = None
    signing_secret: Secret | None = None
    statement_profile: Profile | None = None
    tolerance_absolute: Limit | None = None
    tolerance_percent: Percent | None = None
    approval_limit: Limit | None = None
    material_amount: Limit | None = None
    answer_within_hours: Hours | None = None
    stale_after_days: Days | None = None
    reconcile_at: TimeOfDay | None = None
    creditor_ids: Creditors | None = None
    risk_levels: RiskLevels | None = None
    min_balance: Limit | None = None
    share: Share | None = None
    active: bool | None = None


class PartnerView(View):
    """A partner as it is shown: of its secret, only that it is there. ``folder`` is on its SFTP server."""

    id: UUID
    agency_id: UUID
    name: str
    kind: str
    source_id: UUID | None
    folder: str
    delivery: str
    delivery_url: str | None
    has_signing_secret: bool
    statement_profile: dict[str, Any]
    tolerance_absolute: Money
    tolerance_percent: Money
    approval_limit: Money
    material_amount: Money
    answer_within_hours: int
    stale_after_days: int
    reconcile_at: TimeOfDay | None
    creditor_ids: list[UUID]
    risk_levels: list[str]
    min_balance: Money | None
    share: int
    active: bool
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, partner: "Partner") -> "PartnerView":
        """The view of a row."""
        computed = {"folder", "has_signing_secret"}
        shown = {name: getattr(partner, name) for name in cls.model_fields if name not in computed}
        return cls(
            **shown,
            folder=partner_folder(partner.name),
            has_signing_secret=partner.signing_secret_encrypted is not None,
        )


class RulesForm(Form):
    """A partner's rules for matching and resolving, as YAML."""

    rules: Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH)]


class RulesView(View):
    """One version of a partner's rules; ``sha256`` (hex) is of the text."""

    partner_id: UUID
    version: int
    rules: str = Field(validation_alias="body")
    sha256: str
    created_by: str
    created_at: datetime


class PartnerService:
    """The partners of an agency. ``plain_http`` lets deliveries go to this machine without encryption."""

    def __init__(self, database: "Database", ensure_schedules: EnsureSchedules, *, plain_http: bool) -> None:
        self._database = database
        self._ensure_schedules = ensure_schedules
        self._plain_http = plain_http

    async def create(self, principal: Principal, command: CommandKey, form: NewPartner) -> Answer:
        """Make a partner (201), then its schedule; sent again with the same key, the schedule is seen to.

        ``Invalid`` names the field that could never work, ``Conflict`` (field ``name``) a taken name.
        """
        require(principal, Right.MANAGE_SETTINGS)
        values = form.model_dump(exclude={_SECRET})
        secret = _plain(form.signing_secret)
        self._check(values, has_secret=secret is not None)

        async def effect(tx: "Transaction") -> PartnerView:
            await _check_named(tx, form)
            partner = await tx.partners.add(values, signing_secret=secret)
            shown = {**values, **({_SECRET: "(set)"} if secret else {})}
            await record(tx, "partner.created", "partner", partner.id, new=shown)
            return PartnerView.of(partner)

        answer = await carry_out(self._database, principal.tenant, command, effect, status=201)
        if form.reconcile_at is not None:
            await self._ensure_schedules(principal.tenant.agency_id)
        return answer

    async def change(
        self, principal: Principal, command: CommandKey, partner_id: UUID, form: PartnerChange
    ) -> Answer:
        """Change a partner; the whole must still be able to work, else ``Invalid``."""
        require(principal, Right.MANAGE_SETTINGS)
        values = form.given(_SECRET)
        secrets = {_SECRET: _plain(form.signing_secret)} if _SECRET in form.model_fields_set else {}

        async def effect(tx: "Transaction") -> PartnerView:
            present = await tx.partners.get(partner_id, lock=True)
            whole = {name: getattr(present, name) for name in _CHECKED}
            kept = present.signing_secret_encrypted is not None
            self._check({**whole, **values}, has_secret=bool(secrets[_SECRET]) if secrets else kept)
            await _check_named(tx, form)
            partner, change = await tx.partners.change(partner_id, values, secrets)
            if change:
                await record(tx, "partner.changed", "partner", partner_id, old=change.old, new=change.new)
            return PartnerView.of(partner)

        answer = await carry_out(self._database, principal.tenant, command, effect)
        if _SCHEDULED_BY & form.model_fields_set:
            await self._ensure_schedules(principal.tenant.agency_id)
        return answer

    async def get(self, principal: Principal, partner_id: UUID) -> PartnerView:
        """One partner of the principal's agency. ``NotFound``."""
        require(principal, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(principal.tenant) as tx:
            return PartnerView.of(await tx.partners.get(partner_id))

    async def page(
        self, principal: Principal, position: "Position | None", limit: int
    ) -> "Sequence[Partner]":
        """Partners of the principal's agency, newest first."""
        require(principal, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(principal.tenant) as tx:
            return await tx.partners.page(position, limit)

    async def put_rules(
        self, principal: Principal, command: CommandKey, partner_id: UUID, form: RulesForm
    ) -> Answer:
        """Make a text the partner's rules from its next run on; the same text again is no new version.

        ``Invalid`` names the line that is wrong, or that contradicts another.
        """
        require(principal, Right.MANAGE_SETTINGS)

        async def effect(tx: "Transaction") -> RulesView:
            await tx.partners.get(partner_id)
            await asyncio.to_thread(read_rules, form.rules)
            rules, new = await tx.partners.add_rules(partner_id, form.rules)
            if new:
                values = {"version": rules.version, "sha256": rules.sha256}
                await record(tx, "partner_rules.changed", "partner", partner_id, new=values)
            return RulesView.model_validate(rules)

        return await carry_out(self._database, principal.tenant, command, effect)

    async def rules(self, principal: Principal, partner_id: UUID, version: int | None) -> RulesView:
        """A version of the partner's rules, the newest unless one is named. ``NotFound``."""
        require(principal, Right.READ_RECONCILIATIONS)
        async with self._database.transaction(principal.tenant) as tx:
            await tx.partners.get(partner_id)
            if version is not None:
                return RulesView.model_validate(await tx.partners.rules(partner_id, version))
            latest = await tx.partners.latest_rules(partner_id)
        if latest is None:
            raise NotFound("no rules were ever set for this partner; it goes by the built-in ones")
        return RulesView.model_validate(latest)

    def _check(self, values: Mapping[str, Any], *, has_secret: bool) -> None:
        check_delivery(
            kind=values["kind"],
            delivery=values["delivery"],
            source_id=values["source_id"],
            delivery_url=values["delivery_url"],
            has_secret=has_secret,
        )
        check_takes_accounts(values["kind"], **{field: values[field] for field in _CHOOSING})
        _check_profile(values["kind"], values["statement_profile"])
        if values["delivery_url"] is not None:
            check_delivery_url(values["delivery_url"], plain_http=self._plain_http)


def _check_profile(kind: str, profile: Mapping[str, Any]) -> None:
    try:
        profile_of(kind, dict(profile))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, ("statement_profile", *fault["loc"])))
        raise Invalid(f"{field}: {fault['msg'].removeprefix('Value error, ')}", field=field) from None


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


async def _check_named(tx: "Transaction", form: NewPartner | PartnerChange) -> None:
    """``Invalid`` for a server or a creditor that the agency does not have."""
    if form.source_id is not None:
        try:
            await tx.sources.get(form.source_id)
        except NotFound:
            raise Invalid("there is no such SFTP source", field="source_id") from None
    unknown = await tx.creditors.unknown(form.creditor_ids or ())
    if unknown:
        raise Invalid(f"there is no creditor {unknown[0]}", field="creditor_ids")
