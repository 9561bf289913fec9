"""What a name on somebody else's server may look like before we use, store or show it.

Remote names are data: they reach file systems, logs, terminals and CSV exports. A name that would
mean something there (a separator, a control character, bytes that are no text) is refused, never
repaired, so that nobody has to guess which file was meant.
"""

import posixpath
import unicodedata
from typing import Final

from domain.errors import Invalid

# A taken file is renamed to "{uuid}-{name}", and file systems allow 255 bytes.
NAME_MAX_BYTES: Final = 200
SHOWN_MAX: Final = 120
_SEPARATORS: Final = frozenset("/\\")
# Control, surrogate (bytes that are not UTF-8), line and paragraph separators.
_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Unicode Standard Annex 9, section 2: these reorder what a person reads.
_BIDI_CONTROLS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class RemoteNameRefused(Invalid):
    """A file name or path that is not safe to use; ``reason`` says why, the name is shown escaped."""

    type = "sftp-name-refused"
    title = "File name refused"


def name_refusal(name: str) -> str | None:
    """Why ``name`` (one path component) is refused, as a sentence for people; ``None`` if it is fine."""
    reason = _unsafe(name)
    if reason is None and len(name.encode()) > NAME_MAX_BYTES:
        return f"it is longer than {NAME_MAX_BYTES} bytes"
    return reason


def _unsafe(name: str) -> str | None:
    if name in {"", ".", ".."}:
        return "it is not the name of a file"
    if not _SEPARATORS.isdisjoint(name):
        return "it contains a path separator"
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in name):
        return "it contains control characters or bytes that are not UTF-8"
    if not _BIDI_CONTROLS.isdisjoint(name):
        return "it contains characters that change the reading direction"
    return None


def check_path(path: str) -> str:
    """``path`` itself when it is a plain POSIX path (absolute, or relative to the login's folder).

    Raises ``RemoteNameRefused`` for an empty path, ``..``, a backslash, control characters or bytes
    that are not UTF-8. Components may be as long as the server allows.
    """
    if not path:
        raise RemoteNameRefused("a remote path is empty: give a folder or file", field="path")
    for component in path.split("/"):
        reason = None if component in {"", "."} else _unsafe(component)
        if reason is not None:
            message = f"remote path {shown(path)} refused: of “{shown(component)}”, {reason}"
            raise RemoteNameRefused(message, field="path", reason=reason)
    return path


def split(path: str) -> tuple[str, str]:
    """Folder and name of a file's path; the folder of a bare name is ``.``."""
    folder, name = posixpath.split(path)
    return folder or ".", name


def shown(name: str) -> str:
    """``name`` safe for a message: control characters and bad bytes escaped, at most 120 characters."""
    escaped = "".join(
        character
        if unicodedata.category(character) not in _REFUSED_CATEGORIES and character not in _BIDI_CONTROLS
        else ascii(character)[1:-1]
        for character in name
    )
    return escaped if len(escaped) <= SHOWN_MAX else f"{escaped[: SHOWN_MAX - 1]}…"
