"""Plain HTTP to the Stripe stand-in, where a test looks at what the library does not show."""

from typing import Any

import httpx

from sandbox.processes import until
from sandbox.stripe.server import StripeServer

Json = dict[str, Any]


class Caller:
    """One agency's way to the stand-in."""

    def __init__(self, server: StripeServer, key: str) -> None:
        self.server = server
        self.client = httpx.AsyncClient(
            base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=60
        )

    async def post(self, path: str, key: str | None = None, /, **data: Any) -> httpx.Response:
        """A command, its parameters written as forms are: ``metadata[a]`` as ``metadata__a``."""
        form = {_bracketed(name): value for name, value in data.items()}
        return await self.client.post(
            f"/v1/{path}", data=form, headers={"Idempotency-Key": key} if key else {}
        )

    async def get(self, path: str, **params: Any) -> Json:
        """An answer that is no error."""
        answer = await self.client.get(f"/v1/{path}", params={_bracketed(n): v for n, v in params.items()})
        return dict(answer.raise_for_status().json())

    async def done(self, path: str, key: str | None = None, /, **data: Any) -> Json:
        """The answer to a command that is no error."""
        return dict((await self.post(path, key, **data)).raise_for_status().json())

    async def refused(self, path: str, key: str | None = None, **data: Any) -> tuple[int, Json]:
        """Status and error of a command that is refused."""
        answer = await self.post(path, key, **data)
        assert answer.status_code >= 400
        return answer.status_code, answer.json()["error"]

    async def control(self, path: str, /, **body: Any) -> Json:
        """A command to the sandbox itself."""
        answer = await self.client.post(f"/sandbox/{path}", json=body)
        return dict(answer.raise_for_status().json())

    async def listens(self) -> None:
        """Wait until the stand-in answers."""

        async def answers() -> bool:
            try:
                return (await self.client.get("/")).status_code == 200
            except httpx.TransportError:
                return False

        await until(answers, within_s=60, what="the stand-in to answer")

    async def met_fault(self) -> None:
        """Wait until a request met the fault that was switched on last."""

        async def met() -> bool:
            return bool(self.server.faults.all[-1].hits)

        await until(met, within_s=60, what="a request to meet the fault")

    async def paid(self, amount: int = 1000, method: str = "pm_card_visa", **more: Any) -> Json:
        """A payment intent that was confirmed at once."""
        return await self.done(
            "payment_intents", amount=amount, currency="usd", confirm="true", payment_method=method, **more
        )

    async def debited(self, method: str, amount: int = 1000) -> Json:
        """A bank debit under way."""
        mandate = {"mandate_data__customer_acceptance__type": "offline"}
        return await self.paid(amount, method, payment_method_types__0="us_bank_account", **mandate)


def _bracketed(name: str) -> str:
    first, *rest = name.split("__")
    return first + "".join(f"[{part}]" for part in rest)
