"""The door of the API behind its routes: commands as an administrator gives them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from temporalio.client import Client, WorkflowHandle

from db.commands import Answer
from domain.tenancy import Role
from services.access import Principal
from services.account_commands import AccountCommandService
from services.commands import CommandKey
from services.inbox_starts import ProcessWaker
from services.lifecycle_commands import LifecycleCommander
from tests.integration.accounts.desk import Desk
from workflows.queues import account_workflow_id


@dataclass
class Door:
    """Where accounts of a desk are told what to do; callers are kept waiting for ``patience_s``."""

    desk: Desk
    client: Client
    patience_s: float = 60

    async def tell(
        self, command: str, account: UUID, *path: Any, key: str | None = None, form: Any = None
    ) -> Answer:
        """Send a command; its answer. Raises the domain error with which it is refused."""
        commander = LifecycleCommander(self.client, timedelta(seconds=self.patience_s))
        service = AccountCommandService(self.desk.db, commander, ProcessWaker(self.client).wake)
        body = {"account": str(account), "path": str(path), "form": str(form)}
        who = Principal(self.desk.who, "admin", Role.AGENCY_ADMIN, self.desk.agency_id)
        given = [] if form is None else [form]
        answer: Answer = await getattr(service, command)(
            who, CommandKey(command, key or uuid4().hex, body), account, *path, *given
        )
        return answer

    def lifecycle(self, account: UUID) -> WorkflowHandle[Any, Any]:
        """Whichever run of the account's workflow is the latest."""
        return self.client.get_workflow_handle(account_workflow_id(account))
