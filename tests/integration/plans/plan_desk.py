"""Where plans are made over REST, as an agency's people make them, and what became of them everywhere."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
from temporalio.client import WorkflowHandle

from sandbox.processes import until
from tests.integration.payments.till import Json, Till
from workflows.queues import plan_workflow_id

DAY = timedelta(days=1)
ZONE = ZoneInfo("America/New_York")


def today() -> date:
    """The date where the agency is."""
    return datetime.now(ZONE).date()


@dataclass
class PlanDesk:
    """Plans on accounts of one agency."""

    till: Till

    async def debt(self, amount: str = "300.00", status: str = "negotiating") -> Json:
        return await self.till.debt(amount, status=status)

    async def post(
        self, path: str, body: Any = None, who: str = "acme.admin", **headers: str
    ) -> httpx.Response:
        return await self.till.ask(who, "POST", path, body, **headers)

    async def get(self, path: str, who: str = "acme.admin") -> Any:
        answer = await self.till.ask(who, "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ask(
        self, account: Json, who: str = "acme.admin", *, preview: bool = False, key: str = "", **terms: Any
    ) -> httpx.Response:
        """Ask for a plan: three monthly instalments that the debtor pays by hand, or as it is said."""
        body = {
            "instalments": 3,
            "frequency": "monthly",
            "first_due": (today() + 10 * DAY).isoformat(),
            "agreed_on": today().isoformat(),
        } | terms
        body = {name: value for name, value in body.items() if value is not None}
        path = f"/accounts/{account['id']}/plans{'?preview=true' if preview else ''}"
        headers = {"Idempotency-Key": key} if key else {}
        return await self.post(path, body, who, **headers)

    async def made(self, account: Json, **terms: Any) -> Json:
        answer = await self.ask(account, **terms)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def charged(self, account: Json, payment_method: str = "pm_card_visa", **terms: Any) -> Json:
        """A plan that is charged to a card, or to a bank account."""
        sent = {"payment_method": payment_method, "copy_sent_on": today().isoformat()}
        return await self.made(account, **sent | terms)

    async def tell(
        self, plan: Json, what: str, body: Any = None, *, status: int = 200, who: str = "acme.admin"
    ) -> Json:
        answer = await self.post(f"/plans/{plan['id']}/{what}", body, who)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    async def plan(self, plan: Json) -> Json:
        return dict(await self.get(f"/plans/{plan['id']}"))

    async def stands(self, plan: Json, within_s: float = 60, **wanted: Any) -> Json:
        """The plan, once it stands so; ``instalments`` are the statuses of its instalments."""

        async def there() -> bool:
            return shown(await self.plan(plan), wanted) == wanted

        try:
            await until(there, within_s=within_s, what=f"the plan to be {wanted}")
        except TimeoutError:
            assert shown(await self.plan(plan), wanted) == wanted
        return await self.plan(plan)

    async def account(self, account: Json) -> tuple[str, str]:
        """Status and balance."""
        found = await self.get(f"/accounts/{account['id']}")
        return found["status"], found["current_balance"]

    async def events(self, account: Json, kind: str = "plan") -> list[str]:
        rows = (await self.get(f"/accounts/{account['id']}/timeline?page_size=200"))["results"]
        return [row["description"] for row in reversed(rows) if row["kind"] == kind]

    def workflow(self, plan: Json) -> WorkflowHandle[Any, Any]:
        return self.till.temporal.get_workflow_handle(plan_workflow_id(UUID(plan["id"])))


def shown(plan: Json, names: Any) -> Json:
    """What a plan says under these names."""
    found = {name: plan[name] for name in names}
    if "instalments" in found:
        found["instalments"] = [one["status"] for one in plan["instalments"]]
    return found


def key() -> str:
    return uuid4().hex
