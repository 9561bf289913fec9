"""Placing one account by hand: the same rules as a row of a portfolio file, in one transaction."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from db.accounts import NewAccount
from db.debtors import SEARCHED_FIELDS, natural_key
from db.rescoring import rescore
from domain.accounts import AccountStatus
from domain.errors import Conflict, Invalid, NotFound
from domain.money import PositiveMoney
from domain.scoring.facts import FACT_NAMES
from services.debtor_forms import DEBTOR_FIELDS, NewDebtor, judge
from services.fields import Day, Form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from db.debtors import PlacedDebtor
    from db.models import Creditor
    from db.session import Transaction
    from domain.placements import PlacementRow
    from domain.scoring import Scorer

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
"""An ISO 4217 code."""


class PlacementForm(Form):
    """An account to be placed. Without a creditor it is the agency's default creditor's; a
    ``creditor_name`` that is not known creates the creditor."""

    external_ref: str
    debtor: NewDebtor
    original_amount: PositiveMoney
    currency: Currency | None = Field(None, description="the agency's own; no other is taken")
    creditor_id: UUID | None = None
    creditor_name: str | None = None
    account_type: str | None = None
    due_date: Day | None = None
    charge_off_date: Day | None = None
    last_payment_date: Day | None = None
    itemization_date: Day | None = None

    @model_validator(mode="after")
    def _one_creditor(self) -> "PlacementForm":
        if self.creditor_id is not None and self.creditor_name is not None:
            raise ValueError("give creditor_id or creditor_name, not both")
        return self


_ACCOUNT_FIELDS = ("external_ref", "original_amount", "creditor_name", "account_type")
_DATE_FIELDS = ("due_date", "charge_off_date", "last_payment_date", "itemization_date")


def judged(form: PlacementForm) -> "PlacementRow":
    """The form as a portfolio row would be taken. ``Invalid`` names the field and the remedy."""
    debtor = {row: getattr(form.debtor, name) for row, name in DEBTOR_FIELDS.items()}
    account = {name: getattr(form, name) for name in (*_ACCOUNT_FIELDS, *_DATE_FIELDS)}
    return judge({**debtor, **account}, {row: f"debtor.{name}" for row, name in DEBTOR_FIELDS.items()})


async def place_account(tx: "Transaction", form: PlacementForm, scorecards: "Mapping[str, Scorer]") -> UUID:
    """Write debtor, account, placement, event, search, audit and score; the new account's id.

    ``Conflict`` when the creditor has placed this reference before, ``Invalid`` when a value is bad.
    """
    row = judged(form)
    agency = await tx.agencies.get(tx.tenant.agency_id)
    if form.currency not in {None, agency.currency}:
        raise Invalid(f"currency: the agency works in {agency.currency} only", field="currency")
    creditor = await _creditor(tx, form, row)
    known = await tx.accounts.id_of(creditor.id, row.external_ref)
    if known is not None:
        raise _duplicate(row.external_ref, known)
    debtor = await _debtor(tx, creditor, row)
    account_id = await tx.accounts.add(
        NewAccount(
            creditor_id=creditor.id,
            debtor_id=debtor.id,
            external_ref=row.external_ref,
            original_amount=row.original_amount,
            currency=agency.currency,
            account_type=row.account_type,
            due_date=row.due_date,
            charge_off_date=row.charge_off_date,
            last_payment_date=row.last_payment_date,
            itemization_date=row.itemization_date,
        )
    )
    if account_id is None:
        raise _duplicate(row.external_ref, None)
    await _record(tx, account_id, agency.currency, row, creditor)
    changed = debtor.old is not None and any(name in debtor.new for name in FACT_NAMES)
    await rescore(tx, scorecards, await tx.accounts.of_debtor(debtor.id) if changed else [account_id])
    return account_id


def _duplicate(external_ref: str, account_id: UUID | None) -> Conflict:
    details = {} if account_id is None else {"account_id": str(account_id)}
    return Conflict(
        f"the creditor has already placed an account with the reference {external_ref}",
        field="external_ref",
        **details,
    )


async def _creditor(tx: "Transaction", form: PlacementForm, row: "PlacementRow") -> "Creditor":
    if form.creditor_id is not None:
        try:
            return await tx.creditors.get(form.creditor_id)
        except NotFound:
            raise Invalid("creditor_id: there is no such creditor", field="creditor_id") from None
    if row.creditor_name is None:
        return await tx.creditors.default()
    found = await tx.creditors.by_name(row.creditor_name)
    if found is None:
        return await _new_creditor(tx, row.creditor_name)
    return found


async def _new_creditor(tx: "Transaction", name: str) -> "Creditor":
    """Make the creditor, or find the one that somebody else has just made."""
    try:
        async with tx.session.begin_nested():
            made = await tx.creditors.add({"name": name})
    except Conflict:
        known = await tx.creditors.by_name(name)
        if known is None:
            raise
        return known
    await tx.audit.record("creditor.created", "creditor", made.id, new={"name": made.name})
    return made


async def _debtor(tx: "Transaction", creditor: "Creditor", row: "PlacementRow") -> "PlacedDebtor":
    values = {column: getattr(row, field) for field, column in DEBTOR_FIELDS.items() if column != "ssn_last4"}
    debtor = await tx.debtors.place(
        natural_key(row.debtor_ref, creditor.number, row.external_ref),
        values,
        ssn_last4=row.debtor_ssn_last4,
    )
    if debtor.old is None:
        await tx.audit.record("debtor.created", "debtor", debtor.id, new=debtor.new)
    elif debtor.new:
        await tx.audit.record("debtor.changed", "debtor", debtor.id, old=debtor.old, new=debtor.new)
    if debtor.old is not None and SEARCHED_FIELDS & debtor.new.keys():
        await tx.accounts.index_debtor(debtor.id)
    return debtor


async def _record(
    tx: "Transaction", account_id: UUID, currency: str, row: "PlacementRow", creditor: "Creditor"
) -> None:
    await tx.ledger.place(
        account_id,
        row.original_amount,
        currency,
        key=f"account/{account_id}",
        occurred_at=datetime.now(UTC),
    )
    await tx.timeline.add(
        account_id,
        "placed",
        f"Placed by hand for {creditor.name}",
        new=AccountStatus.NEW,
        details={"amount": format(row.original_amount, "f"), "currency": currency},
    )
    await tx.audit.record(
        "account.created",
        "account",
        account_id,
        new={
            "external_ref": row.external_ref,
            "creditor_id": creditor.id,
            "original_amount": row.original_amount,
            "currency": currency,
            **{name: value for name in _DATE_FIELDS if (value := getattr(row, name)) is not None},
        },
    )
