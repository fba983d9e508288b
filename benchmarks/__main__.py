"""``python -m benchmarks --all``: all tables in one run, within a given time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import Annotated, Any

import typer

from benchmarks import options
from benchmarks.output import show_json
from diamond_engine.errors import UsageError
from diamond_engine.files import write_text
from training.runs.command import run

app = typer.Typer(add_completion=False)
ROOT = Path(__file__).parents[1]
SHARE_MEASURED = 0.3
"""Share of the time for measured calls; the rest starts processes, makes networks and warms up."""
Result = dict[str, Any]


@dataclass(frozen=True)
class Piece:
    """One process of the run."""

    name: str
    """Name of its result."""
    module: str
    """Module of this package."""
    arguments: tuple[str, ...]
    """Options besides the device and the seconds a row."""
    rows: int
    """Number of rows it measures."""


def pieces(tiny: str | None) -> list[Piece]:
    """All pieces, the most important first. ``tiny``: measure a small world's folder instead of the paper's sizes."""
    if tiny is not None:
        quick = ("--seconds", "0", "--peak-size", "64")
        return [
            Piece("frame", "frame", ("--world", tiny, "--batch", "1", *quick), 0),
            Piece("train", "train", ("--world", tiny, "--batch", "2", "--no-memory", *quick), 0),
        ]
    return [
        Piece("atari", "frame", ("--world", "atari", "--batch", "1", "--batch", "32"), 2),
        Piece("csgo", "frame", ("--world", "csgo"), 2),
        Piece("imagination", "train", ("--component", "actor_critic"), 1),
        Piece("train", "train", ("--component", "denoiser", "--component", "reward_end"), 2),
        Piece("startup", "startup", ("--starts", "1"), 0),
        Piece("batch", "batch", ("--largest-plain", "1"), 14),
    ]


@app.command()
def main(
    all_: Annotated[bool, typer.Option("--all", help="Run every table.")] = False,
    minutes: Annotated[float, typer.Option(min=0.1, help="Time for all of it; what does not fit is left out.")] = 10.0,
    out: Annotated[Path, typer.Option(help="Where results are written, after every row.")] = Path("benchmarks.json"),
    device: options.Device = "auto",
    tiny: Annotated[str | None, typer.Option(help="Folder of a small Atari world, to try the command.")] = None,
) -> None:
    """Runs each table in its own process. A row that fails does not end the others; each is written as it comes."""
    if not all_:
        raise UsageError("say --all, or run one table: python -m benchmarks.frame, .train, .startup, .batch, .data")
    deadline = time.monotonic() + 60 * minutes
    todo = pieces(tiny)
    seconds = SHARE_MEASURED * 60 * minutes / max(1, sum(piece.rows for piece in todo))
    results: dict[str, Any] = {}
    for piece in todo:

        def keep(result: Result, name: str = piece.name) -> None:
            results[name] = result
            write_text(out, json.dumps(results, indent=1) + "\n")

        _run(piece, device, seconds, deadline - time.monotonic(), keep)
    for line in summary(results):
        print(line)
    failed = {name: result["error"] for name, result in results.items() if "error" in result}
    show_json({"benchmark": "all", "out": str(out), "failed": failed, "results": results})
    if failed:
        raise typer.Exit(1)


def _run(piece: Piece, device: str, seconds: float, left: float, keep: Callable[[Result], None]) -> None:
    """Runs a piece and passes its output on. Its result so far is kept after every row, and at the end."""
    if left <= 0:
        return keep({"error": "no time left"})
    command = [sys.executable, "-m", f"benchmarks.{piece.module}", *piece.arguments, "--device", device]
    command += ["--seconds", f"{seconds:.2f}"] if piece.rows else []
    result: Result = {"benchmark": piece.module, "rows": [], "failed": []}
    with TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        timer = Timer(left, process.kill)
        timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            result = _heard(line, result, keep)
        process.wait()
        timer.cancel()
        errors.seek(0)
        said = errors.read().strip().splitlines()
    if process.returncode == -signal.SIGKILL:
        result["error"] = f"not finished in the {left:.0f} s that were left"
    elif process.returncode and result.get("failed"):
        result["error"] = "; ".join(row["error"] for row in result["failed"])
    elif process.returncode:
        result["error"] = said[-1] if said else f"exit code {process.returncode}"
    return keep(result)


def _heard(line: str, result: Result, keep: Callable[[Result], None]) -> Result:
    """What is known after one more line of a piece; its last one replaces all others."""
    content: Result = json.loads(line) if line.startswith("{") else {}
    if "benchmark" in content:
        return content
    print(line, end="", flush=True)
    if content:
        which = "row" if "row" in content else "failed"
        result["rows" if which == "row" else "failed"].append(content[which])
        keep(result)
    return result


def summary(results: dict[str, Any]) -> Iterator[str]:
    """The table of the README, as Markdown."""
    yield "| what | plain | fast | speedup | of peak |"
    yield "|---|---|---|---|---|"
    for result in results.values():
        for row in result.get("rows", ()):
            if result["benchmark"] == "frame":
                what, unit = f"{row['world']} {row['preset']}, batch {row['batch']}", "fps"
            elif result["benchmark"] == "train":
                what, unit = f"{row['component']} update, batch {row['batch']}", "updates_per_s"
            else:
                continue
            rates = [f"{row[f'{side}_{unit}']:.2f} /s" for side in ("plain", "fast")]
            yield f"| {what} | {' | '.join(rates)} | {row['speedup']:.2f}× | {row['fast_peak_fraction']:.0%} |"


if __name__ == "__main__":
    run(app)
