"""Whole frames a second: the authors' way against ``diamond-play``'s, by world, preset and batch.

A frame includes the agent (Atari), all denoising steps, the reward/end model (Atari), and the frame as uint8 in the
host's memory. With a batch of B dreams, frames of all of them are counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import options
from benchmarks.authors import AuthorsCode, AuthorsGame
from benchmarks.output import TERA, described, percent, show_json, show_table, spread, surroundings, times
from benchmarks.rows import Row, Rows
from benchmarks.sides import FastGame, PlainGame
from benchmarks.timing import Timing, interleaved, measured_peaks
from benchmarks.worlds import weights_bytes, world_to_time
from diamond_engine.runtime import DTYPES, Runtime
from diamond_engine.worlds import DiffusionPreset, DiffusionWorld
from training.runs.command import run

app = typer.Typer(add_completion=False)
COLUMNS = ("world", "preset", "batch", "plain ms", "fast ms", "plain fps", "fast fps", "speedup", "GFLOP", "of peak")
AUTHORS_COLUMNS = ("authors ms", "authors fps", "speedup over them")


@app.command()
def frame(
    world: options.Worlds = None,
    preset: Annotated[list[str] | None, typer.Option(help="Sampler presets; the world's own by default.")] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Dreams side by side; 1 and 32 by default.")] = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    seconds: options.Seconds = 10.0,
    peak_size: options.PeakSize = None,
    against: Annotated[
        Path | None, typer.Option(help="Folder src of the authors' repository: their code takes turns too.")
    ] = None,
) -> None:
    """Times whole frames. Two-stage worlds (csgo) are timed with one dream unless --batch says otherwise."""
    code = None if against is None else AuthorsCode(against)
    runtime = Runtime.choose(device, dtype)
    peaks = measured_peaks(runtime.device, peak_size)
    rows = Rows()
    for name in world or (["atari", "csgo"] if code is None else ["atari"]):
        timed_world = world_to_time(name)
        config = timed_world.config
        presets = preset or ([config.default_preset] if config.upsampler is None else list(config.presets))
        for chosen in presets:
            sampler = config.preset(chosen)
            for b in batch or ([1, 32] if config.upsampler is None else [1]):
                named = {"world": config.name, "preset": chosen, "batch": b}
                rows.add(
                    named,
                    lambda w=timed_world, s=sampler, n=named: {
                        **n,
                        **_row(w, s, n["batch"], runtime, peaks, seconds, code),
                    },
                )
    title = f"Whole frames\n{described(runtime, peaks)}"
    done = rows.measured
    show_table(title, COLUMNS + (AUTHORS_COLUMNS if code else ()), [_cells(row) for row in done])
    summary = rows.summary("plain_fps", "fast_fps", "speedup")
    show_json({"benchmark": "frame", **summary, "worlds": _nested(done), "rows": done, **surroundings(runtime, peaks)})
    rows.finish()


def _row(
    world: DiffusionWorld,
    sampler: DiffusionPreset,
    batch: int,
    runtime: Runtime,
    peaks: dict[str, float],
    seconds: float,
    code: AuthorsCode | None,
) -> Row:
    plain, fast = (
        PlainGame(world, batch, sampler, runtime.device),
        FastGame(world, batch, sampler, runtime),
    )
    with FlopCounterMode(display=False) as counter:
        plain.step()
    flop = counter.get_total_flops()
    sides = {"plain": plain.step, "fast": fast.step}
    if code is not None:
        sides["authors"] = AuthorsGame(code, world, batch, sampler, runtime.device).step
    timings = interleaved(sides, runtime.device, seconds)
    seconds_of = {side: timing.median for side, timing in timings.items()}
    return {
        "plain_ms": timings["plain"].milliseconds(),
        "fast_ms": timings["fast"].milliseconds(),
        "plain_fps": timings["plain"].rate(batch),
        "fast_fps": timings["fast"].rate(batch),
        "speedup": round(seconds_of["plain"] / seconds_of["fast"], 3),
        "calls": [len(timings["plain"].seconds), len(timings["fast"].seconds)],
        "gflop": round(flop / 1e9, 3),
        "weights_mb": {name: round(weights_bytes(world, dtype) / 1e6, 1) for name, dtype in DTYPES.items()},
        "plain_peak_fraction": round(flop / seconds_of["plain"] / peaks["float32"], 4),
        "fast_peak_fraction": round(flop / seconds_of["fast"] / peaks[runtime.dtype_name], 4),
        "fast_tflops": round(flop / seconds_of["fast"] / TERA, 4),
        **({} if code is None else _against(timings, batch)),
    }


def _against(timings: dict[str, Timing], batch: int) -> Row:
    """What the authors' code took, and how many times as fast the fast side is."""
    authors = timings["authors"]
    return {
        "authors_ms": authors.milliseconds(),
        "authors_fps": authors.rate(batch),
        "speedup_over_authors": round(authors.median / timings["fast"].median, 3),
    }


def _cells(row: Row) -> list[str]:
    return [
        row["world"],
        row["preset"],
        str(row["batch"]),
        spread(row["plain_ms"]),
        spread(row["fast_ms"]),
        f"{row['plain_fps']:.2f}",
        f"{row['fast_fps']:.2f}",
        times(row["speedup"]),
        f"{row['gflop']:.1f}",
        f"{percent(row['plain_peak_fraction'])}, {percent(row['fast_peak_fraction'])}",
        *(
            (spread(row["authors_ms"]), f"{row['authors_fps']:.2f}", times(row["speedup_over_authors"]))
            if "authors_ms" in row
            else ()
        ),
    ]


def _nested(rows: list[Row]) -> dict[str, dict[str, Row]]:
    """Results by world and preset, at the first timed batch."""
    nested: dict[str, dict[str, Row]] = {}
    for row in rows:
        summary = {key: row[key] for key in ("plain_fps", "fast_fps", "speedup", "batch")}
        nested.setdefault(row["world"], {}).setdefault(row["preset"], summary)
    return nested


if __name__ == "__main__":
    run(app)
