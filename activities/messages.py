"""Messages that several capabilities share."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """Base of what crosses Temporal: frozen, ids, counts and small facts only."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AgencyRef(Message):
    """One agency, as the input of what runs per agency."""

    agency_id: UUID


class PortfolioFile(Message):
    """A file content that is to be imported: the input of ``PortfolioImport``.

    ``location`` is a path on the source's SFTP server, or a storage key for an upload. ``size`` is in
    bytes, ``mtime`` in seconds since the epoch; ``sha256`` is in hex over the bytes as they lie there
    (compressed, for ``.csv.gz``).
    """

    agency_id: UUID
    channel: Literal["sftp", "upload"]
    source_id: UUID | None
    location: str
    file_name: str
    sha256: str
    size: int
    mtime: int | None = None
    requested_by: str


class AccountRef(Message):
    """One account."""

    agency_id: UUID
    account_id: UUID
