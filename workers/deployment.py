"""Preparing a Temporal namespace for the workers: search attributes and the current version."""

from typing import TYPE_CHECKING

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import Conflict
from workflows import attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from temporalio.client import Client

DEPLOYMENT = "recoup"
_KIND = "INDEXED_VALUE_TYPE_"
_ONLY_BY_ITS_OWNER = frozenset({RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED})
"""What Temporal Cloud answers, where search attributes are a setting of the namespace."""


async def ensure_search_attributes(client: "Client") -> None:
    """Add the search attributes that workflows set; safe to repeat.

    Raises ``Conflict`` when one is there with another type, which the server itself passes over.
    """
    wanted = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in attributes.ALL}
    known = await _search_attributes(client)
    if absent := {name: kind for name, kind in wanted.items() if name not in known}:
        await _add_search_attributes(client, absent)
        known = await _search_attributes(client)
    wrong = sorted(name for name, kind in wanted.items() if known.get(name) != kind)
    if wrong:
        raise Conflict(
            f"the namespace {client.namespace} has search attributes of another type: {', '.join(wrong)};"
            " remove them with `temporal operator search-attribute remove`"
        )


async def _search_attributes(client: "Client") -> "Mapping[str, IndexedValueType.ValueType]":
    found = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return found.custom_attributes


async def _add_search_attributes(
    client: "Client", absent: "Mapping[str, IndexedValueType.ValueType]"
) -> None:
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=absent)
        )
    except RPCError as error:
        if error.status in _ONLY_BY_ITS_OWNER:
            named = ", ".join(
                f"{name} ({IndexedValueType.Name(kind).removeprefix(_KIND).title()})"
                for name, kind in sorted(absent.items())
            )
            raise Conflict(
                f"the namespace {client.namespace} lacks search attributes that we may not add: {named};"
                " add them in Temporal Cloud's settings of the namespace"
            ) from error
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise


async def make_current(client: "Client", build_id: str) -> None:
    """Make a build the current version of the deployment, before its workers poll; safe to repeat.

    For development; in production the rollout does it, when the new workers are seen to be well.
    """
    await client.workflow_service.set_worker_deployment_current_version(
        SetWorkerDeploymentCurrentVersionRequest(
            namespace=client.namespace,
            deployment_name=DEPLOYMENT,
            build_id=build_id,
            identity=client.identity,
            allow_no_pollers=True,
        )
    )
