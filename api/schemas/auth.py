"""Bodies of the authentication endpoints."""

from pydantic import Field, SecretStr

from services.fields import Form


class Login(Form):
    """A username and its password."""

    username: str = Field(min_length=1, max_length=100)
    password: SecretStr = Field(min_length=1, max_length=128)


class Refresh(Form):
    """A refresh token that was not used yet."""

    refresh: SecretStr = Field(min_length=1, max_length=200)
