"""Customers: whom payment methods are kept for."""

from sandbox.stripe.forms import Form, merged
from sandbox.stripe.lists import listed
from sandbox.stripe.methods import detach_all
from sandbox.stripe.store import Json
from sandbox.stripe.world import World, new_id

_TEXTS = ("email", "name", "phone", "description")


def create(world: World, form: Form) -> Json:
    """``POST /v1/customers``."""
    texts = {name: form.text(name) for name in _TEXTS}
    address = _address(form)
    metadata = form.metadata() or {}
    form.finish()
    customer = world.save(
        {
            "id": new_id("cus"),
            "object": "customer",
            "address": address,
            "balance": 0,
            "created": world.created,
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": texts["description"],
            "discount": None,
            "email": texts["email"],
            "invoice_prefix": None,
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "livemode": False,
            "metadata": metadata,
            "name": texts["name"],
            "next_invoice_sequence": 1,
            "phone": texts["phone"],
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": None,
        }
    )
    world.emit("customer.created", customer)
    return customer


def retrieve(world: World, form: Form, customer: str) -> Json:
    """``GET /v1/customers/{customer}``."""
    form.finish()
    return world.get("customer", customer)


def update(world: World, form: Form, customer: str) -> Json:
    """``POST /v1/customers/{customer}``."""
    found = world.get("customer", customer)
    changed: Json = {name: form.text(name) for name in _TEXTS if name in form}
    if "address" in form:
        changed["address"] = _address(form)
    if (metadata := form.metadata()) is not None:
        changed["metadata"] = merged(found["metadata"], metadata)
    form.finish()
    previous = {name: found[name] for name in changed}
    world.save(found | changed)
    world.emit("customer.updated", found | changed, previous)
    return found | changed


def delete(world: World, form: Form, customer: str) -> Json:
    """``DELETE /v1/customers/{customer}``; its payment methods can no longer be used."""
    form.finish()
    found = world.get("customer", customer)
    detach_all(world, customer)
    world.store.remove(world.account, customer)
    world.emit("customer.deleted", found)
    return {"id": customer, "object": "customer", "deleted": True}


def listing(world: World, form: Form) -> Json:
    """``GET /v1/customers``."""
    return listed(world, form, "customer", "/v1/customers", filters=("email",))


def _address(form: Form) -> Json | None:
    group = form.group("address")
    names = ("city", "country", "line1", "line2", "postal_code", "state")
    return {name: group.text(name) for name in names} if group else None
