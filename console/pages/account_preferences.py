"""What a debtor said of being contacted, on the pages of their accounts."""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.responses import Response

from api.deps import ServicesDep
from console.forms import FormCommand, checked
from console.notices import done
from console.web import PagesDep, router, sees
from services.access import Right
from services.contact_views import PreferenceForm
from services.sessions import Visitor

pages = router()
ReadsDebtors = Annotated[Visitor, sees(Right.READ_DEBTORS)]
Contacts = Annotated[Visitor, sees(Right.CONTACT_DEBTORS)]
ROWS_TO_FILL_IN = 2
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
PLACES = (("home", "at home"), ("work", "at work"))
ZONES = (
    *("America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles"),
    *("America/Anchorage", "Pacific/Honolulu", "America/Puerto_Rico", "Pacific/Guam"),
)
"""Those of the United States, to choose from; any other can be typed."""

_DAY = re.compile(r"[0-9]{1,3}")
_OF_A_WINDOW = re.compile(r"window-([0-9]{1,3})-(days|start|end)")


@pages.get("/accounts/{account_id}/preferences")
async def preferences(
    request: Request, account_id: UUID, visitor: ReadsDebtors, services: ServicesDep, templates: PagesDep
) -> Response:
    """When and where the debtor is not to be contacted, and a form to change that."""
    account = await services.accounts.get(visitor.who, account_id)
    said = await services.contacts.preferences(visitor.who, account.debtor.id)
    return templates.page(
        request,
        "account_preferences.html",
        account_id=account_id,
        said=said,
        rows=[*said.inconvenient, *[None] * ROWS_TO_FILL_IN],
        days=DAYS,
        places=PLACES,
        zones=ZONES,
        may_change=visitor.who.may(Right.CONTACT_DEBTORS),
        key=uuid4().hex,
    )


@pages.post("/accounts/{account_id}/preferences")
async def prefer(
    request: Request, account_id: UUID, visitor: Contacts, command: FormCommand, services: ServicesDep
) -> Response:
    """Replace what the debtor said of being contacted: what is left out is forgotten."""
    form = checked(PreferenceForm, _said(await request.form()))
    account = await services.accounts.get(visitor.who, account_id)
    await services.contacts.prefer(visitor.who, command, account.debtor.id, form)
    return done(f"/accounts/{account_id}", "What the debtor said counts from the next contact on.")


def _said(given: Any) -> Mapping[str, Any]:
    """The form's rows of times as the command has them; a row without any time is none."""
    windows: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for name in given:
        if found := _OF_A_WINDOW.fullmatch(name):
            values = [value for value in given.getlist(name) if isinstance(value, str) and value.strip()]
            row, field = int(found[1]), found[2]
            windows[row][field] = [_number(each) for each in values] if field == "days" else "".join(values)
    times = [windows[row] for row in sorted(windows)]
    return {
        "time_zone": str(given.get("time_zone", "")).strip() or None,
        "inconvenient": [window for window in times if any(window.values())],
        "inconvenient_places": given.getlist("inconvenient_places"),
    }


def _number(text: str) -> int | str:
    return int(text) if _DAY.fullmatch(text) else text
