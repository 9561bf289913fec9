"""Problems keep their standard members and name fields as their sender wrote them."""

import json

import pytest

from api.problems import field_path, incident, of_domain_error, problem, sentence
from domain.errors import Conflict, Invalid, TooManyRequests, Unauthenticated, Unavailable


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (("body", "port"), "port"),
        (("body", "profile", "columns", 2, "name"), "profile.columns[2].name"),
        (("query", "page_size"), "page_size"),
        (("header", "Idempotency-Key"), "Idempotency-Key"),
        (("body",), "body"),
        (("body", 0, "a"), "[0].a"),
        ((), ""),
        (("port",), "port"),
    ],
)
def test_field_paths(location: tuple[int | str, ...], path: str) -> None:
    assert field_path(location) == path


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Value error, must be a day", "must be a day"),
        ("Input should be at most Decimal('999.99')", "Input should be at most 999.99"),
        ("Input should be <Level.LOW: 'LOW'> or <Level.HIGH: 'HIGH'>", "Input should be 'LOW' or 'HIGH'"),
        ("Input should be 'a' or 'b'", "Input should be 'a' or 'b'"),
        ("Tuple should have at most 7 items", "List should have at most 7 items"),
    ],
)
def test_messages_show_values_as_they_are_typed(message: str, told: str) -> None:
    assert sentence(message) == told


def test_details_are_members_and_replace_none() -> None:
    error = Conflict("not now", legal=["closed"], status=200, type="forged", detail="forged")
    body = json.loads(bytes(of_domain_error("/x", error).body))
    assert body == {
        "legal": ["closed"],
        "type": "urn:recoup:problem:conflict",
        "title": "Conflict with the present state",
        "status": 409,
        "detail": "not now",
        "instance": "/x",
    }


def test_what_may_pass_says_when_to_come_back() -> None:
    assert of_domain_error("/x", Unavailable("away")).headers["Retry-After"] == "5"
    assert of_domain_error("/x", TooManyRequests("slow", retry_after_s=60)).headers["Retry-After"] == "60"
    assert "Retry-After" not in of_domain_error("/x", Invalid("no", field="a")).headers


def test_who_is_not_logged_in_is_told_how() -> None:
    assert of_domain_error("/x", Unauthenticated("log in")).headers["WWW-Authenticate"] == "Bearer"


def test_the_media_type() -> None:
    answer = problem("/x", slug="s", title="T", status=418, detail="D")
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_incident_has_a_number_only() -> None:
    body = json.loads(bytes(incident("/x", "abc").body))
    assert set(body) == {"incident", "type", "title", "status", "detail", "instance"}
