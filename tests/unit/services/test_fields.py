"""What people may type into forms."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.fields import Email, Line, NewPassword, Slug, TimeZone, Username
from services.onboarding.creditors import CreditorChange
from services.onboarding.users import OwnPassword


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        (Line, "  First Bank  ", "First Bank"),
        (Line, "Müller & Söhne 株式会社", "Müller & Söhne 株式会社"),
        (Slug, "first-bank-2", "first-bank-2"),
        (Username, " Jane.Doe@Example.com ", "jane.doe@example.com"),
        (Email, "jane@example.com", "jane@example.com"),
        (TimeZone, "America/Los_Angeles", "America/Los_Angeles"),
    ],
)
def test_accepted(kind: Any, given: str, kept: str) -> None:
    assert TypeAdapter(kind).validate_python(given) == kept


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        *((Line, bad) for bad in ("", "   ", "a\nb", "a\x00b", "a\x1b[31m", "a\u2028b", "\ud800", "x" * 201)),
        *((Slug, bad) for bad in ("A", "a", "-a", "a-", "a--b", "1a", "a_b", "a" * 41, "ab\n")),
        *((Username, bad) for bad in ("", "a", "a b", ".a", "a\x00", "jane\n.doe", "ü" * 5, "x" * 101)),
        *((Email, bad) for bad in ("x", "a@b", "a b@c.de", "a@b@c.de", "a@c.de\x00")),
        *((TimeZone, bad) for bad in ("", "Mars", "/etc/passwd", "../UTC", "America")),
        *((NewPassword, bad) for bad in ("1234567", "x" * 129)),
    ],
)
def test_refused(kind: Any, given: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(given)


def test_errors_of_forms_do_not_quote_the_input() -> None:
    with pytest.raises(ValidationError) as refused:
        OwnPassword.model_validate({"current_password": ["hunter2"], "new_password": "hunter3"})
    assert "hunter" not in str(refused.value)


def test_a_form_gives_what_was_sent() -> None:
    assert CreditorChange.model_validate({"name": "A", "active": True}).given("active") == {"name": "A"}
    with pytest.raises(ValidationError, match="must not be null") as refused:
        CreditorChange.model_validate({"name": None})
    assert [error["loc"] for error in refused.value.errors()] == [("name",)]
    with pytest.raises(ValidationError, match="colour"):
        CreditorChange.model_validate({"colour": "blue"})
