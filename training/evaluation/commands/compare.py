"""The command that sets worlds side by side: ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diamond_engine import load_world
from diamond_engine.errors import UsageError
from diamond_engine.runtime import Runtime
from training.data.episodes import GameEpisodes
from training.evaluation.commands.options import (
    Device,
    Dtype,
    NumEnvs,
    PicturePath,
    ReportPath,
    Seed,
    file,
    tell,
    where,
)
from training.evaluation.comparison import compare_worlds, longest_context, read_play
from training.evaluation.dreams import Dreaming
from training.evaluation.play.moving_pixels import HORIZON, draw_moving_starts
from training.evaluation.reports.comparison import comparison_picture, comparison_report, comparison_table
from training.evaluation.reports.pictures import write_png
from training.evaluation.reports.report import Report, table_of
from training.runs.progress import make_console, progress


def compare(
    world_names: Annotated[
        list[str], typer.Argument(metavar="WORLD", help="Worlds of one game: names, world folders or runs.")
    ],
    data: Annotated[Path, typer.Option(file_okay=False, help="Folder of episodes to dream on from.")],
    contexts: Annotated[int, typer.Option(min=1, help="Places in the episodes from which every world dreams.")] = 32,
    num_envs: NumEnvs = 16,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    report: ReportPath = None,
    picture: PicturePath = Path("compare.png"),
) -> None:
    """Set worlds side by side, such as DIAMOND and IRIS (Section 5.3 and Figure 5 of the paper).

    From the same places in the same episodes, with the same actions, every world dreams 15 steps on with its default
    preset; one that needs fewer frames to start from takes the newest. Use episodes that none has learned from.

    Wrong-pixel ratio: pixels off by more than 16 of 256 levels in any channel, relative to the same count for
    repeating the last real frame. Moving pixels: of those within 4 of what changes between two real frames, the share
    that the dream has within 16 levels. Rewards: those dreamed at the very step of the real one, such as when a brick
    is hit. Network calls a frame come one after the other; milliseconds a frame are those of one dream with its rewards
    and ends; parameters are without the agent's; training time is that of the components, where the world tells.

    The picture shows the first place: real frames above, then a row a world, with wrong pixels framed.

    Example: diamond-eval compare runs/diamond runs/iris --data data/held-out --picture compare.png
    """
    if len(set(world_names)) < len(world_names):
        raise UsageError("give every world once")
    worlds = {name: load_world(name) for name in world_names}
    context, first = longest_context(worlds), worlds[world_names[0]]
    episodes = GameEpisodes(data, first.game).episodes
    runtime = Runtime.choose(device, dtype)
    ways = {name: Dreaming(world.config.preset(None), seed, num_envs, device, dtype) for name, world in worlds.items()}
    starts = draw_moving_starts(episodes, context, contexts, seed)
    with progress(make_console(), "dreaming, frames", len(worlds) * len(starts) * HORIZON) as show:
        result = compare_worlds(worlds, ways, read_play(episodes, starts, context), show)
    write_png(picture, comparison_picture(result))
    facts: Report = {"game": first.game.name, "data": str(data), "seed": seed, **where(runtime)}
    tell(table_of(facts), comparison_table(result), f"picture: {picture}")
    file(report, {**facts, **comparison_report(result)})
