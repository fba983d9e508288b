"""``diamond-train suite``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diamond_engine.errors import UsageError
from diamond_engine.runtime import Runtime
from training.runs.options import Dtype
from training.runs.progress import make_console
from training.suite.cluster import Cluster
from training.suite.conduct import conduct
from training.suite.machine import Machine, slots_of_this_machine
from training.suite.plan import Options, plan


def suite(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the runs; what is finished there is kept.")],
    games: Annotated[str, typer.Option(help="Games, joined by commas, or all 26.")] = "all",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each game, with the seeds 0, 1, …")] = 5,
    gpus: Annotated[
        str | None, typer.Option(metavar="IDS", help="GPUs to use, such as 0,1 [default: all].", show_default=False)
    ] = None,
    per_device: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Runs at once on each GPU, or on the CPU where there is none [default: 1]; a Ray cluster without GPUs "
            "makes one on each of its CPU cores.",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Use a Ray cluster instead: its address, auto for the running one, or local to start one here.",
            show_default=False,
        ),
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="Starts of a run again after something killed it.")] = 3,
    preset: Annotated[str, typer.Option(help="Size of Algorithm 1: paper, or quick.")] = "paper",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a setting of all runs; repeatable."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Change settings of all runs by a YAML file.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option(help="Torch device of every run, or 'auto' for the fastest.")] = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Run the benchmark: diamond-train atari for 26 games x 5 seeds, on all GPUs.

    OUT/<Game>/seed_<n> are the runs; OUT is what diamond-eval suite measures. What is finished is not made again, what
    is begun continues exactly. A run that fails leaves the others alone (exit code 1 at the end). Ctrl-C saves all.

    On several machines: start Ray there (ray start), then --ray auto, with OUT on a disk that all see.

    A first look: diamond-train suite --out runs/look --games Breakout,Pong --seeds 1 --preset quick --per-device 2
    """
    if ray is not None and gpus is not None:
        raise UsageError("--gpus is for this machine: with --ray, the cluster says what it has")
    if ":" in device:
        raise UsageError(f"--device {device} names one device: say which kind here, and choose some with --gpus")
    Runtime.choose("cpu" if ray is not None else device, dtype, compile=False)  # reports what every run would
    planned = plan(out, games, seeds, Options(preset, tuple(settings or ()), config, device, dtype))
    if ray is None:
        place = Machine(slots_of_this_machine(device, gpus, per_device or 1))
    else:
        place = Cluster(ray, device, per_device)
    conduct(planned, out, place, retries, make_console())
