"""``diamond-play list``: the worlds and where each would come from."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.table import Table

from diamond_engine.games import FIRST_PERSON_GAMES
from weights import Entry

ORIGINS = {"bundled": "bundled: plays offline", "cached": "downloaded: plays offline", "hub": "hub: to be downloaded"}


def table(entries: Iterable[Entry]) -> Table:
    """One row a world, including worlds that have a command but no weights yet."""
    rows = {entry.name: (ORIGINS[entry.origin], f"{entry.size_bytes / 1e6:.0f} MB", entry.licence) for entry in entries}
    result = Table("world", "comes from", "size", "licence", box=box.SIMPLE_HEAD)
    for name in sorted({*rows, *FIRST_PERSON_GAMES}):
        result.add_row(name, *rows.get(name, ("nowhere yet: --weights", "–", "–")))
    return result
