"""What pages load: from here alone, compressed beforehand, kept for good; and no more of it than is told."""

import json
import re
from typing import Any

import brotli
import httpx
import pytest

from console.assets import DIST, MANIFEST, PREFIX, SPRITE
from console.build import HERE

OK = httpx.codes.OK
FOR_GOOD = 365 * 24 * 3600
MOST_BYTES = 100_000
"""What a page without charts may load, compressed, for who comes for the first time."""

NAMED = json.loads((DIST / MANIFEST).read_text())
BUILT = sorted(NAMED)


@pytest.fixture
async def client(console: Any) -> httpx.AsyncClient:
    return (await console.new_browser(None)).client  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", BUILT)
async def test_every_asset_comes_compressed_and_is_kept_for_good(
    client: httpx.AsyncClient, name: str
) -> None:
    plain = await client.get(f"{PREFIX}/{NAMED[name]}", headers={"Accept-Encoding": "identity"})
    assert (plain.status_code, plain.content) == (OK, (DIST / NAMED[name]).read_bytes())
    assert "content-encoding" not in plain.headers
    for answer in (plain, await client.head(f"{PREFIX}/{NAMED[name]}")):
        kept = re.search(r"max-age=([0-9]+)", answer.headers["cache-control"])
        assert "immutable" in answer.headers["cache-control"]
        assert kept is not None
        assert int(kept[1]) >= FOR_GOOD
        assert answer.headers["x-content-type-options"] == "nosniff"
    # As it lies on the disk: nothing is compressed while somebody waits.
    beforehand = DIST / f"{NAMED[name]}.br"
    if not beforehand.exists():
        assert len(plain.content) < 1024, name
        return
    packed = await client.head(f"{PREFIX}/{NAMED[name]}", headers={"Accept-Encoding": "gzip, br"})
    assert packed.headers["content-encoding"] == "br"
    assert int(packed.headers["content-length"]) == beforehand.stat().st_size < len(plain.content)
    assert "Accept-Encoding" in packed.headers["vary"]
    assert brotli.decompress(beforehand.read_bytes()) == plain.content


async def test_the_name_of_an_asset_is_of_its_content(client: httpx.AsyncClient) -> None:
    for name, built in NAMED.items():
        stem, _, suffix = name.rpartition(".")
        assert re.fullmatch(rf"{re.escape(stem)}\.[0-9a-f]{{12}}\.{suffix}", built), built
        assert (await client.get(f"{PREFIX}/{name}")).status_code == httpx.codes.NOT_FOUND
    for source in (HERE / "static").iterdir():
        built = (DIST / NAMED[source.name]).read_bytes()
        assert built == source.read_bytes(), f"{source.name} was changed since; run `make assets`"
    for path in (MANIFEST, "../web.py", "%2e%2e/web.py", "..%2fweb.py"):
        answer = await client.get(f"{PREFIX}/{path}")
        assert "import" not in answer.text, path


async def test_a_page_loads_nothing_from_elsewhere_and_little_from_here(console: Any) -> None:
    page = await console.get("acme.admin", "/dashboard")
    loaded = re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="([^"]+)"', page.html)
    assert loaded
    assert all(address.startswith(f"{PREFIX}/") for address in loaded), loaded
    icons = set(re.findall(r'<use href="([^"#]+)#', page.html))
    assert icons == {f"{PREFIX}/{NAMED[SPRITE]}"}
    assert not [name for name in BUILT if name.endswith((".woff", ".woff2", ".ttf"))]
    paths = [DIST / address.removeprefix(f"{PREFIX}/") for address in {*loaded, *icons}]
    sizes = {path.name: _on_the_wire(path) for path in paths}
    assert sum(sizes.values()) <= MOST_BYTES, sizes
    # Charts are loaded by the first page that draws one.
    assert not any("echarts" in name for name in sizes)


def _on_the_wire(path: Any) -> int:
    packed = path.with_name(f"{path.name}.br")
    return int((packed if packed.exists() else path).stat().st_size)
