"""``diamond-train record``: real first-person recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diamond_engine.errors import UsageError
from training.recorders.doom.recorder import Recorder
from training.recorders.doom.scenarios import SCENARIOS
from training.recorders.doom.style import Style

record = typer.Typer(help="Record first-person games in the layout of the CS:GO data set.", no_args_is_help=True)


@record.command()
def doom(
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder to write to; a recording that is there continues.")
    ],
    episodes: Annotated[int, typer.Option(min=1, help="Episodes of 1000 frames the folder shall hold in all.")],
    workers: Annotated[int, typer.Option(min=1, help="Games side by side, a process each.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of all randomness: the same seed records the same files.")] = 0,
    reach: Annotated[
        int, typer.Option(min=0, help="Start and goals lie within so many steps of 16 units; 0: the whole level.")
    ] = 0,
    monsters: Annotated[bool, typer.Option(help="Whether there are monsters.")] = True,
    wander: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the time in which keys and mouse are random.")
    ] = 0.0,
    scenario: Annotated[
        str, typer.Option(help="One of ViZDoom's own small scenarios instead of the game: health_gathering.")
    ] = "",
) -> None:
    """Record Freedoom, played by a scripted explorer; or a scenario, in which a scripted player gathers medkits.

    Needs ViZDoom: pip install diamond-engine[doom]. Files are hdf5_doom_1.hdf5 and so on, as in the CS:GO data set:
    280x150 frames, 51-entry actions, 17.5 a second. About 130 MB and 10 seconds an episode. The keys are those of
    CS:GO, except that left shift runs and r opens doors. In
    health_gathering one walks, runs and turns; everything else does nothing, and nobody dies.
    """
    if scenario and scenario not in SCENARIOS:
        raise UsageError(f"unknown --scenario {scenario!r}: use {', '.join(SCENARIOS)}")
    Recorder(out, seed, workers, Style(reach, monsters, wander, scenario)).record(episodes)
