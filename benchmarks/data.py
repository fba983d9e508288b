"""Reading speed of first-person recordings in frames a second: original files, kept open, and prepared shards.

Segments are drawn as in training: the dynamics' from low-resolution frames, the upsampler's from full-resolution ones
too. The plain way opens a file for every segment. The result is compared with a trainer's need: a number of updates a
second at the paper's batch size.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks import options
from benchmarks.output import show_json, show_table, spread, times
from benchmarks.timing import Timing, interleaved
from diamond_engine.errors import UsageError
from training.first_person.config import paper
from training.first_person.footage import Footage, Originals, Prepared, Segments
from training.first_person.shards import shrink
from training.runs.command import run

app = typer.Typer(add_completion=False)
COLUMNS = ("frames", "from", "batch ms", "frames/s", "speedup", "updates/s possible", "headroom")
UPDATES_PER_SECOND = 20.0
REOPENED = "originals, reopened"
Row = dict[str, Any]


class Reopened(Originals):
    """The original files, opened for every segment."""

    def low_res(self, clip: int, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Footage.low_res``."""
        return shrink(self.full_res(clip, start, stop))

    def full_res(self, clip: int, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Footage.full_res``."""
        return self._open(clip).frames(start, stop)

    def actions(self, clip: int, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Footage.actions``."""
        return self._open(clip).actions(start, stop)


@app.command()
def data(
    originals: Annotated[Path | None, typer.Option(help="A folder of original .hdf5 files.")] = None,
    prepared: Annotated[Path | None, typer.Option(help="What csgo-data prepare made of them.")] = None,
    updates: Annotated[
        float, typer.Option(min=0.1, help="Updates/s of the trainer that is to be fed.")
    ] = UPDATES_PER_SECOND,
    seconds: options.Seconds = 5.0,
    seed: Annotated[int, typer.Option(help="Of the segments that are drawn.")] = 0,
) -> None:
    """Reads segments at the paper's batch sizes (dynamics 16 × 9 frames, upsampler 4 × 3), in one process."""
    sources = dict(_sources(originals, prepared))
    if not sources:
        raise UsageError("give --originals, --prepared, or both")
    rows: list[Row] = []
    for stage, cfg, context in (("low-res", paper().dynamics, 4), ("full-res", paper().upsampler, 1)):
        length, full = context + 1 + cfg.autoregressive_steps, stage == "full-res"
        readers = {name: _reader(source, length, cfg.batch_size, seed, full) for name, source in sources.items()}
        timings = interleaved(readers, torch.device("cpu"), seconds)
        rows += _rows(stage, cfg.batch_size, length, timings, updates)
    title = f"Reading first-person segments; headroom over a trainer of {updates:g} updates/s"
    show_table(title, COLUMNS, [_cells(row) for row in rows])
    show_json({"benchmark": "data", "updates_per_s": updates, "rows": rows})


def _sources(originals: Path | None, prepared: Path | None) -> Iterator[tuple[str, Footage]]:
    quiet = Console(file=io.StringIO())
    if originals is not None:
        yield REOPENED, Reopened(originals, quiet)
        yield "originals, kept open", Originals(originals, quiet)
    if prepared is not None:
        yield "shards", Prepared(prepared)


def _reader(footage: Footage, length: int, batch: int, seed: int, full_res: bool) -> Callable[[], object]:
    """Reads one batch after the other on one thread; the trainer has two that read ahead."""
    segments, numbers = Segments(footage, length, batch, seed, full_res=full_res), iter(range(1_000_000))
    return lambda: segments.read(next(numbers))


def _rows(stage: str, batch: int, length: int, timings: dict[str, Timing], updates: float) -> list[Row]:
    plain = timings.get(REOPENED)
    return [
        {
            "frames": stage,
            "source": name,
            "batch_ms": timing.milliseconds(),
            "frames_per_s": timing.rate(batch * length),
            "updates_per_s": timing.rate(),
            "speedup": None if plain is None else round(plain.median / timing.median, 3),
            "headroom": round(1 / timing.median / updates, 3),
        }
        for name, timing in timings.items()
    ]


def _cells(row: Row) -> list[str]:
    return [
        row["frames"],
        row["source"],
        spread(row["batch_ms"]),
        f"{row['frames_per_s']:.0f}",
        "–" if row["speedup"] is None else times(row["speedup"]),
        f"{row['updates_per_s']:.1f}",
        times(row["headroom"]),
    ]


if __name__ == "__main__":
    run(app)
