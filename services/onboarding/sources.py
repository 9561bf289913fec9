"""SFTP sources: checked when they are set up, secrets going in and never out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field, SecretStr, StringConstraints

from db.commands import Answer
from domain.errors import Invalid, NotFound
from domain.import_profiles import ImportProfile
from gateways.sftp_endpoint import SftpEndpoint, parse_host_keys, parse_private_key
from services.access import Right, require
from services.audit import record
from services.commands import CommandKey, carry_out
from services.fields import ChangeForm, Form, Line, View

if TYPE_CHECKING:
    from db.keyset import Position
    from db.models import SftpSource
    from db.session import Database, Transaction
    from services.access import Principal

MAX_KEY_LENGTH = 20_000
SECRETS = ("password", "private_key")

Port = Annotated[int, Field(ge=1, le=65_535)]
Folder = Annotated[str, StringConstraints(max_length=500, pattern=r"^/[^\x00-\x1f\x7f]*$")]
HostKey = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_KEY_LENGTH)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=MAX_KEY_LENGTH)]


class NewSource(Form):
    """An SFTP source to be made: a password or a private key (PEM or OpenSSH, without a passphrase).

    ``host_key`` is the server's public key (``ssh-ed25519 AAAA…``); without it nobody could tell the
    server from an impostor. ``creditor_id`` is whose files these are, null for the agency's default.
    """

    name: Line
    host: Line
    port: Port = 22
    username: Line
    password: Secret | None = None
    private_key: Secret | None = None
    host_key: HostKey
    inbox: Folder = "/inbox"
    profile: ImportProfile = ImportProfile()
    creditor_id: UUID | None = None
    active: bool = True


class SourceChange(ChangeForm):
    """What may change of an SFTP source; a secret that is null is removed."""

    nullable: ClassVar[frozenset[str]] = frozenset({"password", "private_key", "creditor_id"})

    name: Line | None = None
    host: Line | None = None
    port: Port | None = None
    username: Line | None = None
    password: Secret | None = None
    private_key: Secret | None = None
    host_key: HostKey | None = None
    inbox: Folder | None = None
    profile: ImportProfile | None = None
    creditor_id: UUID | None = None
    active: bool | None = None


class SourceView(View):
    """An SFTP source as it is shown: of its secrets, only that they are there."""

    id: UUID
    agency_id: UUID
    name: str
    host: str
    port: int
    username: str
    has_password: bool
    has_private_key: bool
    host_key: str
    inbox: str
    profile: dict[str, Any]
    creditor_id: UUID | None
    active: bool
    last_polled_at: datetime | None
    last_problem: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, source: "SftpSource") -> "SourceView":
        """The view of a row."""
        shown = {name: getattr(source, name) for name in cls.model_fields if not name.startswith("has_")}
        return cls(
            **shown,
            has_password=source.password_encrypted is not None,
            has_private_key=source.private_key_encrypted is not None,
        )


class SourceService:
    """The SFTP sources of an agency."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    async def create(self, principal: "Principal", command: CommandKey, form: NewSource) -> Answer:
        """Make a source. ``Invalid`` names the field that could never work, ``Conflict`` a taken name."""
        require(principal, Right.MANAGE_SETTINGS)
        secrets = {name: _plain(getattr(form, name)) for name in SECRETS}
        values = _values(form.model_dump(exclude=set(SECRETS)), form.profile)
        _check(values, secrets)

        async def effect(tx: "Transaction") -> SourceView:
            await _check_creditor(tx, form.creditor_id)
            source = await tx.sources.add(values, secrets)
            shown = {**values, **{name: "(set)" for name in SECRETS if secrets[name]}}
            await record(tx, "sftp_source.created", "sftp_source", source.id, new=shown)
            return SourceView.of(source)

        return await carry_out(self._database, principal.tenant, command, effect, status=201)

    async def change(
        self, principal: "Principal", command: CommandKey, source_id: UUID, form: SourceChange
    ) -> Answer:
        """Change a source; the whole must still be able to work, else ``Invalid``."""
        require(principal, Right.MANAGE_SETTINGS)
        values = _values(form.given(*SECRETS), form.profile)
        secrets = {name: _plain(getattr(form, name)) for name in SECRETS if name in form.model_fields_set}

        async def effect(tx: "Transaction") -> SourceView:
            present = await tx.sources.get(source_id, lock=True)
            kept = {name: "kept" for name in SECRETS if getattr(present, f"{name}_encrypted") is not None}
            whole = {name: getattr(present, name) for name in ("host", "port", "username", "host_key")}
            _check({**whole, **values}, {**kept, **secrets}, new=secrets)
            await _check_creditor(tx, form.creditor_id)
            source, change = await tx.sources.change(source_id, values, secrets)
            if change:
                await record(
                    tx, "sftp_source.changed", "sftp_source", source_id, old=change.old, new=change.new
                )
            return SourceView.of(source)

        return await carry_out(self._database, principal.tenant, command, effect)

    async def get(self, principal: "Principal", source_id: UUID) -> SourceView:
        """One SFTP source of the principal's agency."""
        require(principal, Right.READ_SETTINGS)
        async with self._database.transaction(principal.tenant) as tx:
            return SourceView.of(await tx.sources.get(source_id))

    async def page(
        self, principal: "Principal", position: "Position | None", limit: int
    ) -> "Sequence[SftpSource]":
        """SFTP sources of the principal's agency, newest first."""
        require(principal, Right.READ_SETTINGS)
        async with self._database.transaction(principal.tenant) as tx:
            return await tx.sources.page(position=position, limit=limit)


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _values(given: Mapping[str, Any], profile: ImportProfile | None) -> dict[str, Any]:
    values = dict(given)
    if profile is not None and "profile" in values:
        values["profile"] = profile.model_dump(mode="json")
    return values


def _check(
    values: Mapping[str, Any], secrets: Mapping[str, str | None], new: Mapping[str, str | None] | None = None
) -> None:
    """``Invalid`` for what could never connect; ``new`` are the secrets to be looked into."""
    SftpEndpoint(
        host=values["host"],
        port=values["port"],
        username=values["username"],
        host_key=values["host_key"],
        password=secrets.get("password"),
        private_key=secrets.get("private_key"),
    )
    parse_host_keys(values["host_key"])
    private_key = (secrets if new is None else new).get("private_key")
    if private_key is not None:
        parse_private_key(private_key)


async def _check_creditor(tx: "Transaction", creditor_id: UUID | None) -> None:
    if creditor_id is None:
        return
    try:
        await tx.creditors.get(creditor_id)
    except NotFound:
        raise Invalid("there is no such creditor", field="creditor_id") from None
