"""Settings of a run from the command line: ``--config FILE`` and ``--set path=value`` over a typed configuration."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence, Set
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf

from diamond_engine.configs import plain
from diamond_engine.errors import UsageError

T = TypeVar("T")


def configured(base: T, file: Path | None, assignments: Sequence[str]) -> T:
    """Changes a dataclass by a YAML file, then by assignments such as ``denoiser.batch_size=16``.

    Raises ``UsageError`` for a file that cannot be read, an unknown name (with the nearest known one), and a value of
    the wrong type.
    """
    config, known = OmegaConf.structured(base), list(_leaves(plain(base)))
    if file is not None:
        config = _merged(config, _read(file), str(file), known)
    for assignment in assignments:
        name, equals, _ = assignment.partition("=")
        if not (name and equals):
            raise UsageError(f"--set takes path=value, such as --set denoiser.batch_size=16, not {assignment!r}")
        config = _merged(config, _parsed(assignment), "--set", known)
    try:
        return cast(T, OmegaConf.to_object(config))
    except Exception as error:  # also from a dataclass that refuses a value
        raise UsageError(_reason(error)) from error


def _read(file: Path) -> DictConfig:
    try:
        loaded = OmegaConf.create(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except Exception as error:  # a damaged file can raise almost any exception
        raise UsageError(f"{file} is not YAML: {_reason(error)}") from error
    if not isinstance(loaded, DictConfig):
        raise UsageError(f"{file} must hold names and values, such as 'final_epochs: 50'")
    return loaded


def _parsed(assignment: str) -> DictConfig:
    try:
        return OmegaConf.from_dotlist([assignment])
    except Exception as error:
        raise UsageError(f"--set {assignment}: {_reason(error)}") from error


def _merged(config: Any, changes: DictConfig, origin: str, known: list[str]) -> Any:
    _check_names(changes, origin, known)
    try:
        return OmegaConf.merge(config, changes)
    except Exception as error:
        names = ", ".join(_leaves(OmegaConf.to_container(changes)))
        raise UsageError(f"{origin}: {names}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _check_names(changes: DictConfig, origin: str, known: list[str]) -> None:
    groups = {name.rsplit(".", depth)[0] for name in known for depth in range(1, name.count(".") + 1)}
    for name in _leaves(OmegaConf.to_container(changes)):
        if name in groups:
            raise UsageError(f"{origin}: {name} is a group of settings: name one, such as {_first(known, name)}")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise UsageError(f"{origin}: unknown setting {name!r}: did you mean {near}?")


def _first(known: list[str], group: str) -> str:
    return next(name for name in known if name.startswith(f"{group}."))


def _leaves(tree: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of all values in nested dictionaries."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def check_counts(config: Any, may_be_zero: Set[str], prefix: str = "") -> None:
    """Raises ``UsageError`` for a count (any ``int``) below 1, or below 0 if its dotted name is in ``may_be_zero``."""
    for field in fields(config):
        name, value = prefix + field.name, getattr(config, field.name)
        if is_dataclass(value):
            check_counts(value, may_be_zero, f"{name}.")
        elif isinstance(value, int) and not isinstance(value, bool) and value < (0 if name in may_be_zero else 1):
            least = "at least 0" if name in may_be_zero else "more than 0"
            raise UsageError(f"{name} must be {least}, not {value}")
