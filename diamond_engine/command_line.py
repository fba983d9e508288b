"""Shared by all programs: usage errors in one line, and ``--version``."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any, cast

import typer

from diamond_engine.errors import UsageError

EXIT_GOOD, EXIT_FAILED, EXIT_USAGE, EXIT_SIGINT = 0, 1, 2, 130
WRONG_USAGE = cast(type[Exception], typer.BadParameter.__mro__[1])
"""Base class of all of Typer's usage errors; Typer brings its own Click."""
DISTRIBUTION = "diamond-engine"


def run_app(app: typer.Typer, name: str | None = None) -> int:
    """Runs an app on ``sys.argv`` and returns its exit code. ``name``: name of the program (default: as it was called).

    Raises ``UsageError`` for a wrong command line, and whatever the command raises.
    """
    try:
        code = app(prog_name=name, standalone_mode=False)
    except typer.Abort:
        return EXIT_SIGINT
    except WRONG_USAGE as error:
        told = cast(Any, error)
        message: str = told.format_message()
        if type(error).__name__ == "NoArgsIsHelpError":  # the help; the coloured one is printed already
            print(message, end="\n" if message else "")
            return EXIT_USAGE
        line = " ".join(message.split()).rstrip(".")
        where = f": see '{told.ctx.command_path} --help'" if told.ctx is not None else ""
        raise UsageError(f"{line[:1].lower()}{line[1:]}{where}") from error
    return code if isinstance(code, int) else EXIT_GOOD


def refuse(context: typer.Context, options: Iterable[str], reason: str) -> None:
    """Raises ``UsageError`` if one of these options was given (names of parameters): it would have no effect."""
    for option in options:
        source = context.get_parameter_source(option)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{option.replace('_', '-')} {reason}")


def add_version(app: typer.Typer, name: str) -> None:
    """Gives a program the option ``--version``."""

    @app.callback()
    def program(  # pyright: ignore[reportUnusedFunction]
        version: bool = typer.Option(
            False, "--version", help="Show the versions of this program, torch and Python.", callback=_shower(name)
        ),
    ) -> None:
        pass


def _shower(name: str) -> Callable[[bool], None]:
    def show(asked: bool) -> None:
        if asked:
            versions = f"{name} {_version(DISTRIBUTION)}, torch {_version('torch')}, Python {platform.python_version()}"
            print(versions)
            raise typer.Exit

    return show


def _version(distribution: str) -> str:
    """Version of the installed package, read without importing it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "(not installed)"
