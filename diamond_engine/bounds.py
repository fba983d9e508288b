"""Bounds of the numbers in a configuration file. They are checked before anything of that size is built.

Imports nothing of the library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

LARGEST = {
    "depths": 64,
    "order": 2,
    "patch_size": 16,
    "num_steps_conditioning": 64,
    "upsampling_factor": 16,
    "num_steps_denoising": 1000,
    "frame_height": 4096,
    "frame_width": 4096,
    "img_size": 4096,
}
"""Largest whole numbers, by field name."""
OF_OTHERS = 2**14
MOST_VALUES = 16
"""Most entries of a field that has one value for each level of a network."""
OF_KEYS = frozenset({"keys", "buttons", "mouse_x", "mouse_y", "never_together"})
"""Fields of a key map, which checks them itself."""
MAY_BE_INFINITE = frozenset({"s_tmax"})
ABOVE_ZERO = frozenset({"sigma_data", "sigma_min", "sigma_max", "rho", "frame_rate"})


def out_of_bounds(config: Any, prefix: str = "") -> str | None:
    """Describes the first number of a dataclass that no network, sampler or game can have; None if all are possible.

    Whole numbers lie from 1 to ``LARGEST``, the others are finite and at least 0. Untyped values (provenance) are not
    checked.
    """
    for field in fields(config):
        for name, value in _named(prefix + field.name, getattr(config, field.name)):
            problem = out_of_bounds(value, f"{name}.") if is_dataclass(value) else _problem(field.name, name, value)
            if problem is not None:
                return problem
    return None


def _named(name: str, value: Any) -> list[tuple[str, Any]]:
    """A value, or all values in a dictionary or sequence, with their names."""
    if isinstance(value, dict):
        entries = cast(dict[str, Any], value).items()
        return [(f"{name}.{key}", entry) for key, entry in entries if is_dataclass(entry)]
    if isinstance(value, (tuple, list)):
        return [(name, value), *((name, entry) for entry in cast(Sequence[Any], value))]
    return [(name, value)]


def _problem(field: str, name: str, value: Any) -> str | None:
    if field in OF_KEYS:
        return None
    if isinstance(value, (tuple, list)):
        return (
            None
            if 1 <= len(cast(Sequence[Any], value)) <= MOST_VALUES
            else f"{name} must have 1 to {MOST_VALUES} values"
        )
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        most = LARGEST.get(field, OF_OTHERS)
        return None if 1 <= value <= most else f"{name} must lie from 1 to {most}, not {value}"
    if not isinstance(value, float):
        return None
    if not (value >= 0 and (math.isfinite(value) or field in MAY_BE_INFINITE)):
        return f"{name} must be a finite number of at least 0, not {value}"
    return f"{name} must be more than 0" if field in ABOVE_ZERO and not value else None
