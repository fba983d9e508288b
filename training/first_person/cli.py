"""``diamond-train csgo``, ``csgo-data`` and ``import-videos``: first-person worlds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from diamond_engine.errors import UsageError
from diamond_engine.runtime import Runtime
from training.first_person.config import first_person_config, for_actions
from training.first_person.download import download
from training.first_person.footage import open_footage
from training.first_person.prepare import Preparation, check
from training.first_person.videos import VideoImport, parsed_size, read_key_map
from training.first_person.world import FirstPersonTraining, chosen_stages
from training.runs.options import Device, Dtype, Out, Seed, TimeBudget, check_positive
from training.runs.progress import make_console
from training.runs.session import Session
from training.runs.trained import find_world
from training.runs.workers import Workers

csgo_data = typer.Typer(
    help="The CS:GO data set: download it, prepare it for training, check it.", no_args_is_help=True
)

Recordings = Annotated[
    list[Path],
    typer.Argument(metavar="TARS... OUT", help="Tars, or folders of .hdf5 files, and at last the folder to write."),
]


@csgo_data.command()
def prepare(
    paths: Recordings,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each takes up to 0.5 GB of memory.")] = (
        os.cpu_count() or 1
    ),
    full_res: Annotated[
        bool,
        typer.Option("--full-res", help="Copy full-resolution frames too, instead of reading the originals in place."),
    ] = False,
) -> None:
    """Turn recordings into files that can be read quickly in training.

    Reads tars member by member without unpacking them. Writes 56x30 frames (4% of the originals' size: 27.8 GB for all
    of CS:GO), actions, kills and deaths. Duplicates are left out, damaged files are left out and listed. Stop it at any
    time; the same command goes on.
    """
    *sources, out = paths
    if not sources:
        raise UsageError("give the tars or folders to read, and at last the folder to write to")
    Preparation(out, workers, full_res).prepare(sources)


@csgo_data.command("download")
def download_command(
    out: Annotated[Path, typer.Argument(file_okay=False, help="Folder for the tars.")],
    first: Annotated[
        int | None, typer.Option(min=1, help="Only so many tars, of about 25 GB each [default: all 28].")
    ] = None,
) -> None:
    """Download the data set from the hub: 28 tars, 707 GB.

    At the revision this program was written for. What arrived is kept; the same command goes on. The set's authors
    state its terms at huggingface.co/datasets/TeaPearce/CounterStrike_Deathmatch.
    """
    download(out, first, make_console())


@csgo_data.command("check")
def check_command(
    folder: Annotated[Path, typer.Argument(file_okay=False, help="A prepared folder.")],
) -> None:
    """Compare a prepared folder with its manifest: every size and SHA-256."""
    check(folder, make_console())


def csgo(
    data: Annotated[
        Path, typer.Option(file_okay=False, help="Prepared folder, or folder of recordings: CS:GO's or your own.")
    ],
    out: Out,
    components: Annotated[str, typer.Option(help="What to train: dynamics, upsampler, or both.")] = (
        "dynamics,upsampler"
    ),
    preset: Annotated[str, typer.Option(help="Size: paper, or quick, which only shows it at work.")] = "paper",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a setting, such as dynamics.updates=9; repeatable."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Change settings by a YAML file.", show_default=False)
    ] = None,
    seed: Seed = 0,
    time_budget: TimeBudget = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    init: Annotated[
        str | None, typer.Option(metavar="WORLD", help="Start from the weights of a world of the same networks.")
    ] = None,
    compile_networks: Annotated[
        bool,
        typer.Option("--compile/--no-compile", help="torch.compile: a few minutes at first, then updates are faster."),
    ] = False,
) -> None:
    """Train a first-person world of two stages, as the paper does for CS:GO.

    The dynamics draw 56x30 frames from the actions, the upsampler enlarges them fivefold. OUT/world is playable as soon
    as the dynamics have begun. Run the same command again to continue where it stopped. Your own game: see
    docs/own-game.md.

    On several GPUs or machines: torchrun --nproc-per-node 8 -m training.cli csgo ... (--data and --out on a disk that
    all see). They take the batches of an update by turns: the result is that of one process.

    A first look, in minutes: diamond-train csgo --data DIR --out OUT --preset quick
    """
    stages = chosen_stages(components)
    chosen = first_person_config(preset, config, settings or [])
    check_positive(time_budget=time_budget)
    workers = Workers.of_environment()
    console = make_console(quiet=not workers.leads)
    footage = open_footage(data, console)
    chosen = for_actions(chosen, footage.key_map.size)
    seconds = None if time_budget is None else 60 * time_budget
    session = Session(out, seed, Runtime.choose(workers.device(device), dtype), seconds, console, workers)
    start = None if init is None else find_world(init)
    FirstPersonTraining(preset, chosen, footage, session, start, compile_networks).train(stages)


def import_videos(
    videos: Annotated[list[Path], typer.Argument(help="Videos, or folders of them, each with a log beside it.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of episodes to write to.")],
    frame_rate: Annotated[float, typer.Option(help="Frames a second to take.")] = 16.0,
    size: Annotated[str, typer.Option(metavar="WxH", help="Frames to write, sides multiples of 5.")] = "280x150",
    key_map: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, help="YAML: the keys, buttons and axes of your game [default: CS:GO's].", show_default=False
        ),
    ] = None,
) -> None:
    """Turn videos of your own game, and logs of what was pressed, into episodes to train on.

    play.csv or play.jsonl beside play.mp4: rows of time, keys, mouse_x, mouse_y, left_click, right_click. See
    docs/own-game.md.
    """
    check_positive(frame_rate=frame_rate)
    VideoImport(out, frame_rate, parsed_size(size), read_key_map(key_map)).run(videos)
