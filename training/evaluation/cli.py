"""``diamond-eval``: measures worlds, scores agents, inspects data sets."""

from __future__ import annotations

import typer

from diamond_engine.command_line import add_version
from training.evaluation.commands.compare import compare
from training.evaluation.commands.first_person import response
from training.evaluation.commands.play import play
from training.evaluation.commands.scores import agent, inspect, suite
from training.evaluation.commands.worlds import denoising_steps, drift, fidelity
from training.runs import command

PROGRAM = "diamond-eval"

app = typer.Typer(
    help="Measure a world against the real game, score its agent, compare runs with the paper, look into a data set.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
add_version(app, PROGRAM)
for function in (fidelity, play, response, drift, denoising_steps, compare, agent, suite, inspect):
    app.command()(function)


def main() -> None:
    """The console script."""
    command.run(app, PROGRAM)
