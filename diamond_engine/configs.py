"""Typed configuration at the edges: dataclasses to YAML and back (OmegaConf), with errors a person can act on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diamond_engine.errors import DiamondError

T = TypeVar("T")


def read_config(cls: type[T], path: Path) -> T:
    """Reads a dataclass from YAML. Raises ``DiamondError`` for a missing or malformed file and for unknown fields."""
    try:
        loaded = OmegaConf.merge(OmegaConf.structured(cls), OmegaConf.create(path.read_text(encoding="utf-8")))
        return cast(T, OmegaConf.to_object(loaded))
    except FileNotFoundError as error:
        raise DiamondError(f"missing {path}") from error
    except OSError as error:
        raise DiamondError(f"cannot read {path}: {error.strerror}") from error
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError) as error:
        raise DiamondError(f"{path} is not a valid {cls.__name__}: {str(error).splitlines()[0]}") from error


def plain(config: Any) -> dict[str, Any]:
    """A dataclass as nested dictionaries and lists, ready for YAML or JSON."""
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(asdict(config))))


def to_yaml(config: Any) -> str:
    """A dataclass as YAML, fields in order."""
    return yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True)
