"""What partners are sent: over HTTPS and SFTP, after scoring and on demand, and what never counts as sent."""

import csv
import hashlib
import io
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from sandbox.processes import until
from tests.integration.partners.endpoint import SECRET, Endpoint
from tests.integration.partners.office import Json, PartnerOffice

FIELDS = ["debtor_id", "account_ref", "risk_score", "internal_balance", "internal_status", "processed_at"]


@pytest.fixture(scope="module")
async def stocked(office: PartnerOffice) -> PartnerOffice:
    """An office with five accounts, all of which are of high priority once a run says so."""
    await office.accounts(5, "1500.00")
    return office


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    await made.start()
    yield made
    await made.stop()


async def https(office: PartnerOffice, endpoint: Endpoint, **changes: Any) -> Json:
    way = {"delivery": "https", "delivery_url": endpoint.url, "signing_secret": SECRET}
    return await office.partner(**way, **changes)


async def scored(office: PartnerOffice) -> Json:
    """A run over all accounts, after which each is of high priority."""
    run = await office.done("POST", "/scoring/runs", {"threshold": "0"})

    async def over() -> bool:
        return bool((await office.done("GET", f"/scoring/runs/{run['id']}"))["status"] == "completed")

    await until(over, within_s=30, what="the scoring run to end")
    return await office.done("GET", f"/scoring/runs/{run['id']}")


async def leave(office: PartnerOffice, partner: Json) -> None:
    """Let a partner be sent nothing more, so that it disturbs no other test."""
    await office.done("PATCH", f"/partners/{partner['id']}", {"active": False})


async def ended(office: PartnerOffice, sync_id: str, within_s: float = 30) -> Json:
    async def over() -> bool:
        return (await office.done("GET", f"/syncs/{sync_id}"))["status"] in {"completed", "failed"}

    await until(over, within_s=within_s, what="the sending to end")
    return await office.done("GET", f"/syncs/{sync_id}", who="acme.auditor")


async def first(office: PartnerOffice, partner: Json) -> Json:
    """The first sending to a partner, once it has ended."""
    found: list[Json] = []

    async def there() -> bool:
        found[:] = (await office.done("GET", f"/partners/{partner['id']}/syncs"))["results"]
        return bool(found)

    await until(there, within_s=30, what="a sending")
    [listed] = found
    return await ended(office, listed["id"])


async def sent(office: PartnerOffice, partner: Json, **body: Any) -> Json:
    """A sending that was asked for, once it has ended."""
    started = await office.ask("acme.admin", "POST", f"/partners/{partner['id']}/syncs", body)
    assert started.status_code == 202, started.text
    return await ended(office, started.json()["id"])


async def known(office: PartnerOffice, partner: Json) -> list[Any]:
    return await office.query(
        "SELECT a.external_ref, p.reference, p.sent_at, p.sent_as_of FROM partner_account p"
        " JOIN account a ON a.id = p.account_id WHERE p.partner_id = :partner ORDER BY 1",
        partner=partner["id"],
    )


