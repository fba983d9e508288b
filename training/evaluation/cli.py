"""``diamond-eval``: measures worlds, scores agents, looks into data sets."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from diamond_engine import load_world
from diamond_engine.runtime import Runtime, device_name
from training import command
from training.evaluation.agent import play_games
from training.evaluation.fidelity import Dreaming, draw_starts, measure_dreams, measure_judgement
from training.evaluation.held_out import MAX_SEED, POLICY_EPSILONS, collect_held_out, held_out_seed, usable_epsilons
from training.evaluation.inspection import episode_paths, inspect_episodes
from training.evaluation.reports import (
    Report,
    agent_report,
    dream_report,
    dream_table,
    inspection_report,
    judgement_report,
    judgement_table,
    table_of,
    write_report,
)
from training.evaluation.strips import strip_picture, write_png
from training.progress import make_console, progress

app = typer.Typer(
    help="Measure a world against the real game, score its agent in real games, look into a data set.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

WorldName = Annotated[str, typer.Argument(metavar="WORLD", help="A world such as atari/Breakout, or a world folder.")]
Weights = Annotated[str | None, typer.Option(help="Weights to use: a world folder, a published .pt file, or 'hub'.")]
Seed = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the games, the policies and the noise.")]
Device = Annotated[str, typer.Option(help="Torch device to run on, or 'auto' for the fastest.")]
Dtype = Annotated[str, typer.Option(help="Precision: auto, float32 or bfloat16.")]
ReportPath = Annotated[Path | None, typer.Option(dir_okay=False, help="Also write the result here, as flat JSON.")]


@app.command()
def fidelity(
    world_name: WorldName,
    weights: Weights = None,
    episodes: Annotated[int, typer.Option(min=1, help="Real episodes to play; a lost life ends one.")] = 20,
    contexts_per_episode: Annotated[int, typer.Option(min=1, help="Dreams to start from each episode.")] = 4,
    policy_epsilon: Annotated[
        list[float],
        typer.Option(min=0, max=1, help="Chance of a random action, once for each policy of the mix."),
    ] = list(POLICY_EPSILONS),  # noqa: B006
    preset: Annotated[str | None, typer.Option(help="Sampler preset of the world, such as quality or fast.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps a frame.")] = None,
    num_envs: Annotated[int, typer.Option(min=1, help="Dreams side by side: more need more memory.")] = 16,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    report: ReportPath = None,
    strip: Annotated[
        Path, typer.Option(dir_okay=False, help="Picture to write: a long episode, real above dreamed.")
    ] = Path("fidelity_strip.png"),
) -> None:
    """Compare dreams with the real game.

    Plays fresh real episodes (from emulator seeds that training never uses), starts dreams from places in them, plays
    the real actions in the dream, and compares after 1, 5, 15 and 50 steps.

    Wrong-pixel ratio: pixels off by more than 16 of 256 levels in any channel, relative to the same count for
    repeating the last real frame; 0 is perfect, 1 no better than a still picture. PSNR: mean over frames; identical
    frames count 89 dB. Rewards and ends: predicted for every real transition and compared with what happened.

    Example: diamond-eval fidelity atari/Breakout --episodes 20 --seed 1 --report fidelity.json
    """
    world = load_world(world_name, weights=weights)
    runtime = Runtime.choose(device, dtype)
    sampler = world.config.preset(preset)
    sampler = sampler if steps is None else sampler.with_steps(steps)
    epsilons = usable_epsilons(world, tuple(policy_epsilon))
    console = make_console()
    with TemporaryDirectory() as folder:
        with progress(console, "playing real episodes", episodes) as show:
            real = collect_held_out(world, Path(folder), episodes, epsilons, seed, device, dtype, show)
        starts = draw_starts(real, world.context_length, contexts_per_episode, seed)
        with progress(console, "dreaming", len(starts)) as show:
            dreams = measure_dreams(world, real, starts, Dreaming(sampler, seed, num_envs, device, dtype), show)
        judgement = None
        if world.reward_end is not None:
            with progress(console, "judging real transitions", episodes) as show:
                judgement = measure_judgement(world.reward_end, real, world.context_length - 1, runtime, show)
    write_png(strip, strip_picture(dreams.real, dreams.dreamed))
    facts: Report = {
        "world": world.config.name,
        "weights": weights or world_name,
        "preset": preset or world.config.default_preset,
        "denoising_steps": sampler.dynamics.num_steps_denoising,
        "episodes": episodes,
        "episode_steps": real.num_steps,
        "contexts": len(starts),
        "policy_epsilons": " ".join(map(str, epsilons)),
        "seed": seed,
        **_where(runtime),
    }
    _print(table_of(facts), dream_table(dreams), judgement_table(judgement), f"picture: {strip}")
    _file(report, {**facts, **dream_report(dreams), **judgement_report(judgement)})


@app.command()
def agent(
    world_name: WorldName,
    weights: Weights = None,
    episodes: Annotated[int, typer.Option(min=1, help="Whole games to play, side by side.")] = 20,
    greedy: Annotated[bool, typer.Option("--greedy", help="Take the likeliest action instead of sampling.")] = False,
    max_steps: Annotated[int, typer.Option(min=1, help="Cut a game off after so many actions.")] = 27_000,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    report: ReportPath = None,
) -> None:
    """Score a world's agent in whole real games.

    Prints mean, standard deviation, minimum and maximum of the scores, and the human-normalised score: 0 for random
    play, 1 for a human (Table 1 of the paper).

    Example: diamond-eval agent atari/Breakout --episodes 20 --report agent.json
    """
    world = load_world(world_name, weights=weights)
    runtime = Runtime.choose(device, dtype)
    player = world.agent(device, dtype, seed)
    player.greedy = greedy
    with progress(make_console(), "games finished", episodes) as show:
        games = play_games(world.game, player, episodes, held_out_seed(seed), max_steps, show)
    result: Report = {
        "world": world.config.name,
        "weights": weights or world_name,
        "policy": "greedy" if greedy else "sampled",
        "seed": seed,
        **_where(runtime),
        **agent_report(world.game, games),
    }
    _print(table_of(result))
    _file(report, result)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", exists=True, help="A folder of episodes or one file.")],
    report: ReportPath = None,
) -> None:
    """Print what is in a folder of episodes.

    Reads every file in full. Each damaged file is named in a line of its own, and the exit code is then 1.

    Example: diamond-eval inspect data/breakout
    """
    paths = episode_paths(path)
    with progress(make_console(), "reading episodes", len(paths)) as show:
        inspection = inspect_episodes(paths, show)
    result = inspection_report(inspection)
    _print(table_of(result))
    _file(report, result)
    for line in inspection.damaged:
        typer.echo(f"damaged: {line}", err=True)
    if inspection.damaged:
        raise typer.Exit(command.EXIT_FAILED)


def _where(runtime: Runtime) -> Report:
    return {
        "device": runtime.device.type,
        "hardware": device_name(runtime.device),
        "dtype": runtime.dtype_name,
    }


def _print(*parts: Table | str) -> None:
    console = Console()
    for part in parts:
        console.print(part)


def _file(path: Path | None, report: Report) -> None:
    if path is not None:
        write_report(path, report)


def main() -> None:
    """The console script."""
    command.run(app)
