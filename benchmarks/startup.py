"""Time from the command to the first frame of ``diamond-play atari Breakout``, and frames/s of the session.

Cold: with an empty cache, so that the kernels are built meanwhile. Warm: with the cache of the first start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from benchmarks import options
from benchmarks.output import show_json, show_table
from diamond_engine.cache import CACHE
from diamond_engine.errors import DiamondError
from training.runs.command import run

app = typer.Typer(add_completion=False)
ROOT = Path(__file__).parents[1]
COLUMNS = ("cache", "first frame s", "whole command s", "frames", "frames/s", "median step ms", "p99 step ms")


@app.command()
def startup(
    frames: Annotated[int, typer.Option(min=1, help="Frames of each session.")] = 150,
    starts: Annotated[int, typer.Option(min=1, help="Warm starts.")] = 3,
    weights: Annotated[Path | None, typer.Option(help="World folder in place of the bundled world.")] = None,
    device: options.Device = "auto",
    plain: Annotated[bool, typer.Option("--plain", help="Also start once with --no-compile.")] = False,
) -> None:
    """Starts the game as a person would, once with an empty cache and then with the filled one."""
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        cache = Path(folder, "cache")
        if plain:
            rows.append(_started("plain", Path(folder, "unused"), frames, weights, device, ["--no-compile"]))
        for kind in ("cold", *["warm"] * starts):
            rows.append(_started(kind, cache, frames, weights, device, []))
    show_table("diamond-play atari Breakout --agent --headless", COLUMNS, [_cells(row) for row in rows])
    warm = sorted(row["time_to_first_frame_s"] for row in rows if row["cache"] == "warm")
    summary = {
        "cold_first_frame_s": next(row["time_to_first_frame_s"] for row in rows if row["cache"] == "cold"),
        "warm_first_frame_s": warm[len(warm) // 2],
        "cold_fps": next(row["fps"] for row in rows if row["cache"] == "cold"),
        "warm_fps": max(row["fps"] for row in rows if row["cache"] == "warm"),
    }
    show_json({"benchmark": "startup", **summary, "rows": rows})


def _started(kind: str, cache: Path, frames: int, weights: Path | None, device: str, more: list[str]) -> dict[str, Any]:
    """Runs one session; returns its report and the seconds of the whole process."""
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "play", "atari", "Breakout", "--agent", "--headless", "--device", device]
        command += ["--frames", str(frames), "--report", str(report), *more]
        command += [] if weights is None else ["--weights", str(weights.absolute())]
        started = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, CACHE: str(cache)}, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        if done.returncode:
            raise DiamondError(f"diamond-play failed: {done.stderr.strip().splitlines()[-1]}")
        return {"cache": kind, "seconds": round(seconds, 3), **json.loads(report.read_text(encoding="utf-8"))}


def _cells(row: dict[str, Any]) -> list[str]:
    first, seconds = row["time_to_first_frame_s"], row["seconds"]
    steps = f"{row['step_ms_p50']:.1f}", f"{row['step_ms_p99']:.1f}"
    return [row["cache"], f"{first:.2f}", f"{seconds:.2f}", str(row["frames"]), f"{row['fps']:.2f}", *steps]


if __name__ == "__main__":
    run(app)
