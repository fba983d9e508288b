"""Typed configuration: dataclasses to YAML and back (OmegaConf), with errors in one line."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from omegaconf import OmegaConf

from diamond_engine.bounds import out_of_bounds
from diamond_engine.damage import read_yaml
from diamond_engine.errors import DiamondError

LONGEST_REASON = 200
"""Most characters of an error; some quote the whole value."""
T = TypeVar("T")


def read_config(cls: type[T], path: Path) -> T:
    """Reads a dataclass from YAML.

    Raises ``DiamondError`` for a missing or malformed file, unknown fields, and numbers that are out of bounds.
    """
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), _created(read_yaml(path))))
    except FileNotFoundError as error:
        raise DiamondError(f"missing {path}") from error
    except OSError as error:
        raise DiamondError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # a damaged file can raise almost any exception
        raise DiamondError(f"{path} is not a valid {cls.__name__}: {_reason(error)}") from error
    problem = out_of_bounds(config)
    if problem is not None:
        raise DiamondError(f"{path} is not a valid {cls.__name__}: {problem}")
    return cast(T, config)


def _created(content: Any) -> Any:
    """The contents of a file, as OmegaConf holds them."""
    return cast(Any, OmegaConf.create(content))


def _reason(error: Exception) -> str:
    """The error in one line. OmegaConf sometimes leaves placeholders of its own instead of values."""
    line = (str(error) or type(error).__name__).splitlines()[0]
    if "$VALUE" in line:
        return f"{getattr(error, 'full_key', None) or 'a value'} is of the wrong type"
    return line[:LONGEST_REASON]


def plain(config: Any) -> dict[str, Any]:
    """A dataclass as nested dictionaries and lists, ready for YAML or JSON."""
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(asdict(config))))


def defaults(config: Any) -> dict[str, Any]:
    """The default values of a dataclass, in the form of ``plain``; fields without a default are left out."""
    found: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if field.default is not MISSING:
            found[field.name] = field.default
        elif field.default_factory is not MISSING:
            found[field.name] = field.default_factory()
        elif is_dataclass(value):
            found[field.name] = defaults(value)
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(_nested(found))))


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    """The same value with dataclasses replaced by dictionaries."""
    return {
        name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        for name, value in values.items()
    }


def to_yaml(config: Any) -> str:
    """A dataclass as YAML, fields in order."""
    return dumped(plain(config))


def dumped(content: dict[str, Any]) -> str:
    """Plain content as YAML, fields in order."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
