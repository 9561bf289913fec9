"""Users of an agency: their roles, passwords and whether they may come in."""

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal
from uuid import UUID

from pydantic import SecretStr

from db.commands import Answer
from domain.errors import Conflict, Invalid, NotFound
from domain.tenancy import Role, Tenant
from services.access import PLATFORM_AGENCY, Right, require
from services.audit import record
from services.commands import CommandKey, carry_out
from services.fields import ChangeForm, Email, Form, Line, NewPassword, Username, View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from db.keyset import Position
    from db.models import AppUser
    from db.session import Database, Transaction
    from domain.tenancy import Actor
    from services.access import Principal
    from services.login_limits import LoginGuard
    from services.passwords import Passwords

AgencyRole = Literal[Role.AGENCY_ADMIN, Role.COLLECTOR, Role.AUDITOR]


class NewUser(Form):
    """A user to be made in an agency."""

    username: Username
    full_name: Line
    email: Email | None = None
    role: AgencyRole
    password: NewPassword


class NewPlatformAdmin(Form):
    """A platform administrator to be made; from the command line only."""

    username: Username
    full_name: Line
    email: Email | None = None
    password: NewPassword


class UserChange(ChangeForm):
    """What may change of a user. A new role, password or ``active: false`` ends all their logins."""

    nullable: ClassVar[frozenset[str]] = frozenset({"email"})

    full_name: Line | None = None
    email: Email | None = None
    role: AgencyRole | None = None
    password: NewPassword | None = None
    active: bool | None = None


class OwnPassword(Form):
    """A user's change of their own password."""

    current_password: SecretStr
    new_password: NewPassword


class PasswordReset(Form):
    """A new password for somebody; from the command line only."""

    username: Username
    password: NewPassword


class UserView(View):
    """A user as they are shown; nothing of the password."""

    id: UUID
    agency_id: UUID | None
    username: str
    full_name: str
    email: str | None
    role: Role
    active: bool
    created_at: datetime
    updated_at: datetime


