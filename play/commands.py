"""The commands of ``diamond-play``. What needs torch or pygame is imported when a command needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from diamond_engine.command_line import add_version

PROGRAM = "diamond-play"


class Commands(TyperGroup):
    """Takes the name of a world for a command and a game: ``gym:CartPole-v1``, ``atari/Breakout``, ``mine:Env-v0``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """See click's ``Group.resolve_command``."""
        for sign in ":/":
            command, named, game = args[0].partition(sign)
            if named and command in self.commands:
                return super().resolve_command(ctx, [command, game, *args[1:]])
        own = ":" in args[0] and not args[0].startswith("-")
        return super().resolve_command(ctx, ["gym", *args] if own else args)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Play inside diffusion world models.",
)
add_version(app, PROGRAM)

EMULATED_HELP = """F1 in the window shows the keys.

Without a display a video of 20 seconds is written instead.
"""
FIRST_PERSON_HELP = """F1 in the window shows the keys.

A click into the window captures the mouse to look around with; Esc frees it, a second Esc quits.
Without a display a video of 20 seconds is written instead; --headless --frames 32 --replay follows the recorded player.
"""

GameName = Annotated[
    str,
    typer.Argument(
        metavar="GAME", help="Such as Breakout; of gym the id of an environment: CartPole-v1, or module:Env-v0."
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(help="World folder, published checkpoint, or 'hub' (default: the bundled world, else the hub's)."),
]
Device = Annotated[str, typer.Option(help="Torch device, or 'auto' for the fastest.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16, or 'auto' for bfloat16 where it is native.")]
Preset = Annotated[str | None, typer.Option(help="Sampler preset of the world: quality or fast.")]
Steps = Annotated[int | None, typer.Option(help="Denoising steps, in place of the preset's.")]
UpsamplerSteps = Annotated[int | None, typer.Option(help="Denoising steps of the upsampler, in place of the preset's.")]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile/--no-compile",
        help="On a CPU, play by kernels made for it: built beside the game at the first start, in seconds.",
    ),
]
Seed = Annotated[int, typer.Option(help="Same seed and actions, same frames.")]
Horizon = Annotated[int, typer.Option(help="Steps after which a dream ends and the next begins.")]
Context = Annotated[int, typer.Option(help="Number of the start context; Enter goes to the next.")]
FollowRecording = Annotated[
    bool, typer.Option("--replay", help="The player recorded at the start context plays first; M hands control over.")
]
Sensitivity = Annotated[float, typer.Option(help="How far the mouse turns the view; + and - in the window change it.")]
Record = Annotated[
    Path | None, typer.Option(help="Record from the start: this MP4, and beside it a file for 'replay'.")
]
Real = Annotated[bool, typer.Option("--real", help="Start in the real emulator; Tab switches.")]
BesideReal = Annotated[
    bool, typer.Option("--beside", help="Show the real emulator's frame beside the dream's, under the same actions.")
]
Headless = Annotated[bool, typer.Option("--headless", help="No window.")]
Frames = Annotated[int | None, typer.Option(help="Stop after so many frames (headless: those of 20 s).")]
Video = Annotated[Path | None, typer.Option(help="Write an MP4 of the whole session.")]
Report = Annotated[Path | None, typer.Option(help="Write a JSON report of speed and settings.")]


def _add_emulated(command: str, summary: str) -> None:
    """Adds the command of games that can be played for real, too; they differ in nothing but what they are called."""

    @app.command(command, help=f"{summary} {EMULATED_HELP}")
    def play_game(
        game: GameName,
        agent: Annotated[bool, typer.Option("--agent", help="The agent plays first; M hands control over.")] = False,
        real: Real = False,
        beside: BesideReal = False,
        weights: Weights = None,
        preset: Preset = None,
        steps: Steps = None,
        device: Device = "auto",
        dtype: Dtype = "auto",
        seed: Seed = 0,
        compiled: Compile = True,
        horizon: Horizon = 50,
        record: Record = None,
        headless: Annotated[
            bool, typer.Option("--headless", help="No window; the agent plays where the world has one.")
        ] = False,
        frames: Frames = None,
        video: Video = None,
        report: Report = None,
    ) -> None:
        from play.launch import play
        from play.options import Options, Outputs, origin_of, world_of
        from play.view import Player

        options = Options(
            world=world_of(command, game),
            weights=weights,
            preset=preset,
            steps=steps,
            device=device,
            dtype=dtype,
            compile=compiled,
            seed=seed,
            horizon=horizon,
            player=Player.AGENT if agent else None,
            origin=origin_of(real, beside),
            record=record,
        )
        play(options, Outputs(headless, frames, video, report), Console())


_add_emulated("atari", "Play an Atari game dreamed by a world model.")
_add_emulated(
    "gym", "Play your own game, a Gymnasium environment, dreamed by a world model that you trained (--weights)."
)


