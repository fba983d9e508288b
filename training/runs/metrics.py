"""The metrics of a run: JSON lines in ``metrics.jsonl``, and TensorBoard."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from diamond_engine.files import write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class MetricsLog:
    """Rows of one run, each with the ``step`` of the run at which it was written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "metrics.jsonl"
        self._board: SummaryWriter | None = None

    @contextmanager
    def opened(self, step: int) -> Iterator[None]:
        """Context for writing rows. Rows after ``step``, written before a crash, are removed."""
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and only a training needs it

        self._take_back(step)
        self._board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=step + 1)
        try:
            yield
        finally:
            self._board.close()
            self._board = None

    def write(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Appends one row."""
        row = {"step": step, "seconds": round(seconds, 3), **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def _take_back(self, step: int) -> None:
        if self.path.exists():
            rows = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
            write_text(self.path, "".join(row + "\n" for row in rows if _step_of(row) <= step))


def _step_of(row: str) -> float:
    """The step of a row; infinite if the row is cut off or damaged."""
    try:
        return float(json.loads(row)["step"])
    except Exception:
        return math.inf
