"""How Sphinx makes the site of the documents: ``make docs``.

The pages are those that GitHub shows, with the same links: the source is the whole repository, of which only
the documents are read. The pages named README are the navigation: what none of them leads to fails the build.
Nothing of the site is loaded from elsewhere, and it reads as well from a folder as from a server.
"""

import re
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]

project = "Recoup"
html_title = "Recoup"
copyright = ""  # noqa: A001
root_doc = "docs/README"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
include_patterns = ["*.md", "docs/**.md", "docs/**/*.md"]
exclude_patterns = [
    path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in {"docs", ".github"}
] + ["docs/sphinx"]

myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
nitpicky = True

html_theme = "furo"
html_static_path = ["diagrams.js", "node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_additional_pages = {"index": "start.html"}
templates_path = ["templates"]
html_theme_options = {"top_of_page_buttons": []}

_LINK = re.compile(r"\[[^\]]+\]\(([^)#\s:]+\.md)\)")
_REFERENCE = """
<p><a class="reference" href="../reference/index.html">The reference of every operation</a>,
as it was when these documents were built.</p>
"""


class Mermaid(SphinxDirective):
    """A diagram, drawn by the reader's browser as GitHub draws it."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The diagram's words, for the script to draw."""
        drawn = escape("\n".join(self.content))
        return [nodes.raw("", f'<pre class="mermaid">\n{drawn}\n</pre>', format="html")]


def navigation(page: Path, text: str) -> str:
    """What Sphinx takes for navigation: for each part of an index page, the pages that it links to."""
    blocks = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE):
        caption, _, _ = part.partition("\n")
        below = [link for link in dict.fromkeys(_LINK.findall(part)) if (page.parent / link).is_file()]
        entries = [link for link in below if not link.startswith("../") or page.parent.name == "docs"]
        heading = "" if caption.startswith("#") else f":caption: {caption}\n"
        if entries:
            blocks.append(f"```{{toctree}}\n:hidden:\n{heading}\n" + "\n".join(entries) + "\n```\n")
    return "\n".join(blocks)


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Add to pages what only the site has."""
    page = ROOT / f"{name}.md"
    if name.startswith("docs/") and page.name == "README.md":
        source[0] += "\n" + navigation(page, source[0])
    if name == "docs/api":
        source[0] += _REFERENCE


def scripts(
    app: Sphinx, name: str, template: str, context: dict[str, object], doctree: nodes.document
) -> None:
    """Load what draws diagrams where there are some."""
    if doctree is not None and any('class="mermaid"' in raw.astext() for raw in doctree.findall(nodes.raw)):
        app.add_js_file("mermaid.tiny.js", loading_method="defer")
        app.add_js_file("diagrams.js", loading_method="defer")


def setup(app: Sphinx) -> None:
    """What Sphinx calls first."""
    app.add_directive("mermaid", Mermaid)
    app.connect("source-read", read)
    app.connect("html-page-context", scripts)
