"""Facts in a run folder: its settings (``config.yaml``) and its origin (``provenance.yaml``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from diamond_engine.damage import read_yaml, reading
from diamond_engine.errors import UsageError
from diamond_engine.files import write_text

CONFIG = "config.yaml"
PROVENANCE = "provenance.yaml"


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Writes all settings that affect the result of a run."""
    write_text(folder / CONFIG, yaml.safe_dump(_plain(config), sort_keys=False))


def check_continues(folder: Path, config: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Raises ``UsageError`` if the run in a folder has another configuration.

    A setting that the run does not list had its default. ``defaults``: see ``Run``.
    """
    with reading(folder / CONFIG, "is damaged: put it back, or use another --out"):
        old = dict(_flat(read_yaml(folder / CONFIG)))
    then, new = {**dict(_flat(_plain(defaults))), **old}, dict(_flat(_plain(config)))
    changed = sorted(key for key in {*old, *new} if then.get(key) != new.get(key))
    if changed:
        raise UsageError(
            f"{folder} holds a run with other settings ({', '.join(changed)}): "
            "use the same ones to continue it, or another --out"
        )


def write_provenance(folder: Path, provenance: dict[str, Any]) -> None:
    """Writes the provenance of a run."""
    write_text(folder / PROVENANCE, yaml.safe_dump(_plain(provenance), sort_keys=False, allow_unicode=True))


def read_provenance(folder: Path) -> dict[str, Any]:
    """Reads the provenance of the run in a folder; empty if there is none.

    Raises ``DiamondError`` if it is damaged.
    """
    path = folder / PROVENANCE
    if not path.exists():
        return {}
    with reading(path, "is damaged: remove it, the run writes it again"):
        return dict(read_yaml(path))


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """The value in the form of a file: without tuples."""
    return json.loads(json.dumps(config))


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested dictionary, by dotted name."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
