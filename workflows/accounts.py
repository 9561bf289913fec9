"""The life of an account: what it waits for, until when, and who is told."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import VersioningBehavior

from activities.accounts import AccountActivities, AccountSnapshot, FollowUp
from activities.admission import AdmissionActivities
from activities.messages import AccountRef, AgencyRef
from workflows import admitting, attributes, policies, queues
from workflows.account_messages import Expected, LifecycleDescription, LifecycleInput


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class AccountLifecycle:
    """Entity workflow of one account, from admission until it is settled or closed.

    PostgreSQL holds the facts; the state here is a cursor. Facts that happened elsewhere arrive as
    the signal ``account_changed``, upon which the account is read again.
    """

    @workflow.init
    def __init__(self, start: LifecycleInput) -> None:
        self._ref = AccountRef(agency_id=start.agency_id, account_id=start.account_id)
        self._snapshot = start.snapshot
        self._stale = start.snapshot is None

    @workflow.run
    async def run(self, start: LifecycleInput) -> None:
        while True:
            if self._stale:
                await self._load()
            if self._snapshot is None or not self._snapshot.is_open:
                break
            if workflow.info().is_continue_as_new_suggested():
                await self._continue_as_new()
            await self._wait(self._snapshot)
        await self._release()

    @workflow.signal
    def account_changed(self) -> None:
        """The account was changed in the database; look at it again."""
        self._stale = True

    @workflow.query
    def describe(self) -> LifecycleDescription:
        """State and expectations, for people."""
        if self._snapshot is None:
            return LifecycleDescription(state="loading")
        return LifecycleDescription(state=self._snapshot.status.value, next=self._expected(self._snapshot))

    def _expected(self, snapshot: AccountSnapshot) -> list[Expected]:
        if not snapshot.is_open:
            return []
        return [Expected(what="follow-up: nothing has happened for a while", at=snapshot.follow_up_at)]

    async def _load(self) -> None:
        self._stale = False
        self._snapshot = await workflow.execute_activity_method(
            AccountActivities.load, self._ref, task_queue=queues.LIFECYCLE, **policies.DB_READ
        )
        status = self._snapshot.status.value
        if workflow.info().typed_search_attributes.get(attributes.ACCOUNT_STATUS) != status:
            workflow.upsert_search_attributes([attributes.ACCOUNT_STATUS.value_set(status)])
        self._show(self._snapshot)

    async def _wait(self, snapshot: AccountSnapshot) -> None:
        """Until something happened, or nothing for too long."""
        patience = snapshot.follow_up_at - workflow.now()
        if patience > timedelta(0):
            try:
                await workflow.wait_condition(
                    lambda: self._stale, timeout=patience, timeout_summary="follow-up"
                )
            except TimeoutError:
                pass
            else:
                return
        await workflow.execute_activity_method(
            AccountActivities.note_follow_up,
            FollowUp(
                agency_id=self._ref.agency_id,
                account_id=self._ref.account_id,
                due_at=snapshot.follow_up_at,
            ),
            task_queue=queues.LIFECYCLE,
            **policies.DB_WRITE,
        )
        self._stale = True

    async def _continue_as_new(self) -> None:
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(
            LifecycleInput(
                agency_id=self._ref.agency_id,
                account_id=self._ref.account_id,
                snapshot=None if self._stale else self._snapshot,
            )
        )

    async def _release(self) -> None:
        """The account is done with: free its place and let the next one in."""
        await workflow.execute_activity_method(
            AdmissionActivities.release, self._ref, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
        )
        await admitting.start(AgencyRef(agency_id=self._ref.agency_id))

    def _show(self, snapshot: AccountSnapshot) -> None:
        waits = "; ".join(f"{e.what} at {e.at:%d %b %Y}" for e in self._expected(snapshot))
        workflow.set_current_details(f"{snapshot.status.value}" + (f" · {waits}" if waits else ""))
