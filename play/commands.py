"""The commands of ``diamond-play``. What needs torch or pygame is imported when a command needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Play inside diffusion world models.",
)

Weights = Annotated[
    str | None,
    typer.Option(help="World folder, published checkpoint, or 'hub' (default: the bundled world, else the hub's)."),
]
Device = Annotated[str, typer.Option(help="Torch device, or 'auto' for the fastest.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16, or 'auto' for bfloat16 where it is native.")]


@app.command()
def atari(
    game: Annotated[str, typer.Argument(help="One of the 26 games of Atari 100k, such as Breakout.")],
    agent: Annotated[bool, typer.Option("--agent", help="The agent plays first; M hands control over.")] = False,
    real: Annotated[bool, typer.Option("--real", help="Start in the real emulator; Tab switches.")] = False,
    weights: Weights = None,
    preset: Annotated[str | None, typer.Option(help="Sampler preset of the world: quality or fast.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps, in place of the preset's.")] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    seed: Annotated[int, typer.Option(help="Same seed and actions, same frames.")] = 0,
    compile_: Annotated[
        bool,
        typer.Option("--no-compile", help="Stay on the plain path. So far it is the only one: this changes nothing."),
    ] = False,
    horizon: Annotated[int, typer.Option(help="Steps after which a dream ends and the next begins.")] = 50,
    record: Annotated[
        Path | None, typer.Option(help="Record from the start: this MP4, and beside it a file for 'replay'.")
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="No window; the agent plays where the world has one.")
    ] = False,
    frames: Annotated[int | None, typer.Option(help="Stop after so many frames (headless: 300, or 20 s).")] = None,
    video: Annotated[Path | None, typer.Option(help="Write an MP4 of the whole session.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a JSON report of speed and settings.")] = None,
) -> None:
    """Play an Atari game dreamed by a world model. F1 in the window shows the keys.

    Without a display a video of 20 seconds is written instead.
    """
    from diamond_engine.actions import atari_game
    from play.launch import play
    from play.options import AtariOptions, Outputs
    from play.view import Origin, Player

    options = AtariOptions(
        game=atari_game(game).name,
        weights=weights,
        preset=preset,
        steps=steps,
        device=device,
        dtype=dtype,
        seed=seed,
        horizon=horizon,
        player=Player.AGENT if agent else None,
        origin=Origin.EMULATOR if real else Origin.DREAM,
        record=record,
    )
    play(options, Outputs(headless, frames, video, report), Console())


@app.command()
def replay(
    path: Annotated[Path, typer.Argument(help="A recording: the MP4 or the .session.npz beside it.")],
    weights: Weights = None,
    device: Annotated[str | None, typer.Option(help="Another device than the recording's.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Another precision than the recording's.")] = None,
    video: Annotated[Path | None, typer.Option(help="Write the frames to this MP4.")] = None,
) -> None:
    """Play a recording's actions again and check that every frame comes out identical."""
    from play.replay import replay_recording

    replay_recording(path, Console(), video, weights=weights, device=device, dtype=dtype)


@app.command("list")
def list_worlds() -> None:
    """Show the worlds and where each would come from."""
    from play.catalog import table
    from weights import catalogue

    Console().print(table(catalogue()))


@app.command()
def doctor() -> None:
    """Say what this machine will run on, how fast to expect, and what is wrong."""
    from play.doctor import examine

    console = Console(highlight=False)
    problems = []
    for finding in examine():
        console.print(f"{finding.subject:9} {finding.state}", soft_wrap=True, markup=False)
        if finding.problem is not None:
            problems.append(finding.problem)
    for problem in problems or ["none"]:
        console.print(f"{'problem':9} {problem}", soft_wrap=True, markup=False)
