"""A browser without a screen: pages are read as text, links and forms, and forms are sent as people do."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import httpx

_UNREAD = frozenset({"script", "style", "template"})
_LINES = frozenset({"p", "div", "li", "tr", "td", "th", "dt", "dd", "h1", "h2", "h3", "option", "label"})


@dataclass
class Form:
    """A form of a page: where it is sent, and what it has before anybody fills it in.

    A field that people choose from has its first option, or the chosen one; ``options`` are its values.
    """

    id: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.parts: list[str] = []
        self._form: Form | None = None
        self._select = ""
        self._area = ""
        self._unread = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._unread += tag in _UNREAD
        if tag in _LINES:
            self.parts.append("\n")
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "form":
            self._form = Form(given.get("id", ""), given.get("action", ""))
            self.forms.append(self._form)
        if self._form is not None and (tag in {"input", "select", "textarea", "option", "button"}):
            self._field(self._form, tag, given)

    def _field(self, form: Form, tag: str, given: dict[str, str]) -> None:
        name = given.get("name", "")
        if tag == "option":
            self._option(form, given)
        elif tag == "select":
            self._select = name
        elif tag == "textarea":
            self._area = name
            form.fields[name] = ""
        elif tag == "input" and name:
            if given.get("type") not in {"checkbox", "radio"}:
                form.fields[name] = given.get("value", "")
                return
            form.options.setdefault(name, []).append(given.get("value", "on"))
            if "checked" in given:
                form.fields[name] = given.get("value", "on")

    def _option(self, form: Form, given: dict[str, str]) -> None:
        if not self._select:
            return
        form.options.setdefault(self._select, []).append(given.get("value", ""))
        if "selected" in given or self._select not in form.fields:
            form.fields[self._select] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._unread -= tag in _UNREAD
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._unread:
            return
        if self._area and self._form is not None:
            self._form.fields[self._area] += data
        self.parts.append(data)


class Page:
    """An answer, read. ``text`` is what can be seen: a line for each piece, single spaces between words."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.status = answer.status_code
        self.html = answer.text
        reader = _Reader()
        reader.feed(answer.text)
        self.forms = reader.forms
        self.links = reader.links
        lines = (" ".join(line.split()) for line in "".join(reader.parts).split("\n"))
        self.text = "\n".join(line for line in lines if line)

    @property
    def path(self) -> str:
        """Where the browser is after all that led on: path and query."""
        parts = urlsplit(str(self.answer.url))
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def form(self, form_id: str) -> Form:
        """The form with this id."""
        found = [one for one in self.forms if one.id == form_id]
        assert found, f"no form {form_id!r} at {self.path}; there are {[one.id for one in self.forms]}"
        return found[0]

    def has_form(self, form_id: str) -> bool:
        """Whether there is such a form."""
        return any(one.id == form_id for one in self.forms)


class Browser:
    """Somebody's browser: keeps cookies and is led on as browsers are."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **headers: str) -> Page:
        """Open a page."""
        return Page(await self.client.get(path, headers={"Accept": "text/html", **headers}))

    async def block(self, path: str, target: str) -> Page:
        """What HTMX gets that will put the answer into the element ``target``."""
        return await self.get(path, **{"HX-Request": "true", "HX-Target": target})

    async def send(self, form: Form, **values: Any) -> Page:
        """Fill in and send a form as HTMX sends one; ``None`` leaves a field out, a list gives it often.

        What leads on is followed: the page that is seen then. A problem is what would stand in the form.
        """
        data = {name: value for name, value in {**form.fields, **values}.items() if value is not None}
        headers = {"HX-Request": "true", "HX-Boosted": "true", "HX-Target": "body"}
        return Page(await self.client.post(form.action, data=data, headers=headers))
