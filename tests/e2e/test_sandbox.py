"""What a newcomer sees: one command, a creditor's file, workable accounts; Ctrl-C; and again."""

import asyncio
import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import asyncssh
import httpx
import pytest

from domain.money import CENT
from tests.e2e import guides
from tests.e2e.conftest import Sandbox

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


async def _until(client: httpx.AsyncClient, path: str, **wanted: object) -> dict[str, object]:
    """The newest entry of a list, once it is as wanted."""
    async with asyncio.timeout(120):
        while True:
            results = (await client.get(path)).raise_for_status().json()["results"]
            if results and all(results[0][name] == value for name, value in wanted.items()):
                return dict(results[0])
            await asyncio.sleep(0.1)


async def test_a_file_through_the_sftp_door_becomes_workable_accounts(
    running: Sandbox, tmp_path: Path
) -> None:
    portfolio = tmp_path / "placements.csv"
    portfolio.write_text(
        "external_ref,debtor_name,original_amount,debtor_email,monthly_income,employment_status\n"
        "E2E-1,Ada Lovelace,999999.00,ada@example.com,1000,UNEMPLOYED\n"
        "E2E-2,Zed,-1,,,\n"
    )
    code, output = await running.run("sftp-upload", str(portfolio))
    assert code == 0, output

    async with running.log_in("demo.admin", "Demo@2026") as client:
        polled = await client.post("/imports/poll")
        assert polled.status_code == 202
        job = await _until(client, "/imports", file_name="placements.csv", phase="done")
        assert (job["status"], job["processed_ok"], job["processed_errors"]) == ("completed", 1, 1)
        errors = (await client.get(f"/imports/{job['id']}/errors")).json()["results"]
        assert [(e["line"], e["column"], e["value"]) for e in errors] == [(3, "original_amount", "-1")]

        account = await _until(client, "/accounts?search=e2e-1", external_ref="E2E-1", risk_level="HIGH")
        assert account["current_balance"] == "999999.00"
        assert account["priority"] == 3
        best = (await client.get("/accounts?ordering=-priority_score&page_size=1")).json()["results"][0]
        assert best["id"] == account["id"]
        events = (await client.get(f"/accounts/{account['id']}/timeline/")).json()["results"]
        assert [event["kind"] for event in events] == ["import"]

    async with running.log_in("rival.admin", "Demo@2026") as rival:
        assert (await rival.get(f"/accounts/{account['id']}")).status_code == 404
        assert (await rival.get("/accounts?search=e2e-1")).json()["results"] == []


async def test_the_samples_are_in_and_the_best_of_them_have_their_workflow(running: Sandbox) -> None:
    async with running.log_in("demo.admin", "Demo@2026") as client:
        results = (await client.get("/imports?page_size=50")).json()["results"]
        samples = [job for job in results if job["file_name"] != "placements.csv"]
        assert len(samples) == 3
        assert {job["status"] for job in samples} == {"completed"}
        page = (await client.get("/accounts?ordering=-priority_score&page_size=20")).json()["results"]
        [best, *_] = [account for account in page if not account["external_ref"].startswith("E2E")]
        workflow = (await client.get(f"/accounts/{best['id']}/workflow")).json()
        assert workflow["status"] == "running"
        assert workflow["state"] == best["status"] == "assigned"
        assert workflow["next"][0]["at"] > best["created_at"]
    async with httpx.AsyncClient(base_url=running.api.removesuffix("/api/v1"), timeout=30) as client:
        # What a busy machine does not answer within two seconds counts as away: it is asked again.
        async with asyncio.timeout(60):
            while (ready := await client.get("/health/ready")).status_code != 200:
                await asyncio.sleep(0.1)
        assert ready.json()["ready"] is True


async def test_the_partner_of_each_agency_is_sent_what_is_of_high_priority(running: Sandbox) -> None:
    async with running.log_in("demo.admin", "Demo@2026") as client:
        [partner] = (await client.get("/partners")).json()["results"]
        assert (partner["name"], partner["delivery"]) == ("northgate", "sftp")
        sync = await _until(client, f"/partners/{partner['id']}/syncs", status="completed")
    assert sync["delivered"] == sync["total"] != 0
    async with running.log_in("rival.admin", "Demo@2026") as rival:
        [other] = (await rival.get("/partners")).json()["results"]
    assert other["name"] == "southgate"


