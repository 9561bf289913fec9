"""Lists as Stripe pages them: newest first, by cursors that are ids of objects."""

from typing import Final

from sandbox.stripe.forms import Form
from sandbox.stripe.refusals import Refusal
from sandbox.stripe.store import Json
from sandbox.stripe.world import World

DEFAULT_LIMIT: Final = 10
MOST: Final = 100
_OPERATORS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def listed(
    world: World,
    form: Form,
    kind: str,
    url: str,
    *,
    filters: tuple[str, ...] = (),
    types: tuple[str, ...] = (),
) -> Json:
    """A page of the account's objects of a kind, by the parameters that ``filters`` names and by time."""
    where: dict[str, object] = {name: value for name in filters if (value := form.text(name))}
    created = _created(form)
    limit = form.integer("limit", least=1, most=MOST) or DEFAULT_LIMIT
    after, before = form.text("starting_after"), form.text("ending_before")
    form.finish()
    if after and before:
        raise Refusal("Give starting_after or ending_before, not both", param="ending_before")
    found = world.store.page(
        world.account,
        kind,
        where=where,
        created=created,
        types=types,
        older_than=_cursor(world, kind, after, "starting_after"),
        newer_than=_cursor(world, kind, before, "ending_before"),
        limit=limit + 1,
    )
    has_more = len(found) > limit
    if has_more:
        # Going back, the one too many is the newest.
        found = found[1:] if before else found[:-1]
    return {"object": "list", "data": found, "has_more": has_more, "url": url}


def _cursor(world: World, kind: str, object_id: str | None, param: str) -> int | None:
    if object_id is None:
        return None
    world.get(kind, object_id, param, status=400)
    return world.store.place(world.account, kind, object_id)


def _created(form: Form) -> dict[str, int]:
    if "created" not in form:
        return {}
    if isinstance(form.anything("created"), str):
        exact = form.integer("created")
        return {} if exact is None else {"=": exact}
    group = form.group("created")
    bounds = {sign: group.integer(name) for name, sign in _OPERATORS.items()} if group else {}
    return {sign: seconds for sign, seconds in bounds.items() if seconds is not None}
