"""What callers may send with commands: every field judged, nothing quoted back."""

import unicodedata
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from activities import account_messages as messages
from activities.messages import AccountRef
from services import account_command_forms as forms
from services.contact_views import ContactForm
from services.schedules import PauseForm

DAY = "2026-12-01"
INVISIBLE = {"Zs", "Zl", "Zp", "Cc", "Cf"}
READABLE = st.text(
    st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t"), min_size=1, max_size=2000
)


@given(READABLE)
def test_what_can_be_read_is_taken_as_it_is_written(text: str) -> None:
    if any(unicodedata.category(character) not in INVISIBLE for character in text):
        assert forms.NoteForm(text=text).text == text.strip()
    else:
        with pytest.raises(ValidationError):
            forms.NoteForm(text=text)


@given(st.text(min_size=1, max_size=50), st.characters(categories=["Cc"], exclude_characters="\n\t"))
def test_a_control_character_is_refused_wherever_it_stands(text: str, control: str) -> None:
    with pytest.raises(ValidationError):
        forms.NoteForm(text=f"a{text}{control}{text}b")


@pytest.mark.parametrize(
    ("form", "field", "more"),
    [
        (forms.NoteForm, "text", {}),
        (forms.ReasonForm, "reason", {}),
        (forms.HoldForm, "reason", {"kind": "cease"}),
        (forms.TransitionForm, "note", {"new_status": "assigned"}),
        (forms.DisputeForm, "reason", {"received_on": DAY, "in_writing": True}),
        (ContactForm, "note", {"channel": "call", "direction": "inbound"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_number_of_a_card_is_in_no_text(form: type[BaseModel], field: str, more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="number of a card") as refused:
        form.model_validate({field: "said on the phone: 4242 4242-4242 4242, till 12/27", **more})
    assert "4242" not in str(refused.value)
    form.model_validate({field: "reference 4242 4242 4242 4243, called 2026-11-22 13:57", **more})


@pytest.mark.parametrize("unseen", ["\u200b", "\u2060\ufeff", "\u00ad \u200e", "\u200b\n\t"], ids=ascii)
@pytest.mark.parametrize(
    ("form", "field", "more"),
    [
        (forms.NoteForm, "text", {}),
        (forms.ReasonForm, "reason", {}),
        (forms.TransitionForm, "note", {"new_status": "assigned"}),
        (ContactForm, "note", {"channel": "call", "direction": "inbound"}),
        (PauseForm, "note", {}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_nobody_can_see_is_no_text(
    form: type[BaseModel], field: str, more: dict[str, str], unseen: str
) -> None:
    with pytest.raises(ValidationError, match="can be read"):
        form.model_validate({field: unseen, **more})
    assert getattr(form.model_validate({field: f"{unseen}ok", **more}), field).endswith("ok")


@pytest.mark.parametrize("control", ["\x07", "\x1b[31m", "\x85"], ids=ascii)
def test_a_note_of_a_schedule_has_no_control_characters(control: str) -> None:
    with pytest.raises(ValidationError, match="control characters"):
        PauseForm(note=f"over the weekend{control}!")
    assert PauseForm(note="over\nthe weekend").note == "over\nthe weekend"
    assert PauseForm().note == ""


def test_line_breaks_of_every_system_but_no_carriage_return_alone() -> None:
    assert forms.NoteForm(text="one\r\ntwo\n\tthree").text == "one\ntwo\n\tthree"
    with pytest.raises(ValidationError, match="character 4"):
        forms.NoteForm(text="one\rtwo")


@pytest.mark.parametrize("length", [2001, 100_000])
def test_texts_end_at_two_thousand_characters(length: int) -> None:
    assert forms.NoteForm(text="ü" * 2000)
    with pytest.raises(ValidationError) as refused:
        forms.NoteForm(text="x" * length)
    assert "xx" not in str(refused.value)


@pytest.mark.parametrize(
    ("form", "values", "field"),
    [
        (forms.PromiseForm, {"amount": "-1", "due_date": DAY}, "amount"),
        (forms.PromiseForm, {"amount": "1.001", "due_date": DAY}, "amount"),
        (forms.PromiseForm, {"amount": "1", "due_date": 1_900_000_000}, "due_date"),
        (forms.PromiseForm, {"amount": "1", "due_date": "2026-02-30"}, "due_date"),
        (forms.PromiseForm, {"amount": "1", "due_date": "9999-12-31"}, "due_date"),
        (forms.OfferForm, {"amount": "1", "expires_on": "9999-12-31"}, "expires_on"),
        (forms.HoldForm, {"kind": "cease", "reason": "r", "until": "9999-12-31"}, "until"),
        (
            forms.DisputeForm,
            {"reason": "r", "received_on": "0001-01-01", "in_writing": True},
            "received_on",
        ),
        (forms.OfferForm, {"expires_on": DAY}, "amount"),
        (forms.OfferForm, {"amount": "1", "percent": "1", "expires_on": DAY}, "amount"),
        (forms.OfferForm, {"percent": "0", "expires_on": DAY}, "percent"),
        (forms.OfferForm, {"percent": "100.01", "expires_on": DAY}, "percent"),
        (forms.OfferForm, {"amount": "1", "instalments": 0, "expires_on": DAY}, "instalments"),
        (forms.OfferForm, {"amount": "1", "instalments": 121, "expires_on": DAY}, "instalments"),
        (forms.OfferForm, {"amount": "1", "instalments": "3", "expires_on": DAY}, "instalments"),
        (forms.DisputeForm, {"reason": "no", "received_on": DAY, "in_writing": 1}, "in_writing"),
        (forms.DisputeAnswerForm, {"outcome": "ignored"}, "outcome"),
        (forms.HoldForm, {"kind": "cease", "reason": ""}, "reason"),
        (forms.HoldForm, {"kind": "cease", "reason": "x", "until": "soon"}, "until"),
        (forms.TransitionForm, {"new_status": "gone"}, "new_status"),
        (forms.AssignForm, {"collector_id": "me"}, "collector_id"),
        (forms.ReasonForm, {"reason": "x", "note": "y"}, "note"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_value_is_named(form: type[BaseModel], values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        form.model_validate(values)
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


TOLD = [
    (forms.AssignForm, {"collector_id": str(uuid4())}, messages.Assign),
    (forms.TransitionForm, {"new_status": "closed", "note": "x" * 2000}, messages.Transition),
    (forms.PromiseForm, {"amount": 12, "due_date": DAY}, messages.MakePromise),
    (forms.HoldForm, {"kind": "opt_out_sms", "reason": "x", "until": DAY}, messages.PlaceHold),
    (forms.DisputeForm, {"reason": "x", "received_on": DAY, "in_writing": False}, messages.RecordDispute),
    (forms.OfferForm, {"percent": "33.33", "instalments": 120, "expires_on": DAY}, messages.OfferSettlement),
    (forms.ReasonForm, {"reason": "x"}, messages.Recall),
    (forms.ReasonForm, {"reason": "x"}, messages.Close),
]


@pytest.mark.parametrize(("form", "values", "message"), TOLD, ids=[kind.__name__ for *_, kind in TOLD])
def test_what_a_form_takes_its_message_takes(
    form: Any, values: dict[str, Any], message: type[messages.AccountCommand]
) -> None:
    """Otherwise a caller's value would fail inside, where nobody can name the field."""
    taken = form.model_validate(values)
    told = message(
        account=AccountRef(agency_id=uuid4(), account_id=uuid4()),
        identity=messages.CommandIdentity(operation="o", key="k", body_hash="00"),
        actor_kind="user",
        actor="jane",
        **taken.given(),
    )
    assert {name: getattr(told, name) for name in taken.given()} == taken.given()
    assert message.model_validate_json(told.model_dump_json()) == told


def test_amounts_are_exact_and_days_are_days() -> None:
    promise = forms.PromiseForm.model_validate({"amount": "0.10", "due_date": DAY})
    assert (promise.amount, promise.due_date) == (Decimal("0.10"), date(2026, 12, 1))
