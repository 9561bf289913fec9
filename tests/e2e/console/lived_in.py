"""An agency in which something has happened: payments, a plan, breaks, so that no page is empty."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from sandbox.processes import until

DONE = {"completed", "failed"}
PORTFOLIO = "external_ref,debtor_name,original_amount\nMORE-1,Mona More,120.00\nMORE-2,Less Likely,-5.00\n"


@dataclass(frozen=True)
class LivedIn:
    """What there is one of, at least, by its id."""

    account: str
    payment: str
    plan: str
    broken: str
    run: str
    partner: str
    statement: str
    sync: str
    import_id: str
    line: str
    scoring_run: str
    user: str
    collector: str
    creditor: str
    source: str

    @property
    def paths(self) -> dict[str, str]:
        """Every page by the name that its picture has."""
        return {
            "dashboard": "/dashboard",
            "worklist": "/worklist",
            "accounts": "/accounts",
            "account": f"/accounts/{self.account}",
            "imports": "/imports",
            "import": f"/imports/{self.import_id}",
            "import-line": f"/imports/{self.import_id}/lines/{self.line}",
            "payments": "/payments",
            "payment": f"/payments/{self.payment}",
            "plans": "/plans",
            "plan": f"/plans/{self.plan}",
            "plans-upcoming": "/plans/upcoming",
            "breaks": "/reconciliation?state=open&state=proposed",
            "break": f"/breaks/{self.broken}",
            "reconciliation-runs": "/reconciliation/runs",
            "reconciliation-run": f"/reconciliation/runs/{self.run}",
            "reconciliation-stripe": "/reconciliation/stripe",
            "partners": "/reconciliation/partners",
            "partner": f"/reconciliation/partners/{self.partner}",
            "partner-new": "/reconciliation/partners/new",
            "partner-edit": f"/reconciliation/partners/{self.partner}/edit",
            "partner-statement": f"/reconciliation/statements/{self.statement}",
            "partner-sync": f"/reconciliation/syncs/{self.sync}",
            "scoring": "/scoring",
            "scoring-run": f"/scoring/runs/{self.scoring_run}",
            "fairness": "/scoring/fairness",
            "schedules": "/schedules",
            "exports": "/exports",
            "agency": "/settings/agency",
            "users": "/settings/users",
            "user": f"/settings/users/{self.user}",
            "collectors": "/settings/collectors",
            "collector": f"/settings/collectors/{self.collector}",
            "creditors": "/settings/creditors",
            "creditor": f"/settings/creditors/{self.creditor}",
            "sources": "/settings/sources",
            "source-new": "/settings/sources/new",
            "source": f"/settings/sources/{self.source}",
            "stripe": "/settings/stripe",
            "assignments": "/settings/assignments",
            "password": "/settings/password",
        }


async def live_in(client: httpx.AsyncClient) -> LivedIn:
    """Have things happen, as ``client``'s administrator."""

    async def done(method: str, path: str, body: Any = None) -> Any:
        headers = {"Idempotency-Key": uuid4().hex}
        answer = await client.request(method, path, json=body, headers=headers)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json()

    first, second, *others = (await done("GET", "/worklist?page_size=12"))["results"]
    for method, extra in (
        ("card", {"payment_method": "pm_card_visa"}),
        ("card", {"payment_method": "pm_card_chargeDeclined"}),
        ("check", {"reference": "no. 1017"}),
    ):
        body = {"account_id": second["id"], "amount": "25.00", "method": method, **extra}
        payment = await done("POST", "/payments", body)
    collectors = (await done("GET", "/collectors"))["results"]
    await done("POST", f"/accounts/{first['id']}/assign", {"collector_id": collectors[0]["id"]})
    for status in ("in_contact", "negotiating"):
        await done("POST", f"/accounts/{first['id']}/transition", {"new_status": status})
    today = datetime.now(UTC).date()
    agreed = {
        "instalments": 6,
        "frequency": "monthly",
        "first_due": str(today + timedelta(days=14)),
        "payment_method": "pm_card_visa",
        "agreed_on": str(today - timedelta(days=1)),
        "copy_sent_on": str(today - timedelta(days=1)),
    }
    plan = await done("POST", f"/accounts/{first['id']}/plans", agreed)
    await done("POST", f"/accounts/{first['id']}/notes", {"text": "Called back; wants it monthly."})
    partner = (await done("GET", "/partners"))["results"][0]
    said = {"status": "UNPAID", "processed_at": datetime.now(UTC).isoformat()}
    messages = [{"account_ref": one["external_ref"], "balance": "123.45", **said} for one in others]
    messages.append({"account_ref": "NL-0009999", "balance": "1.00", **said})
    await done("POST", f"/partners/{partner['id']}/messages", messages)
    run = await done("POST", f"/partners/{partner['id']}/reconciliations", {"scope": "messages"})

    sent = await client.post("/imports", files={"file": ("more-accounts.csv", PORTFOLIO)})
    imported = sent.raise_for_status().json()["id"]

    async def is_done() -> bool:
        jobs = [await done("GET", path) for path in (f"/reconciliations/{run['id']}", f"/imports/{imported}")]
        return all(job["status"] in DONE for job in jobs)

    await until(is_done, within_s=120, what="the reconciliation and the import to end")
    [refused] = (await done("GET", f"/imports/{imported}/errors"))["results"]
    newest = {name: (await done("GET", path))["results"][0]["id"] for name, path in _lists(partner).items()}
    return LivedIn(
        account=first["id"],
        payment=payment["id"],
        plan=plan["id"],
        run=run["id"],
        partner=partner["id"],
        import_id=imported,
        line=str(refused["line"]),
        collector=collectors[0]["id"],
        **newest,
    )


def _lists(partner: Any) -> dict[str, str]:
    return {
        "broken": "/breaks?state=open&min_value=1000",
        "statement": f"/partners/{partner['id']}/statements",
        "sync": f"/partners/{partner['id']}/syncs",
        "scoring_run": "/scoring/runs",
        "user": "/users",
        "creditor": "/creditors",
        "source": "/sftp-sources",
    }
