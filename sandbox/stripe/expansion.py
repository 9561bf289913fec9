"""The ``expand`` parameter: ids in an answer replaced by the objects they name."""

from typing import Final

from sandbox.stripe import checkout, methods
from sandbox.stripe.refusals import Refusal
from sandbox.stripe.store import Json
from sandbox.stripe.world import World

DEEPEST: Final = 4
_PUBLIC: Final = {"payment_method": methods.public, "checkout.session": checkout.public}


def expanded(world: World, body: Json, paths: list[str]) -> Json:
    """The answer with every path of ``expand`` followed. Raises ``Refusal`` for one that leads nowhere."""
    for path in paths:
        parts = path.split(".")
        if len(parts) > DEEPEST:
            raise Refusal(f"expand goes {DEEPEST} levels deep at most", param="expand")
        _follow(world, body, parts, path)
    return body


def _follow(world: World, body: Json, parts: list[str], path: str) -> None:
    name, rest = parts[0], parts[1:]
    if name == "data" and body.get("object") == "list":
        for item in body["data"]:
            _follow(world, item, rest, path)
        return
    if name not in body:
        raise Refusal(f"This property cannot be expanded ({path})", param="expand")
    value = body[name]
    if isinstance(value, str):
        inner = world.store.get(world.account, value)
        if inner is None:
            raise Refusal(f"This property cannot be expanded ({path})", param="expand")
        value = body[name] = _PUBLIC.get(inner["object"], dict)(inner)
    if rest and isinstance(value, dict):
        _follow(world, value, rest, path)