def _add_first_person(world: str, summary: str) -> None:
    """Adds the command of a first-person world; these differ only in the world."""

    @app.command(world, help=f"{summary} {FIRST_PERSON_HELP}")
    def command(
        follow: FollowRecording = False,
        context: Context = 0,
        weights: Weights = None,
        preset: Preset = None,
        steps: Steps = None,
        upsampler_steps: UpsamplerSteps = None,
        device: Device = "auto",
        dtype: Dtype = "auto",
        compiled: Compile = True,
        seed: Seed = 0,
        horizon: Horizon = 1000,
        sensitivity: Sensitivity = 1.0,
        record: Record = None,
        headless: Headless = False,
        frames: Frames = None,
        video: Video = None,
        report: Report = None,
    ) -> None:
        from play.launch import play
        from play.options import Options, Outputs
        from play.view import Player

        options = Options(
            world=world,
            weights=weights,
            preset=preset,
            steps=steps,
            upsampler_steps=upsampler_steps,
            device=device,
            dtype=dtype,
            compile=compiled,
            seed=seed,
            context=context,
            horizon=horizon,
            player=Player.RECORDED if follow else Player.PERSON,
            record=record,
            sensitivity=sensitivity,
        )
        play(options, Outputs(headless, frames, video, report), Console())


_add_first_person("csgo", "Play Counter-Strike (Dust II) dreamed by the published world model.")
_add_first_person("doom", "Play Doom dreamed by a world model.")


@app.command()
def serve(
    world: Annotated[str | None, typer.Argument(help="Such as atari/Breakout, doom, or the folder of a world.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs the token in the link.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    players: Annotated[int, typer.Option(help="How many play, each a dream of their own; all others watch.")] = 1,
    agent: Annotated[bool, typer.Option("--agent", help="The agent plays first; M hands control over.")] = False,
    follow: FollowRecording = False,
    real: Real = False,
    beside: BesideReal = False,
    static: Annotated[
        Path | None, typer.Option(help="Serve this exported site instead, with the headers that let it use threads.")
    ] = None,
    weights: Weights = None,
    preset: Preset = None,
    steps: Steps = None,
    upsampler_steps: UpsamplerSteps = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    compiled: Compile = True,
    seed: Seed = 0,
    context: Annotated[int | None, typer.Option(help="Number of the start context; Enter goes to the next.")] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps after which a dream ends.")] = None,
    record: Record = None,
) -> None:
    """Play in a browser: the session runs here, a page shows it. Needs diamond-engine[web].

    The first who opens the link plays, others watch. On an address that other machines reach, the link holds a token.
    """
    from diamond_engine.errors import UsageError
    from play.options import Options, named, origin_of, played, usual_horizon
    from play.view import Player
    from play.web.serving import Address, serve, serve_site

    address = Address(host, port)
    if static is not None:
        return serve_site(static, address, Console())
    if world is None:
        raise UsageError("serve what? A world such as atari/Breakout, or an exported site by --static")
    name, folder = named(world)
    game = played(name, weights or folder)
    options = Options(
        world=name,
        weights=weights or folder,
        preset=preset,
        steps=steps,
        upsampler_steps=upsampler_steps,
        device=device,
        dtype=dtype,
        compile=compiled,
        seed=seed,
        context=0 if game.vectors and context is None else context,
        horizon=usual_horizon(game) if horizon is None else horizon,
        player=Player.RECORDED if follow else Player.AGENT if agent else Player.PERSON,
        origin=origin_of(real, beside),
        record=record,
    )
    return serve(options, address, players, Console())


@app.command()
def export(
    world: Annotated[str, typer.Argument(help="Such as atari/Breakout, doom, or the folder of a world.")],
    out: Annotated[Path, typer.Option(help="Folder for the site; any web server can serve it.")],
    weights: Weights = None,
    preset: Preset = None,
    steps: Steps = None,
    upsampler_steps: UpsamplerSteps = None,
    horizon: Annotated[int | None, typer.Option(help="Steps after which a dream ends.")] = None,
    runtime: Annotated[
        Path | None, typer.Option(help="onnxruntime-web, unpacked (default: from npm, once, into the cache).")
    ] = None,
) -> None:
    """Write a page that dreams in the visitor's browser, with no server behind it. Needs diamond-engine[web].

    It runs by WebGPU where there is, else by WebAssembly, and offline after the first visit.
    """
    from play.options import Options, named, played, usual_horizon
    from play.web.exporting import export_world

    name, folder = named(world)
    options = Options(
        world=name,
        weights=weights or folder,
        preset=preset,
        steps=steps,
        upsampler_steps=upsampler_steps,
        horizon=usual_horizon(played(name, weights or folder)) if horizon is None else horizon,
    )
    export_world(options, out, runtime, Console())


@app.command()
def replay(
    path: Annotated[Path, typer.Argument(help="A recording: the MP4 or the .session.npz beside it.")],
    weights: Weights = None,
    device: Annotated[str | None, typer.Option(help="Another device than the recording's.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Another precision than the recording's.")] = None,
    video: Annotated[Path | None, typer.Option(help="Write the frames to this MP4.")] = None,
) -> None:
    """Play a recorded session back and check that every frame is identical."""
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
