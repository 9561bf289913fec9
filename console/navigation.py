"""The menu: which pages there are, and who may see them."""

from typing import NamedTuple

from services.access import Principal, Right

AWAITS_SOMEBODY = "state=open&state=proposed"
"""The filter of breaks that are not resolved yet."""


class Entry(NamedTuple):
    """A page in the menu; ``right`` is what seeing it takes, ``key`` leads there after ``g``.

    ``narrowed``: the filters with which it is opened from here.
    """

    path: str
    title: str
    icon: str
    right: Right
    key: str
    narrowed: str = ""

    @property
    def address(self) -> str:
        """Where the menu leads."""
        return f"{self.path}?{self.narrowed}" if self.narrowed else self.path


class Shown(NamedTuple):
    """An entry as a page shows it; ``current`` when the page is it or below it."""

    entry: Entry
    current: bool


ENTRIES = (
    Entry(path="/dashboard", title="Dashboard", icon="layout-dashboard", right=Right.READ_ANALYTICS, key="d"),
    Entry(path="/worklist", title="Worklist", icon="list-check", right=Right.READ_ACCOUNTS, key="w"),
    Entry(path="/accounts", title="Accounts", icon="users", right=Right.READ_ACCOUNTS, key="a"),
    Entry(path="/imports", title="Imports", icon="file-import", right=Right.READ_IMPORTS, key="i"),
    Entry(path="/payments", title="Payments", icon="credit-card", right=Right.READ_PAYMENTS, key="p"),
    Entry(
        path="/reconciliation",
        title="Reconciliation",
        icon="scale",
        right=Right.READ_RECONCILIATIONS,
        key="r",
        narrowed=AWAITS_SOMEBODY,
    ),
    Entry(path="/scoring", title="Scoring", icon="chart-dots", right=Right.READ_SCORING, key="s"),
    Entry(path="/schedules", title="Schedules", icon="calendar-time", right=Right.READ_SCHEDULES, key="c"),
    Entry(path="/exports", title="Exports", icon="file-download", right=Right.EXPORT_LISTS, key="x"),
    Entry(path="/settings", title="Settings", icon="settings", right=Right.READ_SETTINGS, key="e"),
)


def menu(who: Principal, path: str) -> list[Shown]:
    """What ``who`` may see, of which ``path`` is a page."""
    return [
        Shown(entry, path == entry.path or path.startswith(f"{entry.path}/"))
        for entry in ENTRIES
        if who.may(entry.right)
    ]


def first_page(who: Principal) -> str:
    """Where a day begins: the worklist for who works accounts, the figures for who answers for them."""
    return "/dashboard" if who.may(Right.READ_ANALYTICS) else "/worklist"
