"""The double-entry ledger: append-only, every posting balanced by construction."""

from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Amount, Base, Instant, Now, UuidKey, same_agency


class Journal(Base):
    """One business fact that moved money; ``key`` makes writing it twice impossible.

    ``reverses_id`` is the journal that this one corrects: takes back in part or in full, or posts again.
    """

    __tablename__ = "journal"
    __table_args__ = (
        UniqueConstraint("agency_id", "kind", "key"),
        UniqueConstraint("agency_id", "id"),
        Index(None, "reverses_id", postgresql_where=text("reverses_id IS NOT NULL")),
    )

    id: Mapped[UuidKey]
    agency_id: Mapped[UUID] = mapped_column(ForeignKey("agency.id"))
    kind: Mapped[str]
    key: Mapped[str]
    description: Mapped[str]
    reverses_id: Mapped[UUID | None] = mapped_column(ForeignKey("journal.id"))
    occurred_at: Mapped[Instant]
    created_at: Mapped[Now]


class Posting(Base):
    """``amount`` moved from the ``credit`` ledger account to the ``debit`` ledger account.

    ``account_id`` is the debtor's account that the posting concerns, null for house-only postings.
    A debtor account's balance is its ``receivable`` debits less its ``receivable`` credits.
    """

    __tablename__ = "posting"
    __table_args__ = (
        same_agency("journal_id", "journal"),
        same_agency("account_id", "account"),
        CheckConstraint("amount > 0", "amount"),
        CheckConstraint("debit <> credit", "sides"),
        Index(None, "account_id"),
        Index(None, "journal_id"),
        Index(
            "ix_posting_owed_back",
            "agency_id",
            "account_id",
            postgresql_include=["debit", "credit", "amount"],
            postgresql_where=text(
                "debit IN ('credit_balances', 'unapplied') OR credit IN ('credit_balances', 'unapplied')"
            ),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    agency_id: Mapped[UUID]
    journal_id: Mapped[UUID]
    account_id: Mapped[UUID | None]
    debit: Mapped[str]
    credit: Mapped[str]
    amount: Mapped[Amount]
    currency: Mapped[str]
