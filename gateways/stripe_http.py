"""The Stripe library's HTTP over a client of ours: for its limits, and for errors that say what happened."""

from collections.abc import Mapping
from typing import Any, Final

import httpx
import stripe

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class HttpClient(stripe.HTTPClient):
    """Async only; ``proxies``: those of the environment take part."""

    name = "httpx"

    def __init__(self, timeout: httpx.Timeout, limits: httpx.Limits, *, proxies: bool) -> None:
        super().__init__()
        self._client = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=proxies)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One request, once. Raises ``stripe.APIConnectionError`` caused by what httpx saw."""
        try:
            answer = await self._client.request(method, url, headers=dict(headers), content=post_data)
        except httpx.HTTPError as error:
            unanswered: Any = stripe.APIConnectionError
            raise unanswered("no answer from Stripe") from error
        return answer.content, answer.status_code, answer.headers

    async def close_async(self) -> None:
        """Close every connection."""
        await self._client.aclose()
