"""An agency's Stripe credentials: tried, kept secret, used by its workers; its webhooks registered once."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from activities.stripe_accounts import StripeAccounts
from domain.provider_events import SUBSCRIBED
from domain.tenancy import Role
from gateways.stripe import StripeAccount, StripeAuthenticationFailed, StripeGateway
from sandbox.processes import until
from sandbox.seed import STRIPE_KEY, DemoAgency, seed
from services.access import Principal
from services.commands import CommandKey
from services.onboarding.stripe_credentials import StripeCredentialsForm, StripeCredentialsService
from tests.integration.webhooks.office import Office


def a_key() -> str:
    return f"sk_test_{uuid4().hex}"


async def records(office: Office) -> list[Any]:
    async with office.transaction() as tx:
        return list(await tx.audit.of("stripe_credentials", office.agency_id))


async def test_secrets_go_in_and_never_out(office: Office) -> None:
    secret = await office.secret()
    for who in ("acme.admin", "acme.auditor"):
        shown = await office.ask(who, "GET", "/stripe-credentials")
        assert shown.status_code == 200
        body = shown.json()
        assert (body["has_secret_key"], body["has_webhook_secret"]) == (True, True)
        assert body["account_ref"] == office.stripe_id
        assert body["webhook_url"] == f"{office.url}/payments/webhook/stripe/acme"
        assert office.key not in shown.text
        assert secret not in shown.text
    written = await records(office)
    assert written
    for record in written:
        assert office.key not in str(record.new) + str(record.old)
        assert secret not in str(record.new) + str(record.old)
    stored = await office.query(
        "SELECT secret_key_encrypted, webhook_secret_encrypted FROM stripe_credentials"
    )
    for blob in stored[0]:
        assert office.key.encode() not in bytes(blob)
        assert secret.encode() not in bytes(blob)


async def test_the_endpoint_is_registered_once_for_what_matters(office: Office) -> None:
    before = (await office.ask("acme.admin", "GET", "/stripe-credentials")).json()
    written = len(await records(office))
    again = await office.register()
    assert again.json() == before
    assert len(await records(office)) == written
    endpoints = (await office.caller.get("webhook_endpoints", limit=100))["data"]
    [endpoint] = [one for one in endpoints if one["url"] == before["webhook_url"]]
    assert endpoint["id"] == before["webhook_ref"]
    assert endpoint["enabled_events"] == list(SUBSCRIBED)


async def test_a_registered_endpoint_gives_way_to_one_made_by_hand_and_comes_anew(office: Office) -> None:
    before = (await office.ask("acme.admin", "GET", "/stripe-credentials")).json()
    by_hand = await office.register(webhook_secret="whsec_made_by_hand")
    assert (by_hand.status_code, by_hand.json()["webhook_ref"]) == (200, None)
    assert await office.secret() == "whsec_made_by_hand"
    endpoints = (await office.caller.get("webhook_endpoints", limit=100))["data"]
    assert before["webhook_ref"] not in [one["id"] for one in endpoints]
    anew = await office.register(webhook_secret=None)
    assert anew.json()["webhook_ref"] not in {None, before["webhook_ref"]}
    debt = await office.debt("100.00")
    payment = await office.paid(debt, "40.00")
    await office.settled(payment["processor_ref"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"secret_key": "sk_test_expired_key"}, "secret_key"),
        ({"secret_key": f"sk_live_{uuid4().hex}"}, "secret_key"),
        ({"secret_key": "pk_test_publishable123"}, "secret_key"),
        ({"secret_key": ""}, "secret_key"),
        ({"secret_key": "sk_test_" + "x" * 300}, "secret_key"),
        ({}, "secret_key"),
        ({"secret_key": "sk_test_good12345", "webhook_secret": "we_123"}, "webhook_secret"),
        ({"secret_key": "sk_test_good12345", "webhook_url": "http://x"}, "webhook_url"),
    ],
)
async def test_what_could_never_work_is_refused_by_name(
    office: Office, body: dict[str, str], field: str
) -> None:
    before = (await office.ask("acme.admin", "GET", "/stripe-credentials")).json()
    answer = await office.ask("acme.admin", "PUT", "/stripe-credentials", body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert "items" not in answer.json()["detail"], "a secret has characters"
    for value in body.values():
        assert not value or value not in answer.text
    assert (await office.ask("acme.admin", "GET", "/stripe-credentials")).json() == before


async def test_nothing_changes_while_stripe_is_away(office: Office) -> None:
    before = (await office.ask("acme.admin", "GET", "/stripe-credentials")).json()
    office.breaks("unavailable", "/v1/account", method="*", count=1)
    assert (await office.register()).status_code == 503
    assert (await office.ask("acme.admin", "GET", "/stripe-credentials")).json() == before


async def test_no_credentials_is_said_so(office: Office) -> None:
    answer = await office.world.call("platform", "POST", "/agencies", {"slug": "keyless", "name": "K"})
    assert answer.status_code == 201
    headers = {"X-Agency": "keyless"}
    shown = await office.world.call("platform", "GET", "/stripe-credentials", **headers)
    assert shown.status_code == 404
    refused = await office.world.call("platform", "POST", "/payments/reconciliations", {}, **headers)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:recoup:problem:no-stripe-credentials")


async def test_a_key_sent_again_with_another_key_is_another_command(office: Office) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first = await office.ask("rival.admin", "PUT", "/stripe-credentials", {"secret_key": a_key()}, **key)
    other = await office.ask("rival.admin", "PUT", "/stripe-credentials", {"secret_key": a_key()}, **key)
    assert (first.status_code, other.status_code) == (200, 422)


async def test_an_account_of_another_agency_is_refused_and_left_as_it_was(office: Office) -> None:
    """Each would take the other's money for its own."""
    endpoints = (await office.caller.get("webhook_endpoints", limit=100))["data"]
    refused = await office.register("rival", key=office.key)
    assert (refused.status_code, refused.json()["field"]) == (409, "secret_key")
    assert "acme" not in refused.text
    after = (await office.caller.get("webhook_endpoints", limit=100))["data"]
    assert [one["id"] for one in after] == [one["id"] for one in endpoints]