class UserService:
    """Users, managed by their agency's administrators."""

    def __init__(self, database: "Database", passwords: "Passwords", guard: "LoginGuard") -> None:
        self._database = database
        self._passwords = passwords
        self._guard = guard

    async def create(self, principal: "Principal", command: CommandKey, form: NewUser) -> Answer:
        """Make a user of the principal's agency. ``Conflict`` (field ``username``) when it is taken."""
        require(principal, Right.MANAGE_SETTINGS)
        return await self._create(principal.tenant, command, form, form.role)

    async def create_platform_admin(self, actor: "Actor", form: NewPlatformAdmin) -> Answer:
        """Make a platform administrator. ``Conflict`` (field ``username``) when it is taken."""
        tenant = Tenant(PLATFORM_AGENCY, actor)
        return await self._create(tenant, CommandKey("create platform admin"), form, Role.PLATFORM_ADMIN)

    async def _create(
        self, tenant: Tenant, command: CommandKey, form: NewUser | NewPlatformAdmin, role: Role
    ) -> Answer:
        hashed = await self._hash(form.username, form.password)

        async def effect(tx: "Transaction") -> UserView:
            values = {
                "agency_id": None if role is Role.PLATFORM_ADMIN else tenant.agency_id,
                "username": form.username,
                "full_name": form.full_name,
                "email": form.email,
                "role": role,
            }
            user = await tx.users.add({**values, "password_hash": hashed})
            await record(tx, "user.created", "user", user.id, new=values)
            return UserView.model_validate(user)

        return await carry_out(self._database, tenant, command, effect, status=201)

    async def change(
        self, principal: "Principal", command: CommandKey, user_id: UUID, form: UserChange
    ) -> Answer:
        """Change a user of the principal's agency.

        ``Conflict`` when administrators would lock themselves out, or a collector would lose the role.
        """
        require(principal, Right.MANAGE_SETTINGS)
        values = form.given("password")
        if user_id == principal.user_id and (form.active is False or form.role not in {None, principal.role}):
            raise Conflict(
                "you cannot deactivate yourself or change your own role; ask another administrator"
            )
        hashed = await self._password_of(principal, user_id, form)
        if hashed is not None:
            values["password_hash"] = hashed

        async def effect(tx: "Transaction") -> UserView:
            # Locked first, as by who makes a collector of them: what is looked at then stays so.
            await tx.users.member(principal.tenant.agency_id, user_id, lock=True)
            if form.role not in {None, Role.COLLECTOR} and await tx.collectors.of_user(user_id):
                raise Conflict("this user is a collector; their role cannot change", field="role")
            user, change = await tx.users.change(principal.tenant.agency_id, user_id, values)
            if change:
                if change.new.keys() & {"password_hash", "role", "active"}:
                    await tx.tokens.revoke_user(user_id)
                if hashed is not None:
                    await self._guard.forget(tx, user.username)
                await record(
                    tx, "user.changed", "user", user_id, old=_shown(change.old), new=_shown(change.new)
                )
            return UserView.model_validate(user)

        return await carry_out(self._database, principal.tenant, command, effect)

    async def change_own_password(
        self, principal: "Principal", command: CommandKey, form: OwnPassword
    ) -> Answer:
        """Set one's own password, which ends all logins. ``Invalid`` when the current one is wrong."""
        agency_id = principal.own_agency_id
        hashed = await self._hash(principal.username, form.new_password, field="new_password")

        async def effect(tx: "Transaction") -> None:
            user = await tx.users.member(agency_id, principal.user_id, lock=True)
            if not await self._passwords.matches(
                user.password_hash, form.current_password.get_secret_value()
            ):
                raise Invalid("this is not the current password", field="current_password")
            await tx.users.change(agency_id, user.id, {"password_hash": hashed})
            await tx.tokens.revoke_user(user.id)
            await self._guard.forget(tx, user.username)
            await record(tx, "user.changed", "user", user.id, new={"password": "(set)"})

        tenant = Tenant(agency_id or PLATFORM_AGENCY, principal.actor)
        return await carry_out(self._database, tenant, command, effect, status=204)

    async def set_password(self, actor: "Actor", form: PasswordReset) -> Answer:
        """Set any user's password, which ends all their logins. ``NotFound``; from the command line only."""
        async with self._database.platform() as tx:
            known = await tx.users.by_username(form.username)
        if known is None:
            raise NotFound(f"there is no user “{form.username}”")
        hashed = await self._hash(known.username, form.password)

        async def effect(tx: "Transaction") -> UserView:
            user, _ = await tx.users.change(known.agency_id, known.id, {"password_hash": hashed})
            await tx.tokens.revoke_user(known.id)
            await self._guard.forget(tx, known.username)
            await record(tx, "user.changed", "user", known.id, new={"password": "(set)"})
            return UserView.model_validate(user)

        tenant = Tenant(known.agency_id or PLATFORM_AGENCY, actor)
        return await carry_out(self._database, tenant, CommandKey("set password"), effect)

    async def unlock(self, actor: "Actor", username: str) -> Answer:
        """Forget any user's failed logins. ``NotFound``; from the command line only."""
        async with self._database.platform() as tx:
            known = await tx.users.by_username(username.strip().lower())
        if known is None:
            raise NotFound(f"there is no user “{username}”")

        async def effect(tx: "Transaction") -> UserView:
            await self._guard.forget(tx, known.username)
            await record(tx, "user.unlocked", "user", known.id)
            return UserView.model_validate(known)

        tenant = Tenant(known.agency_id or PLATFORM_AGENCY, actor)
        return await carry_out(self._database, tenant, CommandKey("unlock user"), effect)

    async def get(self, principal: "Principal", user_id: UUID) -> UserView:
        """One user of the principal's agency."""
        require(principal, Right.READ_SETTINGS)
        async with self._database.transaction(principal.tenant) as tx:
            return UserView.model_validate(await tx.users.member(principal.tenant.agency_id, user_id))

    async def named(self, principal: "Principal", username: str) -> UserView:
        """The user of the principal's agency with this name. ``NotFound``."""
        require(principal, Right.READ_SETTINGS)
        async with self._database.transaction(principal.tenant) as tx:
            user = await tx.users.by_username(username.strip().lower())
        if user is None or user.agency_id != principal.tenant.agency_id:
            raise NotFound(f"there is no user “{username}”")
        return UserView.model_validate(user)

    async def page(
        self, principal: "Principal", position: "Position | None", limit: int
    ) -> "Sequence[AppUser]":
        """Users of the principal's agency, newest first."""
        require(principal, Right.READ_SETTINGS)
        async with self._database.transaction(principal.tenant) as tx:
            return await tx.users.page(principal.tenant.agency_id, position=position, limit=limit)

    async def _password_of(self, principal: "Principal", user_id: UUID, form: UserChange) -> str | None:
        if form.password is None:
            return None
        username = (await self.get(principal, user_id)).username
        return await self._hash(username, form.password)

    async def _hash(self, username: str, password: SecretStr, *, field: str = "password") -> str:
        if password.get_secret_value().lower() == username:
            raise Invalid("the password must not be the username", field=field)
        return await self._passwords.hash(password.get_secret_value())


def _shown(values: "Mapping[str, object]") -> dict[str, object]:
    return {
        ("password" if name == "password_hash" else name): "(set)" if name == "password_hash" else value
        for name, value in values.items()
    }
