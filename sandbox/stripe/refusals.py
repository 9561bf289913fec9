"""How the stand-in says no: Stripe's error objects, with messages in words of our own."""

from typing import Any, Final

_STATUS: Final = {
    "invalid_request_error": 400,
    "idempotency_error": 400,
    "card_error": 402,
    "api_error": 500,
}


class Refusal(Exception):
    """An answer that is an error object.

    Args:
        message: what is wrong and how to mend it.
        kind: Stripe's ``type``.
        code: Stripe's error code.
        param: the parameter at fault, as written in the request.
        status: HTTP status; by default that of the kind.
        executed: the work had begun: what it changed stays, and the idempotency key keeps this answer.
        more: further members of the error object (``decline_code``, ``charge``, ``payment_intent``).
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        status: int | None = None,
        executed: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status or _STATUS[kind]
        self.executed = executed
        error: dict[str, Any] = {"message": message, "type": kind}
        if code:
            error |= {
                "code": code,
                "doc_url": f"https://docs.stripe.com/error-codes#{code.replace('_', '-')}",
            }
        if param:
            error["param"] = param
        self.body: dict[str, Any] = {"error": error | more}


def missing(kind: str, object_id: str, param: str = "id", *, status: int = 404) -> Refusal:
    """No such object in this account: another account's object is answered likewise."""
    return Refusal(f"No such {kind}: '{object_id}'", code="resource_missing", param=param, status=status)


def wrong_state(message: str, code: str, **more: Any) -> Refusal:
    """The request is right in itself but not in the object's present state."""
    return Refusal(message, code=code, executed=True, **more)
