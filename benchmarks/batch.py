"""Throughput of play and of denoiser training by batch size: where it saturates, and why.

Throughput counts frames of all dreams, and segments, a second. The plain side is timed for small batches only: large
ones take long and gain nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import options
from benchmarks.components import FAST, PLAIN, make_trainer, write_noise
from benchmarks.output import described, percent, show_json, show_table, spread, surroundings, times
from benchmarks.rows import Row, Rows
from benchmarks.sides import FastGame, PlainGame
from benchmarks.timing import Timing, interleaved, measured_peaks
from benchmarks.worlds import world_to_time
from diamond_engine.runtime import Runtime
from diamond_engine.worlds import DiffusionWorld
from training.runs.command import run

app = typer.Typer(add_completion=False)
COLUMNS = ("work", "batch", "plain ms", "fast ms", "plain /s", "fast /s", "speedup", "of peak")
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SATURATED = 0.95
"""Share of the best throughput from which a batch counts as large enough."""
BUSY = 0.6
"""Share of the peak from which arithmetic is the limit."""
PLAY, TRAINING = "play", "training"


@app.command()
def batch(
    largest: Annotated[int, typer.Option(min=1, help="Largest batch of play.")] = 256,
    largest_training: Annotated[int, typer.Option(min=0, help="Largest batch of training; 0: none.")] = 64,
    largest_plain: Annotated[int, typer.Option(min=0, help="Largest batch of the plain side.")] = 8,
    world: Annotated[str, typer.Option(help="atari (the paper's sizes), or a world's name or folder.")] = "atari",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    seconds: options.Seconds = 5.0,
    peak_size: options.PeakSize = None,
) -> None:
    """Times whole frames and updates by batch."""
    runtime, timed_world = Runtime.choose(device, dtype), world_to_time(world)
    peaks = measured_peaks(runtime.device, peak_size)
    rows, flops = Rows(), dict[str, float]()
    with TemporaryDirectory() as folder:

        def measured(work: str, b: int) -> Row:
            sides = _sides(work, timed_world, b, runtime, Path(folder), b <= max(1, largest_plain))
            if PLAIN in sides:
                flops[work] = _flop(sides[PLAIN]) / b
            return _row(work, b, interleaved(sides, runtime.device, seconds), flops.get(work, 0.0), peaks, runtime)

        for work, limit in ((PLAY, largest), (TRAINING, largest_training)):
            for b in (b for b in BATCHES if b <= limit):
                rows.add({"work": work, "batch": b}, lambda work=work, b=b: measured(work, b))
    done = rows.measured
    findings = {work: _finding([row for row in done if row["work"] == work]) for work in {row["work"] for row in done}}
    show_table(f"Throughput by batch\n{described(runtime, peaks)}", COLUMNS, [_cells(row) for row in done])
    for work, finding in findings.items():
        print(f"{work}: {finding['why']}")
    show_json(
        {"benchmark": "batch", **rows.summary(), "saturation": findings, "rows": done, **surroundings(runtime, peaks)}
    )
    rows.finish()


def _sides(
    work: str, world: DiffusionWorld, batch: int, runtime: Runtime, folder: Path, plain: bool
) -> dict[str, Callable[[], object]]:
    sides: dict[str, Callable[[], object]] = {}
    if work == PLAY:
        preset = world.config.preset(None)
        if plain:
            sides[PLAIN] = PlainGame(world, batch, preset, runtime.device).step
        return {**sides, FAST: FastGame(world, batch, preset, runtime).step}
    episodes = write_noise(folder, world)
    if plain:
        sides[PLAIN] = make_trainer("denoiser", PLAIN, world, batch, episodes, runtime).update
    return {**sides, FAST: make_trainer("denoiser", FAST, world, batch, episodes, runtime).update}


def _flop(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def _row(
    work: str, batch: int, timings: dict[str, Timing], flop: float, peaks: dict[str, float], runtime: Runtime
) -> Row:
    fast, plain = timings[FAST], timings.get(PLAIN)
    return {
        "work": work,
        "batch": batch,
        "plain_ms": None if plain is None else plain.milliseconds(),
        "fast_ms": fast.milliseconds(),
        "plain_per_s": None if plain is None else plain.rate(batch),
        "fast_per_s": fast.rate(batch),
        "speedup": None if plain is None else round(plain.median / fast.median, 3),
        "fast_peak_fraction": round(flop * batch / fast.median / peaks[runtime.dtype_name], 4),
    }


def _finding(rows: list[Row]) -> Row:
    """The batch from which on more does not help, and the limit there."""
    best = max(row["fast_per_s"] for row in rows)
    enough = next(row for row in rows if row["fast_per_s"] >= SATURATED * best)
    fraction = enough["fast_peak_fraction"]
    if enough is rows[-1] and len(rows) > 1:
        where = f"still growing at the largest batch, {enough['batch']}"
    else:
        where = f"no more than {percent(1 / SATURATED - 1)} is gained beyond a batch of {enough['batch']}"
    reason = (
        "arithmetic is the limit"
        if fraction >= BUSY
        else "not arithmetic but memory traffic and what is between the products are the limit"
    )
    why = f"{where}: {enough['fast_per_s']:.1f} a second, {percent(fraction)} of the measured peak, so {reason}"
    return {"batch": enough["batch"], "per_s": enough["fast_per_s"], "peak_fraction": fraction, "why": why}


def _cells(row: Row) -> list[str]:
    plain, speedup = row["plain_ms"], row["speedup"]
    return [
        row["work"],
        str(row["batch"]),
        "–" if plain is None else spread(plain),
        spread(row["fast_ms"]),
        "–" if plain is None else f"{row['plain_per_s']:.2f}",
        f"{row['fast_per_s']:.2f}",
        "–" if speedup is None else times(speedup),
        percent(row["fast_peak_fraction"]),
    ]


if __name__ == "__main__":
    run(app)
