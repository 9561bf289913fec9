"""What was done, said once on the page that a person is led to afterwards; carried by a cookie of seconds."""

import json
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

from fastapi.responses import RedirectResponse

NOTICE_COOKIE = "recoup_notice"
_LIFETIME_S = 30
_LONGEST = 3500
"""Characters of the cookie's value: browsers keep none of more than 4096, name and attributes included."""


class Notice(NamedTuple):
    """``kind``: success, or warning where it was done with a reservation."""

    kind: str
    text: str


def done(url: str, text: str, kind: str = "success") -> RedirectResponse:
    """Lead on to ``url`` (a path of ours) and say ``text`` there."""
    answer = RedirectResponse(url, status_code=303)
    while len(value := quote(json.dumps([kind, text], ensure_ascii=False), safe="")) > _LONGEST:
        text = f"{text[: len(text) * 9 // 10].removesuffix('…')}…"
    answer.set_cookie(NOTICE_COOKIE, value, max_age=_LIFETIME_S, path="/", httponly=True, samesite="lax")
    return answer


def read_notice(cookies: Mapping[str, str]) -> Notice | None:
    """What there is to say; None for nothing, or for what is none of ours."""
    try:
        kind, text = json.loads(unquote(cookies[NOTICE_COOKIE]))
    except (KeyError, ValueError, TypeError, RecursionError):
        return None
    return Notice("warning" if kind == "warning" else "success", str(text))
