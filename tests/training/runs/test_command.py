"""Errors of commands: one line and an exit code."""

import errno
import signal
import subprocess
import sys
from subprocess import CompletedProcess

import pytest
import typer

from diamond_engine.errors import DiamondError, UsageError
from tests.programs import ended
from training.runs import command
from training.runs.signals import Interrupted

INTERRUPTED_INSIDE_A_DESTRUCTOR = """
import signal, time
import typer
from training.runs import command

class Interrupting:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

@app.command()
def main() -> None:
    Interrupting()
    for _ in range(6000):
        time.sleep(0.01)

command.run(app)
"""


def run(raised: BaseException | None, *arguments: str) -> CompletedProcess[str]:
    """A command that raises."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.command()
    def main(number: int = 0) -> None:
        if raised is not None:
            raise raised

    return ended(lambda: command.run(app), "program", *arguments)


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (None, 0, ""),
        (DiamondError("broken: mend it"), 1, "error: broken: mend it\n"),
        (UsageError("no such thing: try another"), 2, "error: no such thing: try another\n"),
        (OSError(errno.ENOSPC, "", "f.json"), 1, "error: No space left on device: f.json\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (Interrupted(signal.SIGTERM), 143, "interrupted: progress is saved, run the same command again"),
        (typer.Exit(1), 1, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_end_of_a_command_has_its_line_and_exit_code(raised: BaseException | None, code: int, line: str) -> None:
    done = run(raised)
    assert done.returncode == code
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == min(1, len(line))


def test_wrong_options_are_exit_code_2() -> None:
    done = run(None, "--number", "x")
    assert done.returncode == 2
    assert "--number" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_inside_a_destructor_is_not_lost() -> None:
    program = [sys.executable, "-c", INTERRUPTED_INSIDE_A_DESTRUCTOR]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_bugs_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError())
