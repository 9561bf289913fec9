"""Consoles that show data as it is: no markup, no emoji codes, and whole lines where no person watches."""

import os

from rich.console import Console

PIPE_WIDTH = 1_000
"""Columns of a console that is no terminal: ids and URLs stay whole for whoever reads the lines."""


def plain_console(*, stderr: bool = False) -> Console:
    """A console for data: ``[brackets]`` and ``:words:`` in it are printed, never interpreted."""
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.soft_wrap = True
        if "COLUMNS" not in os.environ:
            console.width = PIPE_WIDTH
    return console
