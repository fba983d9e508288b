"""Options that commands share, and the output of results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from diamond_engine.runtime import Runtime, device_name
from training.evaluation.held_out import MAX_SEED, POLICY_EPSILONS
from training.evaluation.reports.report import Report, write_report

WorldName = Annotated[str, typer.Argument(metavar="WORLD", help="A world such as atari/Breakout, or a world folder.")]
Weights = Annotated[str | None, typer.Option(help="Weights to use: a world folder, a published .pt file, or 'hub'.")]
PresetName = Annotated[str | None, typer.Option(help="Sampler preset of the world, such as quality or fast.")]
DenoisingSteps = Annotated[
    list[int], typer.Option("--denoising-steps", "-n", min=1, help="Denoising steps a frame, once for each to compare.")
]
PAPER_DENOISING_STEPS = [1, 3, 10]
"""Numbers of denoising steps in Figure 3."""
Episodes = Annotated[int, typer.Option(min=1, help="Real episodes to play; a lost life ends one.")]
PolicyMix = Annotated[
    list[float] | None,
    typer.Option(
        min=0,
        max=1,
        help="Chance of a random action, once for each policy of the mix "
        f"[default: {', '.join(map(str, POLICY_EPSILONS))}].",
        show_default=False,
    ),
]
NumEnvs = Annotated[int, typer.Option(min=1, help="Dreams side by side: more need more memory.")]
Seed = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the games, the policies and the noise.")]
Device = Annotated[str, typer.Option(help="Torch device to run on, or 'auto' for the fastest.")]
Dtype = Annotated[str, typer.Option(help="Precision: auto, float32 or bfloat16.")]
Recordings = Annotated[
    Path | None,
    typer.Option(
        "--data", file_okay=False, help="First-person recordings: those held out of training are compared with."
    ),
]
ReportPath = Annotated[Path | None, typer.Option(dir_okay=False, help="Also write the result here, as flat JSON.")]
PicturePath = Annotated[Path, typer.Option(dir_okay=False, help="Picture to write (PNG).")]


def where(runtime: Runtime) -> Report:
    """Facts about the hardware of a result."""
    return {
        "device": runtime.device.type,
        "hardware": device_name(runtime.device),
        "dtype": runtime.dtype_name,
    }


def tell(*parts: Table | str) -> None:
    """Prints a result to standard output."""
    console = Console()
    for part in parts:
        console.print(part)


def file(path: Path | None, report: Report) -> None:
    """Writes a report on request."""
    if path is not None:
        write_report(path, report)
