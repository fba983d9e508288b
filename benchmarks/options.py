"""The options all benchmarks share."""

from __future__ import annotations

from typing import Annotated

import typer

Device = Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")]
Dtype = Annotated[str, typer.Option("--dtype", help="Precision of the fast path: auto, float32 or bfloat16.")]
Seconds = Annotated[float, typer.Option("--seconds", min=0, help="Time for each row, after a call to warm up.")]
PeakSize = Annotated[
    int | None, typer.Option("--peak-size", min=1, help="Size of the matrices that measure the device's peak.")
]
Worlds = Annotated[
    list[str] | None,
    typer.Option(
        "--world", help="atari or csgo (the paper's sizes, random weights), or a world's name or folder; repeatable."
    ),
]