class _MayRegisterOnly(StripeAccount):
    """An account by a restricted key, which has no right to remove endpoints."""

    async def delete_webhook(self, webhook_id: str) -> None:
        raise StripeAuthenticationFailed(f"remove {webhook_id}: Stripe refused the agency's secret key")


class _RestrictedGateway(StripeGateway):
    def account(self, secret_key: str) -> StripeAccount:
        account = super().account(secret_key)
        account.__class__ = _MayRegisterOnly
        return account


async def test_an_endpoint_that_the_key_may_not_remove_is_left_to_people(office: Office) -> None:
    key = a_key()
    registered = (await office.register("rival", key=key)).json()
    gateway = _RestrictedGateway(base_url=office.stripe.url)
    service = StripeCredentialsService(office.world.database, gateway, "https://recoup.example", ())
    boss = Principal(uuid4(), "rival.admin", Role.AGENCY_ADMIN, office.world.agencies["rival"])
    form = StripeCredentialsForm(secret_key=key, webhook_secret="whsec_made_by_hand")
    answer = await service.put(boss, CommandKey("test"), form)
    await gateway.close()
    assert (answer.status, answer.body["webhook_ref"]) == (200, None)
    assert await office.secret("rival") == "whsec_made_by_hand"
    async with httpx.AsyncClient(auth=(key, ""), trust_env=False, timeout=60) as client:
        left = (await client.get(f"{office.stripe.url}/v1/webhook_endpoints")).json()["data"]
    assert [one["id"] for one in left] == [registered["webhook_ref"]]


async def test_a_rotated_key_is_used_soon(office: Office) -> None:
    """Both keys are of one account at Stripe; at the stand-in, they are of two, so that it can be seen."""
    brief = StripeAccounts(office.world.database, office.gateway, life_s=0.2)
    agency = office.world.agencies["rival"]
    await office.put_key("rival", a_key())
    before = await (await brief.of(agency)).account_id()
    await office.put_key("rival", a_key())

    async def used() -> bool:
        return await (await brief.of(agency)).account_id() != before

    await until(used, within_s=60, what="the new key to be used")
    lasting = StripeAccounts(office.world.database, office.gateway, life_s=600)
    known = await (await lasting.of(agency)).account_id()
    await office.put_key("rival", a_key())
    assert await (await lasting.of(agency)).account_id() == known
    lasting.forget(agency)
    assert await (await lasting.of(agency)).account_id() != known


async def test_seeding_twice_makes_one_endpoint(
    office: Office, host_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agencies = [DemoAgency(f"seeded{number}", "Seeded", ("Bank",)) for number in range(2)]
    monkeypatch.setattr("sandbox.seed.DEMO_AGENCIES", agencies)
    settings, services = office.world.settings, office.world.services
    for _ in range(2):
        seeded = await seed(settings, services, sftp_host_key=host_key)
    assert len(seeded) == 2
    for slug in seeded:
        key = STRIPE_KEY.format(slug=slug)
        async with httpx.AsyncClient(auth=(key, ""), trust_env=False, timeout=60) as client:
            endpoints = (await client.get(f"{office.stripe.url}/v1/webhook_endpoints")).json()["data"]
        assert [one["url"] for one in endpoints] == [f"{office.url}/payments/webhook/stripe/{slug}"]
