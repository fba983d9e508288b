"""Updates a second of every component, and the memory they take: ``diamond-train``'s way against float32, eager, NCHW.

An update is one of the paper's: 2 predicted frames a segment (denoiser), 19 transitions a segment (reward/end), 15
imagined steps of 3 denoising steps each (actor-critic). Both sides read segments, clip, and step AdamW (fused).
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import options
from benchmarks.components import COMPONENTS, FAST, PLAIN, SIDES, make_trainer, write_noise
from benchmarks.output import TERA, described, percent, show_json, show_table, spread, surroundings, times
from benchmarks.rows import Row, Rows
from benchmarks.timing import interleaved, measured_peaks
from benchmarks.worlds import world_to_time
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.runtime import Runtime
from diamond_engine.runtime.devices import peak_memory
from diamond_engine.worlds import DiffusionWorld
from training.runs.command import run

app = typer.Typer(add_completion=False)
COLUMNS = (
    "component",
    "batch",
    "plain ms",
    "fast ms",
    "plain /s",
    "fast /s",
    "speedup",
    "GFLOP",
    "of peak",
    "plain MB",
    "fast MB",
)
ROOT = Path(__file__).parents[1]


@app.command()
def train(
    component: Annotated[list[str] | None, typer.Option(help=f"{', '.join(COMPONENTS)}; all by default.")] = None,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Segments or dreams; the paper's 32 by default.")
    ] = None,
    world: Annotated[str, typer.Option(help="atari (the paper's sizes), or a world's name or folder.")] = "atari",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    seconds: options.Seconds = 20.0,
    peak_size: options.PeakSize = None,
    memory: Annotated[bool, typer.Option(help="Also measure peak memory, each side in a process of its own.")] = True,
    alone: Annotated[str | None, typer.Option(hidden=True, help="Only the peak memory of one side.")] = None,
) -> None:
    """Times updates."""
    components = component or list(COMPONENTS)
    for name in components:
        if name not in COMPONENTS:
            raise UsageError(f"unknown component {name!r}: use {', '.join(COMPONENTS)}")
    runtime = Runtime.choose(device, dtype)
    timed_world = world_to_time(world)
    if timed_world.reward_end is None or timed_world.actor_critic is None:
        raise DiamondError(f"{world} lacks a reward/end model or an agent: give one that has all three components")
    batches = batch or [32]
    with TemporaryDirectory() as folder:
        if alone is not None:
            show_json({"peak_bytes": _peak_of(components[0], alone, timed_world, batches[0], Path(folder), runtime)})
            return
        peaks = measured_peaks(runtime.device, peak_size)
        rows = Rows()
        for name in components:
            for b in batches:
                rows.add(
                    {"component": name, "batch": b},
                    lambda n=name, b=b: {
                        **_row(n, timed_world, b, Path(folder), runtime, peaks, seconds),
                        **(_memory(n, world, b, runtime) if memory else {}),
                    },
                )
    show_table(f"Training updates\n{described(runtime, peaks)}", COLUMNS, [_cells(row) for row in rows.measured])
    summary = rows.summary("plain_updates_per_s", "fast_updates_per_s", "speedup")
    show_json({"benchmark": "train", **summary, "rows": rows.measured, **surroundings(runtime, peaks)})
    rows.finish()


def _row(
    component: str,
    world: DiffusionWorld,
    batch: int,
    folder: Path,
    runtime: Runtime,
    peaks: dict[str, float],
    seconds: float,
) -> Row:
    episodes = write_noise(folder, world)
    trainers = {side: make_trainer(component, side, world, batch, episodes, runtime) for side in SIDES}
    with FlopCounterMode(display=False) as counter:
        trainers[PLAIN].update()
    flop = counter.get_total_flops()
    trainers[FAST].update()
    calls = {side: trainer.update for side, trainer in trainers.items()}
    timings = interleaved(calls, runtime.device, seconds, warm=False)
    plain, fast = timings[PLAIN], timings[FAST]
    return {
        "component": component,
        "batch": batch,
        "plain_ms": plain.milliseconds(),
        "fast_ms": fast.milliseconds(),
        "plain_updates_per_s": plain.rate(),
        "fast_updates_per_s": fast.rate(),
        "speedup": round(plain.median / fast.median, 3),
        "calls": [len(plain.seconds), len(fast.seconds)],
        "gflop": round(flop / 1e9, 3),
        "plain_peak_fraction": round(flop / plain.median / peaks["float32"], 4),
        "fast_peak_fraction": round(flop / fast.median / peaks[runtime.dtype_name], 4),
        "fast_tflops": round(flop / fast.median / TERA, 4),
    }


def _memory(component: str, world: str, batch: int, runtime: Runtime) -> Row:
    """Peak memory of each side: on a GPU torch's peak, else the largest resident set of its process."""
    found: Row = {}
    for side in SIDES:
        command = [sys.executable, "-m", "benchmarks.train", "--alone", side, "--component", component]
        command += ["--batch", str(batch), "--world", world]
        command += ["--device", str(runtime.device), "--dtype", runtime.dtype_name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise DiamondError(f"{side} {component}: {done.stderr.strip().splitlines()[-1]}")
        found[f"{side}_peak_bytes"] = json.loads(done.stdout.splitlines()[-1])["peak_bytes"]
    return found


def _peak_of(component: str, side: str, world: DiffusionWorld, batch: int, folder: Path, runtime: Runtime) -> int:
    trainer = make_trainer(component, side, world, batch, write_noise(folder, world), runtime)
    for _ in range(2):
        trainer.update()
    on_device = peak_memory(runtime.device)
    return resident_peak() if on_device is None else on_device


def resident_peak() -> int:
    """Bytes of the largest resident set of this process, where Linux counts it since the process began.

    Elsewhere by ``getrusage``, which on Linux starts at what the parent held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _cells(row: Row) -> list[str]:
    memory = [f"{row[f'{side}_peak_bytes'] / 1e6:.0f}" if f"{side}_peak_bytes" in row else "–" for side in SIDES]
    return [
        row["component"],
        str(row["batch"]),
        spread(row["plain_ms"]),
        spread(row["fast_ms"]),
        f"{row['plain_updates_per_s']:.3f}",
        f"{row['fast_updates_per_s']:.3f}",
        times(row["speedup"]),
        f"{row['gflop']:.1f}",
        f"{percent(row['plain_peak_fraction'])}, {percent(row['fast_peak_fraction'])}",
        *memory,
    ]


if __name__ == "__main__":
    run(app)
