"""What Temporal keeps, as text: histories, descriptions, schedules; of payloads what can be read of them."""

import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.json_format import MessageToJson
from temporalio.api.common.v1 import Payload
from temporalio.client import Client

WORDS = frozenset({"note", "reason"})
_DATA = re.compile(r'"data":\s*"([^"]+)"')


def readable(message: Any) -> str:
    """A message of Temporal's with the data of its payloads as they were stored."""
    text = MessageToJson(message, ensure_ascii=False)
    stored = (base64.b64decode(found).decode("utf-8", "replace") for found in _DATA.findall(text))
    return "\n".join((text, *stored))


async def kept(client: Client) -> AsyncIterator[tuple[str, str]]:
    """Everything in the namespace, each by its place."""
    async for workflow in client.list_workflows():
        handle = client.get_workflow_handle(workflow.id, run_id=workflow.run_id)
        yield f"the description of {workflow.id}", readable((await handle.describe()).raw_description)
        async for event in handle.fetch_history_events():
            yield f"event {event.event_id} of {workflow.id}", readable(event)
    async for listed in await client.list_schedules():
        described = await client.get_schedule_handle(listed.id).describe()
        yield f"the schedule {listed.id}", readable(described.raw_description)


async def opened(client: Client) -> AsyncIterator[tuple[str, str]]:
    """What the payloads of all histories say to who has the keys, the words of commands left out."""
    codec = client.data_converter.payload_codec
    assert codec is not None
    async for workflow in client.list_workflows():
        handle = client.get_workflow_handle(workflow.id, run_id=workflow.run_id)
        async for event in handle.fetch_history_events():
            found: list[Payload] = []
            _collect(event, found)
            for payload in await codec.decode(found):
                yield f"event {event.event_id} of {workflow.id}", _without_words(payload.data)


def _without_words(data: bytes) -> str:
    """Why an account is held, moved or disputed is said in words, on the way to the account's workflow."""
    text = data.decode("utf-8", "replace")
    if not text.startswith('{"account":'):
        return text
    return json.dumps({name: value for name, value in json.loads(text).items() if name not in WORDS})


def _collect(message: Any, found: list[Payload]) -> None:
    if isinstance(message, Payload):
        found.append(message)
        return
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        if field.message_type.GetOptions().map_entry:
            values = list(value.values()) if field.message_type.fields_by_name["value"].message_type else []
        else:
            values = (
                list(value) if hasattr(value, "__len__") and not hasattr(value, "ListFields") else [value]
            )
        for one in values:
            _collect(one, found)
