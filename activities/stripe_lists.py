"""Stripe's lists as the items of a reconciliation. Whoever imports this has the gateway at hand."""

from contextlib import suppress
from typing import TYPE_CHECKING

from db.processor_items import Item
from gateways.stripe import ChargeState, DisputeState, RefundState, StripeObjectMissing, Unreadable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime
    from uuid import UUID

    from activities.stripe_accounts import StripeAccounts
    from activities.stripe_news import News


class StripeLists:
    """What an agency's Stripe account has. Raises as ``StripeNews``."""

    def __init__(self, accounts: "StripeAccounts") -> None:
        self._accounts = accounts

    async def check(self, agency_id: "UUID") -> None:
        """``NoStripeCredentials`` for an agency that has no Stripe account."""
        await self._accounts.of(agency_id)

    async def items(
        self,
        agency_id: "UUID",
        since: "datetime",
        until: "datetime",
        odd: "Callable[[Unreadable], Awaitable[None]]",
    ) -> "AsyncIterator[Item]":
        """Charges that took money, refunds and disputes that were made in ``[since, until)``; ``odd`` is told
        what of them cannot be read.
        """
        account = await self._accounts.of(agency_id)
        async for found in account.listed(since, until):
            if isinstance(found, Unreadable):
                await odd(found)
            elif isinstance(found, RefundState):
                yield _refund(found)
            elif isinstance(found, DisputeState):
                yield _dispute(found)
            elif found.status == "succeeded":
                yield _charge(found)

    async def refund(self, agency_id: "UUID", refund_ref: str) -> Item | None:
        """A refund as it is now; None where there is none."""
        account = await self._accounts.of(agency_id)
        with suppress(StripeObjectMissing):
            return _refund(await account.retrieve_refund(refund_ref))
        return None

    @staticmethod
    def items_of(news: "News") -> list[Item]:
        """What is known of an intent and its refunds and disputes."""
        intent = news.intent
        found = []
        if intent.status == "succeeded":
            charge = intent.charge_ref or intent.intent_ref
            found.append(
                Item(
                    "charge", charge, intent.intent_ref, "succeeded", intent.amount_received, intent.currency
                )
            )
        found += [
            Item("refund", one.refund_ref, intent.intent_ref, one.status, one.amount, one.currency)
            for one in news.refunds
        ]
        found += [
            Item("dispute", one.dispute_ref, intent.intent_ref, one.status, one.amount, one.currency)
            for one in news.disputes
        ]
        return found


def _charge(charge: ChargeState) -> Item:
    return Item("charge", charge.id, charge.intent_id, charge.status, charge.amount, charge.currency.upper())


def _refund(refund: RefundState) -> Item:
    return Item("refund", refund.id, refund.intent_id, refund.status, refund.amount, refund.currency.upper())


def _dispute(dispute: DisputeState) -> Item:
    return Item(
        "dispute", dispute.id, dispute.intent_id, dispute.status, dispute.amount, dispute.currency.upper()
    )
