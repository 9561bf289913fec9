"""The life of an account: what it can be told, what it waits for, and when it is over."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from activities.account_commands import AccountCommands
from activities.account_messages import (
    AcceptOffer,
    AccountCommand,
    AccountSnapshot,
    AnswerDispute,
    Assign,
    Close,
    DeadlineReached,
    Done,
    FollowUp,
    MakePromise,
    OfferSettlement,
    PlaceHold,
    Recall,
    RecordDispute,
    RefusedTransition,
    ReleaseHold,
    Transition,
)
from activities.accounts import AccountActivities
from activities.admission import AdmissionActivities
from activities.messages import AccountRef, AgencyRef
from domain.deadlines import Deadline, DeadlineKind
from domain.errors import NotFound
from workflows import admitting, attributes, policies, queues
from workflows.account_alarms import Alarms
from workflows.account_messages import Expected, LifecycleDescription, LifecycleInput
from workflows.failures import DRAINING, cause_of, told_to_the_caller, was_refused

ALARMS = "a timer for each deadline"
CANCELLED_WITHIN_A_STEP = "a cancellation within a step ends the lifecycle"
ADMITTED_AT_LAST = "an admission that failed is tried again"
ASKED_AGAIN = "a move that was not refused is asked for again"

PAUSE = timedelta(minutes=10)
"""After which a step that has failed is tried again."""

MOST_ASKED = 200
"""Transitions asked for by signal that may wait; they are carried from run to run."""

Step = Callable[[Any, Any], Awaitable[AccountSnapshot]]


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class AccountLifecycle:
    """Entity workflow of one account, from admission (or its first command) until it is settled or closed.

    PostgreSQL holds the facts; the state here is a cursor. A command is an update, carried out by one
    activity that answers with the account as it is then. Facts that happened elsewhere are signals.
    """

    @workflow.init
    def __init__(self, start: LifecycleInput) -> None:
        self._ref = AccountRef(agency_id=start.agency_id, account_id=start.account_id)
        self._to_be_admitted = start.by_command
        self._snapshot = start.snapshot
        self._stale = start.snapshot is None
        self._posted = start.posted
        self._reversed = start.reversed_
        self._transitions = list(start.transitions)
        self._trouble: ApplicationError | None = None
        self._gone = False
        self._leaving = False
        self._former_shape = False
        self._told = False
        self._lock = asyncio.Lock()
        self._alarms = Alarms(self._ring)

    @workflow.run
    async def run(self, start: LifecycleInput) -> None:
        if not start.alarms and not workflow.patched(ALARMS):
            await self._live_as_before()
            return
        if self._snapshot is not None:
            self._take(self._snapshot)
            # One that an earlier shape has left says nothing of deadlines.
            self._stale = self._snapshot.is_open and not self._snapshot.deadlines
        while True:
            await self._catch_up()
            if workflow.info().is_continue_as_new_suggested():
                await self._continue_as_new()
            elif self._snapshot is None or not self._snapshot.is_open:
                if await self._drained():
                    await self._release()
                    if not self._has_news():
                        break
                self._leaving = False
            else:
                await workflow.wait_condition(self._has_something_to_do)

    @workflow.update
    async def assign(self, command: Assign) -> Done:
        """Give the account to a collector."""
        return await self._carry_out(AccountCommands.assign, command)

    @workflow.update
    async def transition(self, command: Transition) -> Done:
        """Move the account by hand."""
        return await self._carry_out(AccountCommands.transition, command)

    @workflow.update
    async def promise(self, command: MakePromise) -> Done:
        """The debtor promises to pay."""
        return await self._carry_out(AccountCommands.promise, command)

    @workflow.update
    async def hold(self, command: PlaceHold) -> Done:
        """Leave the account, or one way of contact, alone."""
        return await self._carry_out(AccountCommands.hold, command)

    @workflow.update
    async def release(self, command: ReleaseHold) -> Done:
        """End a hold."""
        return await self._carry_out(AccountCommands.release, command)

    @workflow.update
    async def dispute(self, command: RecordDispute) -> Done:
        """The debtor disputes the debt."""
        return await self._carry_out(AccountCommands.dispute, command)

    @workflow.update
    async def answer_dispute(self, command: AnswerDispute) -> Done:
        """A dispute is answered."""
        return await self._carry_out(AccountCommands.answer_dispute, command)

    @workflow.update
    async def offer_settlement(self, command: OfferSettlement) -> Done:
        """Offer to settle."""
        return await self._carry_out(AccountCommands.offer_settlement, command)

    @workflow.update
    async def accept_offer(self, command: AcceptOffer) -> Done:
        """The debtor accepts an offer."""
        return await self._carry_out(AccountCommands.accept_offer, command)

    @workflow.update
    async def recall(self, command: Recall) -> Done:
        """The creditor takes the account back."""
        return await self._carry_out(AccountCommands.recall, command)

    @workflow.update
    async def close(self, command: Close) -> Done:
        """Close the account."""
        return await self._carry_out(AccountCommands.close, command)

    @assign.validator
    def _validate_assign(self, command: Assign) -> None:
        self._validate(command)

    @transition.validator
    def _validate_transition(self, command: Transition) -> None:
        self._validate(command)

    @promise.validator
    def _validate_promise(self, command: MakePromise) -> None:
        self._validate(command)

    @hold.validator
    def _validate_hold(self, command: PlaceHold) -> None:
        self._validate(command)

    @release.validator
    def _validate_release(self, command: ReleaseHold) -> None:
        self._validate(command)

    @dispute.validator
    def _validate_dispute(self, command: RecordDispute) -> None:
        self._validate(command)

    @answer_dispute.validator
    def _validate_answer_dispute(self, command: AnswerDispute) -> None:
        self._validate(command)

    @offer_settlement.validator
    def _validate_offer_settlement(self, command: OfferSettlement) -> None:
        self._validate(command)

    @accept_offer.validator
    def _validate_accept_offer(self, command: AcceptOffer) -> None:
        self._validate(command)

    @recall.validator
    def _validate_recall(self, command: Recall) -> None:
        self._validate(command)

    @close.validator
    def _validate_close(self, command: Close) -> None:
        self._validate(command)

    @workflow.signal
    def account_changed(self) -> None:
        """The account was changed in the database; look at it again."""
        self._stale = True

    @workflow.signal
    def contact_logged(self) -> None:
        """Somebody contacted the debtor; a notice may have begun a period."""
        self._stale = True

    @workflow.signal
    def payment_posted(self) -> None:
        """Money came in and is on the ledger."""
        self._posted = True

    @workflow.signal
    def payment_reversed(self) -> None:
        """Money went back and that is on the ledger."""
        self._reversed = True

    @workflow.signal(name="transition")
    def ask_transition(self, command: Transition) -> None:
        """Move the account by hand, when its turn comes; a refusal is put on the timeline.

        More than ``MOST_ASKED`` that wait at once are not taken up: nobody works an account so.
        """
        if len(self._transitions) < MOST_ASKED:
            self._transitions.append(command)
        else:
            workflow.logger.warning("a transition was asked for beside too many others; it is dropped")

    @workflow.query
    def describe(self) -> LifecycleDescription:
        """State and expectations, for people."""
        if self._snapshot is None:
            return LifecycleDescription(state="loading")
        return LifecycleDescription(
            state=self._snapshot.status.value,
            holds=self._snapshot.holds,
            next=[Expected(what=d.kind.words, at=d.at) for d in self._deadlines(self._snapshot)],
        )

    def _validate(self, command: AccountCommand) -> None:
        """Refuse what cannot be, as far as it is known without waiting.

        While a step is under way nothing is known: it may bring about another status, or read one.
        """
        if self._leaving:
            raise ApplicationError("this run of the lifecycle is ending; send it again", type=DRAINING)
        if self._snapshot is not None and not self._stale and not self._lock.locked():
            with told_to_the_caller():
                command.check(self._snapshot.status)

    async def _carry_out(self, step: Step, command: AccountCommand) -> Done:
        """One command at a time, each seeing what the one before has left."""
        await workflow.wait_condition(lambda: self._snapshot is not None or self._trouble is not None)
        if self._snapshot is None and self._trouble is not None:
            raise ApplicationError(self._trouble.message, *self._trouble.details, type=self._trouble.type)
        async with self._lock:
            if self._snapshot is not None and not self._stale:
                with told_to_the_caller():
                    command.check(self._snapshot.status)
            try:
                after = await self._step(step, command)
            except ActivityError as error:
                raise cause_of(error) from None
            finally:
                self._told = True
            return Done(status=after.status, version=after.version)

    async def _step(self, step: Step, argument: Any) -> AccountSnapshot:
        """Carry out an activity that answers with the account as it is then. The caller holds the lock."""
        self._stale = False
        try:
            after = await workflow.execute_activity_method(
                step, argument, task_queue=queues.LIFECYCLE, **policies.ACCOUNT_STEP
            )
        except ActivityError:
            # Refused, perhaps because the account is not what it was taken for; or told so just before.
            self._stale = True
            raise
        self._trouble = None
        self._take(after)
        return after

    def _take(self, snapshot: AccountSnapshot) -> None:
        self._snapshot = snapshot
        status = snapshot.status.value
        if workflow.info().typed_search_attributes.get(attributes.ACCOUNT_STATUS) != status:
            workflow.upsert_search_attributes([attributes.ACCOUNT_STATUS.value_set(status)])
        self._show(snapshot)
        if self._former_shape:
            return
        self._alarms.set(snapshot.deadlines)

    def _has_news(self) -> bool:
        waiting = self._stale or self._posted or self._reversed or bool(self._transitions)
        return waiting or self._gone

    def _has_something_to_do(self) -> bool:
        """News, or a command has ended the account, or this run has become long."""
        over = self._snapshot is not None and not self._snapshot.is_open
        return over or self._has_news() or workflow.info().is_continue_as_new_suggested()

    async def _catch_up(self) -> None:
        """Do what facts and signals ask for, until there is no more, or the history is long enough.

        What fails is tried again after a pause, in which commands are taken; only an account that is not
        there any more ends its lifecycle.
        """
        while self._has_news() and not workflow.info().is_continue_as_new_suggested():
            failed = await self._attempt(self._take_next)
            if self._gone:
                await workflow.wait_condition(workflow.all_handlers_finished)
                raise ApplicationError("the account is not there any more", type=NotFound.type)
            if failed:
                await workflow.sleep(PAUSE, summary="try again")

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do some work when it is its turn; whether it failed."""
        async with self._lock:
            try:
                await work()
            except ActivityError as error:
                if is_cancelled_exception(error) and workflow.patched(CANCELLED_WITHIN_A_STEP):
                    raise
                self._trouble = cause_of(error)
                self._gone = self._trouble.type == NotFound.type
                workflow.set_current_details(f"in trouble: {self._trouble.type}; tried again every {PAUSE}")
                return True
        return False

    async def _take_next(self) -> None:
        if self._stale or self._snapshot is None:
            await self._read()
        elif self._posted:
            self._posted = False
            await self._weigh(AccountActivities.payment_posted)
        elif self._reversed:
            self._reversed = False
            await self._weigh(AccountActivities.payment_reversed)
        elif self._transitions:
            await self._move_as_asked(self._transitions[0])
            self._transitions.pop(0)

    async def _read(self) -> None:
        """Read the account; the first time, where a command has started this, mark it as worked as well."""
        admits, self._to_be_admitted = self._to_be_admitted, False
        try:
            await self._step(AccountActivities.admit if admits else AccountActivities.load, self._ref)
        except ActivityError:
            self._to_be_admitted = admits and workflow.patched(ADMITTED_AT_LAST)
            raise

    async def _weigh(self, step: Step) -> None:
        """Money moved; should the step fail, that is looked at again, whichever way it went."""
        try:
            await self._step(step, self._ref)
        except ActivityError:
            self._posted = self._reversed = True
            raise

    async def _move_as_asked(self, command: Transition) -> None:
        try:
            await self._step(AccountCommands.transition, command)
        except ActivityError as error:
            if not was_refused(error) and workflow.patched(ASKED_AGAIN):
                raise
            await workflow.execute_activity_method(
                AccountActivities.note_refusal,
                RefusedTransition(
                    account=self._ref,
                    identity=command.identity,
                    new_status=command.new_status,
                    reason=cause_of(error).message,
                    asked_by=command.actor,
                ),
                task_queue=queues.LIFECYCLE,
                **policies.ACCOUNT_STEP,
            )

    async def _ring(self, deadline: Deadline) -> None:
        """A deadline has come. Tried again after a pause as long as it stands and fails."""

        async def reach() -> None:
            if self._snapshot is not None and deadline in self._snapshot.deadlines:
                reached = DeadlineReached(account=self._ref, deadline=deadline)
                await self._step(AccountActivities.deadline_reached, reached)

        while await self._attempt(reach) and not self._gone:
            await workflow.sleep(PAUSE, summary="try again")

    async def _drained(self) -> bool:
        """Take no more commands, finish those at hand; False when they, or a signal, changed something."""
        self._leaving = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        still_over = self._snapshot is not None and not self._snapshot.is_open
        return still_over and not self._has_news()

    async def _continue_as_new(self) -> None:
        self._leaving = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        async with self._lock:
            workflow.continue_as_new(
                LifecycleInput(
                    agency_id=self._ref.agency_id,
                    account_id=self._ref.account_id,
                    alarms=True,
                    by_command=self._to_be_admitted,
                    snapshot=None if self._stale else self._snapshot,
                    posted=self._posted,
                    reversed_=self._reversed,
                    transitions=tuple(self._transitions),
                )
            )

    async def _release(self) -> None:
        """The account is done with: free its place and let the next one in."""
        await workflow.execute_activity_method(
            AdmissionActivities.release, self._ref, task_queue=queues.LIFECYCLE, **policies.DB_WRITE
        )
        await admitting.start(AgencyRef(agency_id=self._ref.agency_id))

    def _deadlines(self, snapshot: AccountSnapshot) -> list[Deadline]:
        if not snapshot.is_open:
            return []
        follow_up = Deadline(kind=DeadlineKind.FOLLOW_UP, at=snapshot.follow_up_at)
        return list(snapshot.deadlines) or [follow_up]

    def _show(self, snapshot: AccountSnapshot) -> None:
        """For the Web UI: where it stands, what it waits for, what holds it."""
        waits = [
            f"{d.kind.value.replace('_', ' ')} {d.at.day} {d.at:%b %Y}" for d in self._deadlines(snapshot)
        ]
        workflow.set_current_details(" · ".join([snapshot.status.value, *waits, *snapshot.holds]))

    async def _live_as_before(self) -> None:
        """Runs that began with a timer for the follow-up alone go on so, until they are told something."""
        self._former_shape = True
        while True:
            if self._stale:
                await self._step(AccountActivities.load, self._ref)
            if workflow.info().is_continue_as_new_suggested() or self._told:
                await self._continue_as_new()
            if self._snapshot is None or not self._snapshot.is_open:
                await self._release()
                return
            await self._wait_as_before(self._snapshot)

    async def _wait_as_before(self, snapshot: AccountSnapshot) -> None:
        patience = snapshot.follow_up_at - workflow.now()
        if patience > timedelta(0):
            try:
                await workflow.wait_condition(
                    lambda: self._has_news() or self._told, timeout=patience, timeout_summary="follow-up"
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
