"""One URL in the settings, two spellings: libpq's and SQLAlchemy's."""


def sqlalchemy_url(url: str) -> str:
    """``postgresql://…`` as SQLAlchemy wants it, with psycopg named as the driver."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise ValueError("a database URL looks like postgresql://user@host:5432/recoup")
    return f"postgresql+psycopg://{rest}"


def libpq_url(url: str) -> str:
    """``url`` without a driver name, for psycopg itself."""
    _, _, rest = url.partition("://")
    return f"postgresql://{rest}"