async def test_a_partner_is_told_answers_and_is_reconciled_with(running: Sandbox) -> None:
    """From the file that the partner is sent to its next statement, which cures what it has mended."""
    async with (
        running.log_in("demo.admin", "Demo@2026") as admin,
        running.log_in("demo.manager", "Demo@2026") as manager,
        running.sftp("demo") as folder,
    ):
        [partner] = (await admin.get("/partners")).json()["results"]
        sent = await _paid_since(admin, await _sent(admin, folder, partner))
        taken, mistaken, *others = sent.items()
        half = (taken[1] / 2).quantize(CENT)
        said = [*((ref, balance, "UNPAID") for ref, balance in others), (taken[0], half, "PARTIAL")]

        monday = await _reconciled(admin, folder, partner, [*said, (mistaken[0], Decimal(0), "UNPAID")])
        assert (monday["status"], monday["matched"], monday["breaks"]) == ("completed", len(sent), 2)
        breaks = (await admin.get(f"/reconciliations/{monday['id']}/breaks")).json()["results"]
        [less] = [one for one in breaks if one["account_ref"] == taken[0]]
        assert (less["kind"], less["ours"], less["theirs"]) == ("balance", f"{taken[1]:.2f}", f"{half:.2f}")
        assert {one["account_ref"] for one in breaks} == {taken[0], mistaken[0]}

        path, how = f"/breaks/{less['id']}", {"resolution": "accept_theirs", "note": "they sent the receipt"}
        assert (await admin.post(f"{path}/resolve", json=how)).status_code == 409, "above the limit"
        (await admin.post(f"{path}/propose", json=how)).raise_for_status()
        assert (await admin.post(f"{path}/approve")).status_code == 403, "one's own"
        resolved = (await manager.post(f"{path}/approve")).raise_for_status().json()
        assert (resolved["state"], resolved["resolved_by"]) == ("resolved", "demo.manager")
        assert resolved["journal_id"] is not None
        account = (await admin.get(f"/accounts/{less['account_id']}")).json()
        assert account["current_balance"] == f"{half:.2f}"

        tuesday = await _reconciled(admin, folder, partner, [*said, (*mistaken, "UNPAID")])
        assert (tuesday["status"], tuesday["breaks"], tuesday["cured"]) == ("completed", 0, 1)
        queue = await admin.get(f"/breaks?partner_id={partner['id']}&state=open&state=proposed")
        assert queue.json()["results"] == []
        report = await admin.get(f"/reconciliations/{monday['id']}/report", headers={"Accept": "text/csv"})
        rows = list(csv.DictReader(io.StringIO(report.text)))
        assert {row["resolution"] for row in rows} == {"accept_theirs", "cured"}


async def _sent(
    client: httpx.AsyncClient, folder: asyncssh.SFTPClient, partner: dict[str, object]
) -> dict[str, Decimal]:
    """Balances by reference, as all files that the partner was sent have them, the newest last."""
    async with asyncio.timeout(120):
        while True:
            syncs = (await client.get(f"/partners/{partner['id']}/syncs?page_size=100")).json()["results"]
            if syncs and {sync["status"] for sync in syncs} == {"completed"}:
                break
            await asyncio.sleep(0.1)
    balances = {}
    for name in sorted(await folder.listdir("/partners/northgate/to-partner")):
        if name.endswith(".csv"):
            async with folder.open(f"/partners/northgate/to-partner/{name}") as file:
                rows = csv.DictReader(io.StringIO(await file.read()))
            balances.update({row["account_ref"]: Decimal(row["internal_balance"]) for row in rows})
    return balances


async def _paid_since(client: httpx.AsyncClient, sent: dict[str, Decimal]) -> dict[str, Decimal]:
    """The balances as they are: some checks were cashed after the accounts were sent."""
    balances = dict(sent)
    for payment in (await client.get("/payments?page_size=500")).json()["results"]:
        account = (await client.get(f"/accounts/{payment['account_id']}")).json()
        if account["external_ref"] in balances:
            balances[account["external_ref"]] = Decimal(account["current_balance"])
    return balances


async def _reconciled(
    client: httpx.AsyncClient,
    folder: asyncssh.SFTPClient,
    partner: dict[str, object],
    lines: list[tuple[str, Decimal, str]],
) -> dict[str, object]:
    """Put a statement into the partner's folder, and compare it with the books."""
    at = datetime.now(UTC).isoformat()
    text = "".join(f"{ref},{balance},{status},{at}\n" for ref, balance, status in lines)
    async with folder.open("/partners/northgate/statement.csv", "w") as file:
        await file.write(f"account_ref,balance,status,processed_at\n{text}")
    run = (await client.post(f"/partners/{partner['id']}/reconciliations")).raise_for_status().json()
    async with asyncio.timeout(120):
        while run["status"] in {"pending", "running"}:
            await asyncio.sleep(0.1)
            run = (await client.get(f"/reconciliations/{run['id']}")).raise_for_status().json()
    return dict(run)


async def test_the_books_are_sound(running: Sandbox) -> None:
    code, output = await running.run("audit", "ledger")
    assert code == 0, output
    assert output.startswith("every balance equals its postings: checked ")


@pytest.mark.parametrize(("page", "section"), [("README.md", "Try it"), ("docs/api.md", "")])
async def test_the_examples_of_the_documents_do_as_they_say(
    running: Sandbox, tmp_path: Path, page: str, section: str
) -> None:
    script = guides.examples(page, section)
    answered, printed = await guides.carry_out(script, running, tmp_path)
    promised = guides.said(script) or [set(range(200, 400))] * len(answered)
    assert answered, "nothing was asked"
    assert len(answered) == len(promised), printed
    odd = [status for status, either in zip(answered, promised, strict=True) if status not in either]
    assert odd == [], (answered, guides.refusals(printed))
