"""Taking away what an agency was given: its rows, and the workflows that run for them."""

import asyncio
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from sandbox import bulk_tables
from workflows import attributes, queues
from workflows.accounts import AccountLifecycle

CLEARED = (
    "figures",
    "account_figure",
    "daily_figure",
    "high_priority_notice",
    "scoring_error",
    "scoring_chunk",
    "scoring_run",
    "assignment_run",
    "account_score_history",
    "account_score",
    "account_search",
    "timeline_event",
    "account_milestone",
    "lifecycle_notice",
    "contact",
    "contact_preference",
    "compliance_chain",
    "compliance_decision",
    "partner_message",
    "break_proposal",
    "partner_run_break",
    "reconciliation_break",
    "payment_match",
    "partner_account",
    "partner_assignment",
    "statement_line",
    "statement",
    "partner_reconciliation",
    "partner_sync_item",
    "partner_batch",
    "partner_sync",
    "processor_item",
    "inbox_event",
    "payment_reconciliation",
    "chargeback",
    "refund",
    "payment",
    "plan_instalment",
    "payment_plan",
    "settlement_offer",
    "dispute",
    "promise",
    "hold",
    "posting",
    "import_refusal",
    "import_error",
    "import_bucket",
    "import_job",
    "export_job",
    "account",
    "journal",
    "debtor_search",
    "debtor",
)
"""Tables that are emptied of an agency, each before those that it refers to."""

KEPT = (
    "app_user",
    "audit_record",
    "collector",
    "command",
    "creditor",
    "partner",
    "partner_rules",
    "sftp_source",
    "stripe_credentials",
)
"""What an agency keeps: who works there and for whom, from where files come, and what was ever done."""

REASON = "its data is cleared by recoup generate --clear"
_AT_ONCE = 32


async def delete_rows(connection: AsyncConnection[Any], agency_id: UUID) -> dict[str, int]:
    """Delete an agency's rows; how many by table. Foreign keys are set aside by the caller."""
    removed = {}
    for table in CLEARED:
        deleted = await connection.execute(
            SQL("DELETE FROM {} WHERE agency_id = %s").format(Identifier(table)), [agency_id]
        )
        removed[table] = deleted.rowcount
    return removed


async def begin_afresh(connection: AsyncConnection[Any], agency_id: UUID, *, clear: bool) -> dict[str, int]:
    """Empty the tables and put back what stays, where that is the lesser part; rows removed, by table.

    Without ``clear``, all rows stay. What is written into an emptied table need not be logged first, where
    the server's ``wal_level`` is minimal. The caller has the tables to itself.
    """
    removed, staying = {}, []
    for table in CLEARED:
        name = Identifier(table)
        count = SQL("SELECT count(*) FILTER (WHERE agency_id = %s), count(*) FROM {}").format(name)
        found = await (await connection.execute(count, [agency_id])).fetchone()
        mine, everybodys = found or (0, 0)
        removed[table] = mine * clear
        if everybodys > removed[table]:
            staying.append(table)
            keep = SQL(
                "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS"
                " SELECT {} FROM {} WHERE NOT (%s AND agency_id = %s)"
            ).format(Identifier(f"kept_{table}"), await _columns(connection, table), name)
            await connection.execute(keep, [clear, agency_id])
    await connection.execute(SQL("TRUNCATE {}").format(SQL(", ").join(map(Identifier, CLEARED))))
    for table in staying:
        names = await _columns(connection, table)
        await connection.execute(
            SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}").format(
                Identifier(table), names, names, Identifier("pg_temp", f"kept_{table}")
            )
        )
    return removed


async def drop_staging(connection: AsyncConnection[Any], agency_id: UUID) -> None:
    """Remove the staging tables of an agency's imports that were still at work."""
    imports = await connection.execute("SELECT id FROM import_job WHERE agency_id = %s", [agency_id])
    ids = [row[0] for row in await imports.fetchall()]
    at_work = await connection.execute(
        "SELECT import_id FROM staging.cursor WHERE import_id = ANY(%s)", [ids]
    )
    for (import_id,) in await at_work.fetchall():
        table = Identifier("staging", f"placement_{import_id.hex}")
        await connection.execute(SQL("DROP TABLE IF EXISTS {}").format(table))
    await connection.execute("DELETE FROM staging.cursor WHERE import_id = ANY(%s)", [ids])


async def _columns(connection: AsyncConnection[Any], table: str) -> Any:
    return SQL(", ").join(map(Identifier, await bulk_tables.columns(connection, table)))


async def end_workflows(
    client: Client,
    agency_id: UUID,
    admitted: AsyncIterable[UUID],
    on_ended: Callable[[Mapping[str, int]], None],
) -> dict[str, int]:
    """Terminate what runs for an agency, and the lifecycles of ``admitted`` accounts; how many by type.

    First whatever starts others, then the lifecycles. ``on_ended`` hears of the counts as they grow.
    """
    ended: dict[str, int] = {}
    gate = asyncio.Semaphore(_AT_ONCE)

    async def end(workflow_id: str, kind: str) -> None:
        async with gate:
            if await _terminate(client, workflow_id):
                ended[kind] = ended.get(kind, 0) + 1
                on_ended(ended)

    lifecycle = AccountLifecycle.__name__
    running = f"{attributes.AGENCY.name} = '{agency_id}' AND ExecutionStatus = 'Running'"
    for chosen in (f"{running} AND WorkflowType != '{lifecycle}'", running):
        async with asyncio.TaskGroup() as tasks:
            async for found in client.list_workflows(chosen):
                tasks.create_task(end(found.id, found.workflow_type))
    # Visibility lags behind; the database knows whom it has admitted.
    async with asyncio.TaskGroup() as tasks:
        async for account_id in admitted:
            tasks.create_task(end(queues.account_workflow_id(account_id), lifecycle))
    return ended


async def forget_imports(client: Client, agency_id: UUID, contents: Sequence[str]) -> None:
    """Delete the ended workflows of imports, by the SHA-256 of their files.

    A completed one stands for "this file was imported", and would keep the same file out. The server takes
    up to a minute to do it.
    """
    for sha256 in contents:
        execution = WorkflowExecution(workflow_id=queues.import_workflow_id(agency_id, sha256))
        request = DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
        try:
            await client.workflow_service.delete_workflow_execution(request)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise


async def _terminate(client: Client, workflow_id: str) -> bool:
    try:
        await client.get_workflow_handle(workflow_id).terminate(reason=REASON)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True
