"""The commands for scores and episodes: ``agent``, ``suite``, ``inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diamond_engine import load_world
from diamond_engine.command_line import EXIT_FAILED
from diamond_engine.runtime import Runtime
from training.evaluation.commands.options import Device, Dtype, ReportPath, Seed, Weights, WorldName, file, tell, where
from training.evaluation.held_out import held_out_seed
from training.evaluation.inspection import episode_paths, inspect_episodes
from training.evaluation.reports.games import agent_report, inspection_report
from training.evaluation.reports.plots import write_plots
from training.evaluation.reports.report import Report, table_of
from training.evaluation.reports.suite import (
    aggregates_table,
    games_table,
    improvement_table,
    stated_means,
    suite_report,
)
from training.evaluation.scores.agent import play_games
from training.evaluation.scores.benchmark import paper_scores
from training.evaluation.scores.suite import SuiteScores, measure_suite, read_suite
from training.runs.progress import make_console, progress

PAPER = "paper"


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
    play, 1 for a human (Table 1 of the paper, its 26 games alone).

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
        **where(runtime),
        **agent_report(world.game, games),
    }
    tell(table_of(result))
    file(report, result)


def suite(
    runs: Annotated[
        str,
        typer.Argument(
            metavar="RUNS", help="A folder of run folders, a JSON file of scores, or 'paper': DIAMOND's own."
        ),
    ],
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    report: ReportPath = None,
    plots: Annotated[
        Path | None, typer.Option(file_okay=False, help="Also draw plots (PNG) into this folder; needs matplotlib.")
    ] = None,
) -> None:
    """Measure runs, games × seeds, as the paper does, and set them against its Table 1.

    RUNS is searched at any depth for run folders with a final.json, {"game": "Pong", "seed": 0, "scores": [19.0, …]}:
    the scores of the final games, whose mean is the score of the run. Unfinished runs are listed, not counted. A JSON
    file maps games to the scores of their runs: {"Pong": [19.3, 20.9], …}. All is over the games that have a run, also
    for the columns of the paper.

    Scores are human-normalised: 0 for random play, 1 for a human. Mean, median and games above human are of the mean
    scores of the games; the interquartile mean (IQM) is of the middle half of all runs; the optimality gap is how far
    all runs fall short of a human, on average. Intervals: 95 %, bootstrap over the runs within every game (Agarwal et
    al., 2021). Probability of improvement: that a run scores more than one of another method on the same game. The
    runs of DIAMOND, IRIS and SimPLe are known; of the other columns only means, which stand for their runs.

    Example: diamond-eval suite runs/atari100k --report suite.json --plots plots

    The paper's own numbers: diamond-eval suite paper
    """
    scores = SuiteScores(paper_scores(), []) if runs == PAPER else read_suite(Path(runs))
    result = measure_suite(scores.scores, seed)
    tell(games_table(result), aggregates_table(result), *stated_means(result), improvement_table(result))
    for folder in scores.unfinished:
        typer.echo(f"unfinished, not counted: {folder}")
    if plots is not None:
        tell(*(f"plot: {path}" for path in write_plots(plots, result)))
    file(report, {"source": runs, "seed": seed, **suite_report(scores, result)})


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
    tell(table_of(result))
    file(report, result)
    for line in inspection.damaged:
        typer.echo(f"damaged: {line}", err=True)
    if inspection.damaged:
        raise typer.Exit(EXIT_FAILED)
