"""Events, the endpoints that they are sent to, and the account itself."""

import hashlib
from urllib.parse import urlsplit

from sandbox.stripe.forms import Form, merged
from sandbox.stripe.lists import listed
from sandbox.stripe.refusals import Refusal
from sandbox.stripe.store import Json
from sandbox.stripe.world import API_VERSION, World, new_id

SECRET = "sandbox_secret"  # noqa: S105 - the member's name
"""Where an endpoint's signing secret is kept; only its creation answers it."""


def retrieve(world: World, form: Form, event: str) -> Json:
    """``GET /v1/events/{event}``."""
    form.finish()
    return _counted(world, world.get("event", event))


def listing(world: World, form: Form) -> Json:
    """``GET /v1/events``."""
    kind = form.text("type")
    types = tuple(form.strings("types")) or ((kind,) if kind else ())
    page = listed(world, form, "event", "/v1/events", types=types)
    return page | {"data": [_counted(world, event) for event in page["data"]]}


def create_endpoint(world: World, form: Form) -> Json:
    """``POST /v1/webhook_endpoints``; the answer alone has the signing secret."""
    url = _url(form)
    wanted = form.strings("enabled_events")
    description = form.text("description")
    form.text("api_version")
    metadata = form.metadata() or {}
    form.finish()
    if not wanted:
        raise Refusal(
            "Missing required param: enabled_events", code="parameter_missing", param="enabled_events"
        )
    endpoint = world.save(
        {
            "id": new_id("we"),
            "object": "webhook_endpoint",
            "api_version": API_VERSION,
            "application": None,
            "created": world.created,
            "description": description,
            "enabled_events": wanted,
            "livemode": False,
            "metadata": metadata,
            "status": "enabled",
            "url": url,
            SECRET: new_id("whsec"),
        }
    )
    return _public(endpoint) | {"secret": endpoint[SECRET]}


def retrieve_endpoint(world: World, form: Form, endpoint: str) -> Json:
    """``GET /v1/webhook_endpoints/{endpoint}``."""
    form.finish()
    return _public(world.get("webhook_endpoint", endpoint))


def update_endpoint(world: World, form: Form, endpoint: str) -> Json:
    """``POST /v1/webhook_endpoints/{endpoint}``: where to, which events, whether at all."""
    found = world.get("webhook_endpoint", endpoint)
    if "url" in form:
        found["url"] = _url(form)
    if "enabled_events" in form:
        found["enabled_events"] = form.strings("enabled_events")
    disabled = form.boolean("disabled")
    if disabled is not None:
        found["status"] = "disabled" if disabled else "enabled"
    found["metadata"] = merged(found["metadata"], form.metadata())
    form.finish()
    return _public(world.save(found))


def delete_endpoint(world: World, form: Form, endpoint: str) -> Json:
    """``DELETE /v1/webhook_endpoints/{endpoint}``; what was on its way to it is given up."""
    form.finish()
    world.get("webhook_endpoint", endpoint)
    world.store.remove(world.account, endpoint)
    world.store.drop_deliveries(endpoint)
    return {"id": endpoint, "object": "webhook_endpoint", "deleted": True}


def list_endpoints(world: World, form: Form) -> Json:
    """``GET /v1/webhook_endpoints``."""
    page = listed(world, form, "webhook_endpoint", "/v1/webhook_endpoints")
    return page | {"data": [_public(endpoint) for endpoint in page["data"]]}


def account(world: World, form: Form) -> Json:
    """``GET /v1/account``: whose key this is."""
    form.finish()
    return {
        "id": world.account,
        "object": "account",
        "business_profile": {"name": "Recoup sandbox", "url": None},
        "business_type": "company",
        "capabilities": {"card_payments": "active", "us_bank_account_ach_payments": "active"},
        "charges_enabled": True,
        "country": "US",
        "default_currency": "usd",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "settings": {},
        "type": "standard",
    }


def account_of(secret_key: str) -> str:
    """The account of a secret key: each key has a world of its own."""
    return f"acct_{hashlib.sha256(secret_key.encode()).hexdigest()[:16]}"


def _counted(world: World, event: Json) -> Json:
    pending = sum(delivery.pending for delivery in world.store.deliveries(event=event["id"]))
    return event | {"pending_webhooks": pending}


def _public(endpoint: Json) -> Json:
    return {name: value for name, value in endpoint.items() if name != SECRET}


def _url(form: Form) -> str:
    url = form.required("url")
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise Refusal("The endpoint's url must be http or https with a host", code="url_invalid", param="url")
    return url
