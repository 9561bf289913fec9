"""The built assets: where they are, and how pages name them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from servestatic import ServeStaticASGI

if TYPE_CHECKING:
    from wsgiref.headers import Headers

    from starlette.types import ASGIApp

PREFIX = "/assets"
DIST = Path(__file__).parent / "dist"
"""Where ``console.build`` puts what it makes; no part of the repository."""

MANIFEST = "manifest.json"
SPRITE = "icons.svg"


class AssetsMissing(Exception):
    """The console was not built; its message says how to."""


class Assets:
    """Files by the name that templates give them; each address changes with the file's content."""

    def __init__(self, manifest: Mapping[str, str]) -> None:
        self._manifest = manifest

    @classmethod
    def load(cls, folder: Path = DIST) -> "Assets":
        """The assets that ``console.build`` has made. ``AssetsMissing`` when it did not."""
        try:
            return cls(json.loads((folder / MANIFEST).read_text()))
        except FileNotFoundError:
            raise AssetsMissing(
                f"the console's assets are not built ({folder / MANIFEST} is missing): run `make assets`"
            ) from None

    def url(self, name: str) -> str:
        """Where a file is served. ``KeyError`` for one that was not built."""
        return f"{PREFIX}/{self._manifest[name]}"


def serving(app: "ASGIApp") -> ServeStaticASGI:
    """``app`` with the built assets before it: precompressed, and kept by browsers for good."""
    return ServeStaticASGI(
        app,
        root=DIST,
        prefix=PREFIX,
        allow_all_origins=False,
        immutable_file_test=lambda _path, _url: True,
        add_headers_function=_harden,
    )


def _harden(headers: "Headers", _path: str, _url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
