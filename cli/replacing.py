"""Files that commands write: whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from domain.errors import Conflict, Invalid


def check_free(path: Path, option: str, *, force: bool) -> None:
    """``Conflict`` where there is a file that nobody said to write over, ``Invalid`` for a folder."""
    if path.is_dir():
        raise Invalid(f"{option}: {path} is a folder; name a file in it")
    if path.exists() and not force:
        raise Conflict(f"{option}: {path} is there already; --force writes over it")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when it is whole; interrupted, there is none, and an old one stays."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as fh:
            yield fh
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
