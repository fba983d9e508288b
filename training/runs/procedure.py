"""The work of a run: the updates of one trainer, or stages such as those of Algorithm 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

Metrics = dict[str, Tensor]
"""Scalars to log, by name."""
LOG_EVERY = 20
"""Updates between rows of the log."""


class Trainer(Protocol):
    """Trains one component; it can be saved and continued."""

    def update(self) -> Metrics:
        """Makes one update and returns scalars to log."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All state, of types that load with ``weights_only``."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        ...

    def export(self, folder: Path, provenance: dict[str, Any]) -> None:
        """Writes the result so far into ``folder``, for use outside of training."""
        ...


@dataclass(frozen=True)
class Work:
    """A piece of work that was just done."""

    part: str
    """What was worked on, such as ``denoiser``."""
    done: int
    """Pieces of it done so far."""
    until: int
    """Pieces after which something else follows."""
    metrics: Metrics = field(default_factory=dict)
    """Scalars that tell how it went."""
    notable: bool = True
    """Whether to keep them in the log."""
    unit: str = "update"
    """What a piece is called."""


class Procedure(Protocol):
    """Work that goes through stages and can be saved and continued after every piece."""

    def work(self, stopping: Callable[[], bool]) -> Iterator[Work]:
        """Does the work, piece by piece, from where ``load_state_dict`` left it; may be abandoned after any piece.

        Where one takes long it asks ``stopping`` meanwhile and ends without having changed anything.
        """
        ...

    def left(self) -> dict[str, int]:
        """Pieces still to be done of the parts that take most of the time, as far as is known."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All state, of types that load with ``weights_only``."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        ...

    def export(self, folder: Path, provenance: dict[str, Any]) -> None:
        """Writes the result so far into ``folder``, for use outside of training."""
        ...


def updates_of(part: str, trainer: Trainer, done: int, until: int, log_every: int = LOG_EVERY) -> Iterator[Work]:
    """Updates a component from ``done`` to ``until`` updates; every ``log_every``-th and the last are notable."""
    for update in range(done + 1, until + 1):
        metrics = trainer.update()
        yield Work(part, update, until, metrics, notable=update % log_every == 0 or update == until)
