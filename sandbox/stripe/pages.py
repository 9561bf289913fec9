"""Pages for people: what this server is, Checkout, the question to a card's holder, a receipt."""

from html import escape
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.stripe.api import NOTICE
from sandbox.stripe.controls import Authenticate, Controls, Pay, authenticate, pay
from sandbox.stripe.engine import Engine
from sandbox.stripe.operations import OPERATIONS
from sandbox.stripe.outcomes import READY_MADE
from sandbox.stripe.refusals import Refusal
from sandbox.stripe.store import Json

_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title><style>body{{font:16px/1.5 system-ui;max-width:44rem;margin:2rem auto;padding:0 1rem}}
.notice{{background:#b00020;color:#fff;padding:.5rem 1rem}}code{{background:#eee}}</style>
<p class="notice" role="note">Stripe stand-in: {notice}.</p><h1>{title}</h1>{body}</html>"""


class Pages:
    """The routes of the pages."""

    def __init__(self, engine: Engine, controls: Controls) -> None:
        self._engine = engine
        self._controls = controls

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/", self._root),
            Route("/sandbox/checkout/{id}", self._checkout, methods=["GET", "POST"]),
            Route("/sandbox/payment_intents/{id}/authenticate", self._question, methods=["GET"]),
            Route("/sandbox/payment_intents/{id}/answer", self._answer, methods=["POST"]),
            Route("/sandbox/receipts/{id}", self._receipt),
        ]

    async def _root(self, request: Request) -> Response:
        objects = "".join(
            f"<li>{escape(kind)}: {count}</li>" for kind, count in self._engine.store.counts().items()
        )
        endpoints = "".join(f"<li><code>{o.method} {escape(o.path)}</code></li>" for o in OPERATIONS)
        names = "".join(f"<li><code>{name}</code></li>" for name in READY_MADE)
        return _page(
            "Stripe stand-in",
            "<p>Any key that begins with <code>sk_test_</code> opens an account of its own. Real card and "
            f"account numbers are refused.</p><h2>Kept here</h2><ul>{objects}</ul>"
            f"<h2>Endpoints</h2><ul>{endpoints}</ul>"
            f"<h2>Payment methods</h2><ul>{names}</ul>",
        )

    async def _checkout(self, request: Request) -> Response:
        session = self._object(request, "checkout.session")
        if session is None:
            return _page("No such session", "<p>The link is not one of this server.</p>", 404)
        problem = ""
        if request.method == "POST":
            method = parse_qs((await request.body()).decode()).get("payment_method", ["pm_card_visa"])[0]
            try:
                done = self._controls.act(session["id"], pay, Pay(payment_method=method))
            except Refusal as refusal:
                problem = f'<p role="alert">{escape(str(refusal))}</p>'
            else:
                if done["status"] == "complete":
                    return RedirectResponse(_returned(session), 303)
                return RedirectResponse(
                    f"/sandbox/payment_intents/{done['payment_intent']}/authenticate", 303
                )
        if session["status"] != "open":
            return _page("Payment link", f"<p>This link is {escape(session['status'])}.</p>")
        options = "".join(
            f"<option>{name}</option>"
            for name, outcome in READY_MADE.items()
            if outcome.kind in session["payment_method_types"]
        )
        back = session["cancel_url"]
        leave = f'<p><a href="{escape(back)}">Go back</a></p>' if back else ""
        return _page(
            f"Pay {session['amount_total'] / 100:.2f} {session['currency'].upper()}",
            f'{problem}<form method="post"><label>Pay with <select name="payment_method">{options}</select>'
            f"</label> <button>Pay</button></form>{leave}",
        )

    async def _question(self, request: Request) -> Response:
        intent = self._object(request, "payment_intent")
        if intent is None or intent["status"] != "requires_action":
            return _page("Nothing to authenticate", "<p>Nobody is asked about this payment.</p>", 404)
        return _page(
            "Is this payment yours?",
            f'<form method="post" action="/sandbox/payment_intents/{intent["id"]}/answer">'
            '<button name="succeeds" value="true">Yes</button> '
            '<button name="succeeds" value="false">No</button></form>',
        )

    async def _answer(self, request: Request) -> Response:
        intent = self._object(request, "payment_intent")
        yes = b"succeeds=true" in await request.body()
        if intent is None:
            return _page("No such payment", "<p>The link is not one of this server.</p>", 404)
        back = ((intent["next_action"] or {}).get("redirect_to_url") or {}).get("return_url")
        try:
            self._controls.act(intent["id"], authenticate, Authenticate(succeeds=yes))
        except Refusal as refusal:
            return _page("Not possible", f"<p>{escape(str(refusal))}</p>", refusal.status)
        return RedirectResponse(back, 303) if back else _page("Thank you", "<p>The answer is on its way.</p>")

    async def _receipt(self, request: Request) -> Response:
        charge = self._object(request, "charge")
        if charge is None:
            return _page("No such receipt", "<p>The link is not one of this server.</p>", 404)
        amount = f"{charge['amount'] / 100:.2f} {charge['currency'].upper()}"
        return _page("Receipt", f"<p>{escape(amount)}: {escape(charge['status'])}</p>")

    def _object(self, request: Request, kind: str) -> Json | None:
        object_id = request.path_params["id"]
        self._engine.catch_up()
        account = self._engine.store.account_of(object_id)
        return self._engine.store.get(account, object_id, kind) if account else None


def _returned(session: Json) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=escape(title), body=body, notice=NOTICE), status)