async def test_a_scoring_run_sends_each_partner_its_accounts_of_high_priority(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    harbor = await stocked.done("POST", "/creditors", {"name": "Harbor Bank"})
    dear = [await stocked.account("2500.00", creditor_id=harbor["id"]) for _ in range(2)]
    default = (await stocked.shown((await stocked.accounts(1, "1500.00"))[0]))["creditor"]
    by_https = await https(stocked, endpoint, creditor_ids=[default["id"]])
    by_sftp = await stocked.partner(delivery="sftp", creditor_ids=[harbor["id"]])
    silent = await stocked.partner()
    run = await scored(stocked)
    partners = {partner["delivery"]: await first(stocked, partner) for partner in (by_https, by_sftp)}
    assert (await stocked.done("GET", f"/partners/{silent['id']}/syncs"))["results"] == []
    await leave(stocked, by_https)
    await leave(stocked, by_sftp)

    assert sum(sync["total"] for sync in partners.values()) == run["high_priority"] >= 8
    for delivery, sync in partners.items():
        assert (sync["origin"], sync["scoring_run_id"], sync["delivery"]) == ("scoring", run["id"], delivery)
        assert sync["total"] == sync["delivered"]
        [batch] = sync["batches"]
        assert (batch["status"], batch["attempts"], batch["items"]) == ("delivered", 1, sync["total"])
    [delivery] = endpoint.deliveries
    sync = partners["https"]
    assert delivery.key == delivery.headers["webhook-id"] == f"{sync['id']}-1"
    assert delivery.headers["content-type"] == "application/json"
    assert sync["batches"][0]["sha256"] == hashlib.sha256(delivery.body).hexdigest()
    assert (sync["batches"][0]["target"], sync["batches"][0]["answer"]) == (endpoint.url, "200: said 200")
    by_https_accounts = delivery.accounts
    assert [list(account) for account in by_https_accounts] == [FIELDS] * sync["total"]
    rows = await stocked.query(
        "SELECT a.debtor_id::text, a.external_ref, s.total, a.balance::text, a.status FROM account_score s"
        " JOIN account a ON a.id = s.account_id WHERE s.queued AND s.high_priority AND a.creditor_id = :other"
        " ORDER BY s.rank DESC, a.id",
        other=default["id"],
    )
    assert [tuple(account.values())[:5] for account in by_https_accounts] == [tuple(row) for row in rows]

    name = f"accounts-{partners['sftp']['id']}-1.csv"
    assert stocked.lying(by_sftp, "to-partner") == [name]
    raw = (stocked.folder(by_sftp["name"]) / "to-partner" / name).read_bytes()
    assert partners["sftp"]["batches"][0]["sha256"] == hashlib.sha256(raw).hexdigest()
    assert partners["sftp"]["batches"][0]["target"] == f"/partners/{by_sftp['name']}/to-partner/{name}"
    written = list(csv.DictReader(io.StringIO(raw.decode())))
    assert {row["account_ref"] for row in written} == {account["external_ref"] for account in dear}
    for partner, sync in ((by_https, partners["https"]), (by_sftp, partners["sftp"])):
        assert len(await known(stocked, partner)) == sync["total"]
    untold = await stocked.query("SELECT count(*) FROM high_priority_notice WHERE delivered_at IS NULL")
    assert untold[0][0] == 0


async def test_only_what_has_changed_since_is_sent_where_that_is_asked_for(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    partner = await https(stocked, endpoint)
    whole = await sent(stocked, partner, changed_only=True)
    await stocked.query(
        "UPDATE partner_account SET sent_as_of = now() + interval '1 hour' WHERE partner_id = :p",
        p=partner["id"],
    )
    second = await sent(stocked, partner, changed_only=True)
    await stocked.query(
        "UPDATE partner_account SET sent_as_of = '2020-01-01' WHERE partner_id = :p AND account_id ="
        " (SELECT max(account_id::text)::uuid FROM partner_account WHERE partner_id = :p)",
        p=partner["id"],
    )
    third = await sent(stocked, partner, changed_only=True)
    everything = await sent(stocked, partner)
    totals = [sync["total"] for sync in (whole, second, third, everything)]
    assert totals == [whole["total"], 0, 1, whole["total"]]
    assert whole["total"] >= 5
    assert second["batches"] == []
    assert {sync["status"] for sync in (whole, second, third, everything)} == {"completed"}
    kept = await stocked.query(
        "SELECT DISTINCT sync_id::text FROM partner_sync_item i JOIN partner_sync s ON s.id = i.sync_id"
        " WHERE s.partner_id = :p",
        p=partner["id"],
    )
    assert [row[0] for row in kept] == [everything["id"]]
    await leave(stocked, partner)


async def test_a_partner_that_fails_after_taking_a_batch_gets_the_same_bytes_under_the_same_key(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    partner = await https(stocked, endpoint)
    endpoint.answers = ["500", "cut", "503"]
    sync = await sent(stocked, partner)
    await leave(stocked, partner)
    assert (sync["status"], sync["delivered"]) == ("completed", sync["total"])
    [batch] = sync["batches"]
    assert (batch["attempts"], batch["last_problem"]) == (4, None)
    assert set(endpoint.keys) == {f"{sync['id']}-1"}
    assert len({delivery.body for delivery in endpoint.deliveries}) == 1
    assert len(endpoint.deliveries) == 4
    times = [int(delivery.headers["webhook-timestamp"]) for delivery in endpoint.deliveries]
    assert times == sorted(times)


async def test_what_goes_wrong_is_on_record_while_it_is_tried_again(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    partner = await https(stocked, endpoint)
    endpoint.answers = ["429 2", "held"]
    started = await stocked.ask("acme.admin", "POST", f"/partners/{partner['id']}/syncs")
    path = f"/syncs/{started.json()['id']}"

    async def troubled() -> bool:
        batches = (await stocked.done("GET", path))["batches"]
        return bool(batches) and batches[0]["last_problem"] is not None

    await until(troubled, within_s=60, what="the first attempt to fail")
    shown = await stocked.done("GET", path)
    assert (shown["status"], shown["delivered"]) == ("running", 0)
    assert shown["batches"][0]["last_problem"] == "127.0.0.1: answered 429"
    assert await known(stocked, partner) == []
    endpoint.released.set()
    over = await ended(stocked, shown["id"])
    await leave(stocked, partner)
    assert over["status"] == "completed"
    before, after = (int(delivery.headers["webhook-timestamp"]) for delivery in endpoint.deliveries)
    assert after - before >= 2


@pytest.mark.parametrize("answer", ["400", "401", "302", "413"])
async def test_what_a_partner_refuses_is_not_sent_again_and_never_counts(
    stocked: PartnerOffice, endpoint: Endpoint, answer: str
) -> None:
    partner = await https(stocked, endpoint)
    endpoint.answers = [answer]
    sync = await sent(stocked, partner)
    await leave(stocked, partner)
    assert (sync["status"], sync["delivered"], len(endpoint.deliveries)) == ("failed", 0, 1)
    assert sync["total"] >= 5
    [batch] = sync["batches"]
    assert (batch["status"], batch["attempts"], batch["delivered_at"]) == ("failed", 1, None)
    assert answer in batch["last_problem"]
    assert sync["reason"].startswith("1 of 1 batches were not delivered: ")
    assert await known(stocked, partner) == []


async def test_a_server_that_cannot_be_logged_in_to_fails_the_sending(stocked: PartnerOffice) -> None:
    partner = await stocked.partner(delivery="sftp")
    source = await stocked.query("SELECT host_key FROM sftp_source WHERE id = :id", id=stocked.source_id)
    path = f"/sftp-sources/{stocked.source_id}"
    await stocked.done("PATCH", path, {"password": "changed"})
    try:
        sync = await sent(stocked, partner)
    finally:
        await stocked.done("PATCH", path, {"password": "demo"})
    await leave(stocked, partner)
    assert source
    assert (sync["status"], sync["delivered"]) == ("failed", 0)
    assert "refused the login" in sync["reason"]


async def test_who_is_sent_nothing_cannot_be_sent_anything(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    none = await stocked.partner()
    left = await https(stocked, endpoint, active=False)
    for partner in (none, left):
        answer = await stocked.ask("acme.admin", "POST", f"/partners/{partner['id']}/syncs", {})
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:recoup:problem:partner-not-served")
    missing = await stocked.ask("acme.admin", "POST", f"/partners/{uuid4()}/syncs", {})
    rival = await stocked.ask("rival.admin", "POST", f"/partners/{none['id']}/syncs", {})
    assert (missing.status_code, rival.status_code) == (404, 404)


async def test_a_key_starts_one_sending_and_other_agencies_see_none(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    partner = await https(stocked, endpoint)
    key = {"Idempotency-Key": uuid4().hex}
    path = f"/partners/{partner['id']}/syncs"
    once = await stocked.ask("acme.admin", "POST", path, {}, **key)
    again = await stocked.ask("acme.admin", "POST", path, {}, **key)
    assert once.json() == again.json()
    sync = await ended(stocked, once.json()["id"])
    await leave(stocked, partner)
    assert endpoint.keys == [f"{sync['id']}-1"]
    assert [row["id"] for row in (await stocked.done("GET", path))["results"]] == [sync["id"]]
    assert (await stocked.ask("rival.admin", "GET", f"/syncs/{sync['id']}")).status_code == 404
    assert (await stocked.ask("rival.admin", "GET", path)).status_code == 404
    records = await stocked.query(
        "SELECT actor, action FROM audit_record WHERE entity = 'partner_sync' AND entity_id = :id",
        id=sync["id"],
    )
    assert [tuple(row) for row in records] == [("acme.admin", "partner_sync.started")]
    assert json.dumps(sync).count("whsec") == 0
    assert UUID(sync["id"])


async def test_what_was_not_delivered_is_sent_again_when_somebody_asks_for_it(
    stocked: PartnerOffice, endpoint: Endpoint
) -> None:
    partner = await https(stocked, endpoint)
    endpoint.answers = ["400"]
    failed = await sent(stocked, partner)
    path, key = f"/syncs/{failed['id']}/retry", {"Idempotency-Key": uuid4().hex}
    assert (failed["status"], failed["delivered"]) == ("failed", 0)
    taken_up = await stocked.ask("acme.admin", "POST", path, **key)
    assert (taken_up.status_code, taken_up.json()["status"], taken_up.json()["reason"]) == (
        202,
        "running",
        None,
    )
    over = await ended(stocked, failed["id"])
    again = await stocked.ask("acme.admin", "POST", path, **key)
    late = await stocked.ask("acme.admin", "POST", path)
    await leave(stocked, partner)
    assert (over["status"], over["delivered"], over["total"]) == (
        "completed",
        failed["total"],
        failed["total"],
    )
    assert [delivery.key for delivery in endpoint.deliveries] == [f"{failed['id']}-1"] * 2
    assert len({delivery.body for delivery in endpoint.deliveries}) == 1
    assert (over["batches"][0]["attempts"], over["batches"][0]["last_problem"]) == (2, None)
    assert again.json() == taken_up.json()
    assert (late.status_code, late.json()["type"]) == (409, "urn:recoup:problem:partner-sync-not-retried")
    records = await stocked.query(
        "SELECT old FROM audit_record WHERE action = 'partner_sync.retried' AND entity_id = :id",
        id=failed["id"],
    )
    assert [row[0]["reason"] for row in records] == [failed["reason"]]
