"""``diamond-train``: collects episodes, trains a world and its agent, puts a world together."""

from __future__ import annotations

import typer

from diamond_engine.command_line import add_version
from training.algorithm.cli import agent, algorithm1, world_model
from training.components.cli import assemble
from training.data.cli import collect, excerpt, export_minari, import_minari
from training.first_person.cli import csgo, csgo_data, import_videos
from training.recorders.doom.cli import record
from training.runs import command
from training.suite.cli import suite

PROGRAM = "diamond-train"
ALIAS = "The same as algorithm1, by its first name."

app = typer.Typer(
    help="Make worlds: collect episodes, train the world model, train an agent in it or without it.\n\n"
    "Every command says what it will cost, can be stopped with Ctrl-C, and continues when it is run again. "
    "A world from nothing: algorithm1, as in the paper; or its single steps: collect, world-model, agent.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
add_version(app, PROGRAM)
app.add_typer(record, name="record")
app.add_typer(csgo_data, name="csgo-data")
imports = (import_videos, import_minari, export_minari)
for function in (csgo, *imports, suite, collect, excerpt, world_model, agent, algorithm1, assemble):
    app.command()(function)
app.command("atari", help=ALIAS)(algorithm1)


def main() -> None:
    """The console script."""
    command.run(app, PROGRAM)


if __name__ == "__main__":
    main()
