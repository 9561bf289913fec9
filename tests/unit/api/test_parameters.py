"""Query parameters that an operation does not know."""

import re
from typing import Any

import httpx

from api.app import create_app
from runtime.settings import Settings


async def test_every_operation_refuses_others_than_its_schema_has() -> None:
    app: Any = create_app(Settings(_env_file=None))
    app.state.services = None
    wrong = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://recoup") as client:
        for path, operations in app.openapi()["paths"].items():
            for method, operation in operations.items():
                known = [item["name"] for item in operation.get("parameters", ()) if item["in"] == "query"]
                said = f"there are {', '.join(known)}" if known else "there are none here"
                somewhere = re.sub(r"\{.*?\}", "00000000-0000-0000-0000-000000000001", path)
                answer = await client.request(method, somewhere, params={"nobody_knows": "1"})
                if answer.json().get("detail") != f"nobody_knows: there is no such parameter; {said}":
                    wrong.append((method, path, answer.text))
    assert [path for _, path, _ in wrong if not path.startswith("/health/")] == []
