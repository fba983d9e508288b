"""Finds the weights of a world through ``weights``, with the errors of the library."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from diamond_engine.errors import DiamondError, UsageError
from weights import Notice, UnknownWorldError, WeightsError, check_published, locate, to_stderr


def located(name: str, *, hub_only: bool = False, notice: Notice = to_stderr) -> Path:
    """See ``weights.locate``.

    Raises ``UsageError`` for a world that is not published, ``DiamondError`` if it is damaged or out of reach.
    """
    with _as_own_errors():
        return locate(name, hub_only=hub_only, notice=notice)


def is_published(name: str, path: Path) -> bool:
    """See ``weights.check_published``. Raises ``DiamondError`` where the file was altered or damaged."""
    with _as_own_errors():
        return check_published(name, path)


@contextmanager
def _as_own_errors() -> Generator[None]:
    try:
        yield
    except UnknownWorldError as error:
        raise UsageError(str(error)) from error
    except WeightsError as error:
        raise DiamondError(str(error)) from error
