"""The control API below ``/sandbox``: what a bank, a card holder, time and a bad day would do. No key needed.

| | |
|---|---|
| ``GET/POST/DELETE /sandbox/faults`` | faults: see ``sandbox.stripe.faults.Fault`` |
| ``GET/POST /sandbox/behaviour`` | delays and webhooks: see ``sandbox.stripe.world.Behaviour`` |
| ``GET/POST /sandbox/clock`` ``{"advance_s": 90000}`` | time |
| ``POST /sandbox/webhooks/release`` ``{"order": "reversed"}`` | events that were held back |
| ``POST /sandbox/events/{id}/resend`` | an event once more |
| ``POST /sandbox/payment_intents/{id}/authenticate`` ``{"succeeds": true}`` | the card's holder answers |
| ``POST /sandbox/payment_intents/{id}/settle`` ``{"failure": "account_closed"?}`` | the bank answers now |
| ``POST /sandbox/charges/{id}/dispute`` ``{"reason"?, "amount"?, "whole"?, "inquiry"?}`` | a dispute |
| ``POST /sandbox/disputes/{id}/decide`` ``{"won": true}`` | its end |
| ``POST /sandbox/refunds/{id}/finish`` ``{"succeeds": true}`` | a refund ends |
| ``POST /sandbox/checkout/{id}/pay`` ``{"payment_method": "pm_card_visa"}`` | the debtor pays |
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.stripe import attempts, checkout, disputes, refunds, tasks
from sandbox.stripe.engine import Engine
from sandbox.stripe.faults import Fault, Faults
from sandbox.stripe.outcomes import BY_NUMBER, Decline
from sandbox.stripe.refusals import Refusal, missing, wrong_state
from sandbox.stripe.store import Json
from sandbox.stripe.webhooks import Order, Webhooks
from sandbox.stripe.world import Behaviour, World

_FAULT: Final = TypeAdapter(Fault)
_ORDERS: Final = get_args(Order)
_RETURNS: Final = {outcome.decline.code: outcome.decline for outcome in BY_NUMBER.values() if outcome.decline}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Clock(_Body):
    """By how much to put the clock forward."""

    advance_s: float = Field(ge=0)


class Release(_Body):
    """In which order held events go out."""

    order: Order = "created"


class Authenticate(_Body):
    """What the card's holder answers."""

    succeeds: bool = True


class Settle(_Body):
    """How the bank answers; without ``failure`` as the test account does."""

    failure: str | None = None


class OpenDispute(_Body):
    """A dispute as the card would have it, unless given; of all that was not refunded, or the ``whole``."""

    reason: str | None = None
    amount: int | None = Field(None, ge=1)
    whole: bool = False
    inquiry: bool | None = None


class Decide(_Body):
    """How a dispute ends."""

    won: bool


class Finish(_Body):
    """How a refund ends."""

    succeeds: bool = True


class Pay(_Body):
    """What the debtor pays with."""

    payment_method: str = "pm_card_visa"


Act = Callable[[World, Json, Any], Json]
Form = TypeVar("Form", bound=BaseModel)


