"""What makes two requests the same command."""

from uuid import UUID

from db.commands import body_hash
from domain.tenancy import Actor

ADA, BEN = UUID(int=1), UUID(int=2)


def test_a_user_is_part_of_their_commands_whatever_they_are_called_and_wherever_they_sit() -> None:
    body = {"path": {}, "body": {"amount": "100"}}
    hers = body_hash(body, Actor("user", "ada", ADA, "203.0.113.7"))

    assert body_hash(body, Actor("user", "ada.l", ADA)) == hers
    assert body_hash(body, Actor("user", "ada", BEN)) != hers
    assert body_hash({**body, "body": None}, Actor("user", "ada", ADA)) != hers


def test_an_operator_s_command_is_the_same_whoever_repeats_it_and_no_user_s() -> None:
    seeded = body_hash({}, Actor("operator", "root"))

    assert body_hash({}, Actor("operator", "deploy")) == seeded
    assert body_hash({}, Actor("user", "root", ADA)) != seeded
