"""What the schema says of every endpoint alike."""

from typing import Any

from api.problems import MEDIA_TYPE, Problem

_MEANINGS = {
    400: "malformed, or a platform administrator picked no agency",
    401: "not logged in, or the login is no longer good",
    403: "known, but the role may not do this",
    404: "not there, or not yours",
    409: "in conflict with the present state",
    413: "the body is larger than any that is taken here",
    415: "the body is not said to be JSON",
    422: "a value is not acceptable (`field` and `errors` name it), or a key came with another request",
    429: "as much as is allowed is at work or was tried already; `Retry-After` says when to ask again",
    503: "something does not answer at the moment; nothing was lost",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem responses of a route, for its ``responses``."""
    return {
        status: {
            "model": Problem,
            "description": _MEANINGS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


READ_ERRORS = errors(400, 401, 403, 404, 422, 503)
WRITE_ERRORS = errors(400, 401, 403, 404, 409, 413, 415, 422, 503)
