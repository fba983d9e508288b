"""The rows of a table: each is printed as soon as it is measured, and one that fails does not end the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer

from benchmarks.output import show_json
from diamond_engine.errors import UsageError

Row = dict[str, Any]


class Rows:
    """Measured rows, and those that failed."""

    def __init__(self) -> None:
        self.measured: list[Row] = []
        """Rows with results."""
        self.failed: list[Row] = []
        """Names of the other rows, each with its ``error``."""

    def add(self, name: Mapping[str, Any], measure: Callable[[], Row]) -> None:
        """Measures a row and prints it as JSON under ``row``, or its name and ``error`` under ``failed``.

        Raises only ``UsageError``, from ``measure``.
        """
        try:
            self.measured.append(measure())
            show_json({"row": self.measured[-1]})
        except UsageError:
            raise
        except Exception as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            self.failed.append({**name, "error": reason})
            show_json({"failed": self.failed[-1]})

    def summary(self, *names: str) -> Row:
        """What the last line says of the first row, and what failed."""
        first = {name: self.measured[0][name] for name in names} if self.measured else {}
        return {**first, "failed": self.failed}

    def finish(self) -> None:
        """Ends the command with exit code 1 where a row failed."""
        if self.failed:
            raise typer.Exit(1)
