"""Pages from templates: whole, or only the block that HTMX asked for."""

import re
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import phonenumbers
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from console.assets import SPRITE
from console.navigation import menu
from console.notices import NOTICE_COOKIE, read_notice

if TYPE_CHECKING:
    from console.assets import Assets
    from services.sessions import Visitor

TEMPLATES = Path(__file__).parent / "templates"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a page may load (Content-Security-Policy): nothing from elsewhere, no script or style inside."""

_DAY = re.compile(r"(?<![\w-])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![\w-])")


class Pages:
    """Renders the console's templates."""

    def __init__(self, assets: "Assets", *, reload: bool = False) -> None:
        """``reload``: look before each use whether a template has changed."""
        self._assets = assets
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            auto_reload=reload,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(asset=assets.url, icon=cache(self._icon), new_key=new_key)
        self._templates.filters.update(
            money=money,
            when=when,
            day=day,
            words=words,
            sentence=sentence,
            count=count,
            phone=phone,
            age=age,
        )

    def page(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """The page, or where HTMX asks for an element by its id, the block of this name alone.

        ``values`` are the template's; it has ``visitor`` (None where nobody is logged in), ``request``,
        ``menu`` and ``notice`` besides.
        """
        visitor: Visitor | None = getattr(request.state, "visitor", None)
        found = self._templates.get_template(template)
        block = wanted_block(request)
        names: dict[str, Any] = {
            "request": request,
            "visitor": visitor,
            "menu": menu(visitor.who, request.url.path) if visitor else [],
            "notice": None,
            **values,
        }
        if block in found.blocks:
            return HTMLResponse(_alone(found, block, names), status)
        names["notice"] = read_notice(request.cookies)
        answer = HTMLResponse(found.render(names), status)
        if names["notice"]:
            answer.delete_cookie(NOTICE_COOKIE, path="/")
        return answer

    def fragment(self, template: str, visitor: "Visitor | None" = None, **values: Any) -> str:
        """A template by itself: a problem beside a form, an event of a stream."""
        return self._templates.get_template(template).render(visitor=visitor, **values)

    def _icon(self, name: str, label: str = "") -> Markup:
        said = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
        return Markup('<svg class="icon" {}><use href="{}#{}"></use></svg>').format(
            said, self._assets.url(SPRITE), name
        )


def _alone(template: Template, block: str, names: dict[str, Any]) -> str:
    context = template.new_context(names)
    # What stands above the blocks, the imports, is carried out before the first piece of a page.
    whole = template.root_render_func(context)
    next(whole, None)
    return "".join(template.blocks[block](context))


def new_key() -> str:
    """An idempotency key for a form that is rendered: sent twice, it is one command."""
    return uuid4().hex


def wanted_block(request: Request) -> str:
    """The block of a page that HTMX asks for: what it will put the answer into. Empty for a whole page."""
    headers = request.headers
    if "HX-Request" not in headers or "HX-Boosted" in headers or "HX-History-Restore-Request" in headers:
        return ""
    return headers.get("HX-Target", "").replace("-", "_")


def is_fragment(request: Request) -> bool:
    """Whether a script asked for this, and puts the answer into the page that is open."""
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def money(amount: Decimal | str | None, currency: str = "", places: int = 2) -> str:
    """``$1,234.50``, ``1,234.50 EUR``; a dash for none."""
    if amount is None:
        return "–"
    exact = Decimal(amount)
    sign, shown = "−" if exact < 0 else "", f"{abs(exact):,.{places}f}"
    return f"{sign}${shown}" if currency == "USD" else f"{sign}{shown} {currency}".strip()


def phone(number: str) -> str:
    """A number in E.164 as people write it: ``+1 813-555-0132``; as it is, where it is none."""
    try:
        known = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(known, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def age(days: int) -> str:
    """How long something has been there."""
    return "today" if days < 1 else "1 day" if days == 1 else f"{days:,} days"


@pass_context
def when(context: Context, instant: datetime | str | None, form: str = "%-d %b %Y, %H:%M") -> Markup:
    """An instant in the agency's time zone, which a pointer shows with its zone."""
    if instant is None:
        return Markup("–")
    if isinstance(instant, str):
        instant = datetime.fromisoformat(instant)
    visitor: Visitor | None = context.get("visitor")
    local = instant.astimezone(ZoneInfo(visitor.time_zone if visitor else "UTC"))
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        instant.isoformat(), f"{local:%A, %-d %B %Y, %H:%M:%S %Z}", local.strftime(form)
    )


def day(value: date | str | None) -> Markup:
    """A date without a time, which is the same in every zone."""
    if value is None:
        return Markup("–")
    if isinstance(value, str):
        value = date.fromisoformat(value)
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), f"{value:%-d %b %Y}")


def words(value: object) -> str:
    """A code such as ``payment_plan`` as people read it: “Payment plan”."""
    text = str(value).replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """A sentence that begins with a capital letter, its days (ISO 8601) as people write them."""
    said = _DAY.sub(_written, text)
    return said[:1].upper() + said[1:]


def _written(found: re.Match[str]) -> str:
    try:
        return f"{date.fromisoformat(found[0]):%-d %b %Y}"
    except ValueError:
        return found[0]


def count(value: int | None) -> str:
    """``12,345``; a dash for none."""
    return "–" if value is None else f"{value:,}"