class Controls:
    """The routes of the control API."""

    def __init__(self, engine: Engine, faults: Faults, webhooks: Webhooks) -> None:
        self._engine = engine
        self._faults = faults
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        """For the application."""
        acts: tuple[tuple[str, type[BaseModel], Act], ...] = (
            ("payment_intents/{id}/authenticate", Authenticate, authenticate),
            ("payment_intents/{id}/settle", Settle, _settle),
            ("charges/{id}/dispute", OpenDispute, _dispute),
            ("disputes/{id}/decide", Decide, _decide),
            ("refunds/{id}/finish", Finish, _finish),
            ("checkout/{id}/pay", Pay, pay),
        )
        return [
            Route("/sandbox/faults", self._all_faults, methods=["GET", "POST", "DELETE"]),
            Route("/sandbox/behaviour", self._behaviour, methods=["GET", "POST"]),
            Route("/sandbox/clock", self._clock, methods=["GET", "POST"]),
            Route("/sandbox/webhooks/release", self._release, methods=["POST"]),
            Route("/sandbox/events/{id}/resend", self._resend, methods=["POST"]),
            *(
                Route(f"/sandbox/{path}", self._acting(form, act), methods=["POST"])
                for path, form, act in acts
            ),
        ]

    def act(self, object_id: str, act: Act, form: Any) -> Json:
        """Do something to an object of whichever account. Raises ``Refusal`` when it cannot be done."""
        account = self._engine.store.account_of(object_id)
        self._engine.catch_up()
        refused: Refusal | None = None
        with self._engine.store.transaction():
            world = self._engine.world(account or "")
            found = self._engine.store.get(account or "", object_id)
            if found is None:
                raise missing("object", object_id)
            try:
                done = act(world, found, form)
            except Refusal as refusal:
                # A decline on the page is written as everywhere else.
                if not refusal.executed:
                    raise
                refused = refusal
        self._engine.catch_up()
        self._webhooks.send()
        if refused:
            raise refused
        return done

    def _acting(self, form: type[BaseModel], act: Act) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                return JSONResponse(self.act(request.path_params["id"], act, await _body(request, form)))
            except Refusal as refusal:
                return JSONResponse(refusal.body, refusal.status)

        return endpoint

    async def _all_faults(self, request: Request) -> Response:
        try:
            if request.method == "POST":
                fault = _FAULT.validate_json(await request.body())
                return JSONResponse(self._faults.add(fault).shown())
        except ValidationError as error:
            return _invalid(error)
        if request.method == "DELETE":
            self._faults.clear()
        return JSONResponse([fault.shown() for fault in self._faults.all])

    async def _behaviour(self, request: Request) -> Response:
        behaviour = self._engine.behaviour
        if request.method == "POST":
            try:
                given = json.loads(await request.body())
                changed = TypeAdapter(Behaviour).validate_python(dataclasses.asdict(behaviour) | given)
            except (ValueError, TypeError) as error:
                return JSONResponse({"error": {"message": str(error)}}, 400)
            for name in given:
                setattr(behaviour, name, getattr(changed, name))
            self._webhooks.send()
        return JSONResponse(dataclasses.asdict(behaviour))

    async def _clock(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                self._engine.advance((await _body(request, Clock)).advance_s)
            except Refusal as refusal:
                return JSONResponse(refusal.body, refusal.status)
            self._webhooks.send()
        return JSONResponse({"now": self._engine.now, "ahead_s": self._engine.store.ahead_s})

    async def _release(self, request: Request) -> Response:
        try:
            order = (await _body(request, Release)).order
        except Refusal as refusal:
            return JSONResponse(refusal.body, refusal.status)
        return JSONResponse({"released": await self._webhooks.release(order)})

    async def _resend(self, request: Request) -> Response:
        event_id = request.path_params["id"]
        deliveries = self._engine.store.deliveries(event=event_id)
        for delivery in {delivery.endpoint: delivery for delivery in deliveries}.values():
            self._engine.store.add_delivery(delivery.account, event_id, delivery.endpoint)
        self._webhooks.send()
        return JSONResponse({"sent": len(deliveries)}, 200 if deliveries else 404)


async def _body(request: Request, form: type[Form]) -> Form:
    try:
        return form.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        raise Refusal(str(error)) from error


def _invalid(error: ValidationError) -> Response:
    return JSONResponse({"error": {"message": str(error)}}, 400)


def authenticate(world: World, intent: Json, form: Authenticate) -> Json:
    done = attempts.authenticated(world, intent, succeeds=form.succeeds)
    checkout.settled(world, done)
    return done


def _settle(world: World, intent: Json, form: Settle) -> Json:
    if intent["status"] != "processing":
        raise wrong_state(
            f"No debit is under way: the status is {intent['status']}", "payment_intent_unexpected_state"
        )
    decline = None
    if form.failure:
        decline = _RETURNS.get(form.failure) or Decline(form.failure, None, "The bank returned the debit.")
    tasks.settle(world, intent, decline)
    return world.get("payment_intent", intent["id"])


def _dispute(world: World, charge: Json, form: OpenDispute) -> Json:
    return disputes.opened(
        world, charge, reason=form.reason, amount=form.amount, whole=form.whole, inquiry=form.inquiry
    )


def _decide(world: World, dispute: Json, form: Decide) -> Json:
    return disputes.decided(world, dispute, won=form.won)


def _finish(world: World, refund: Json, form: Finish) -> Json:
    return refunds.finished(world, refund, succeeds=form.succeeds)


def pay(world: World, session: Json, form: Pay) -> Json:
    return checkout.public(checkout.paid(world, session, form.payment_method))
