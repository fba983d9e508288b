"""Errors of commands: one line and an exit code, in a process of its own."""

import subprocess
import sys

import pytest

PROGRAM = """
import errno, signal, time
import typer
from diamond_engine.errors import DiamondError, UsageError
from training.runs import command
from training.runs.signals import Interrupted

class Interrupting:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

@app.command()
def main(number: int = 0) -> None:
    {body}

command.run(app)
"""


def run(body: str, *arguments: str) -> tuple[int, str]:
    program = [sys.executable, "-c", PROGRAM.format(body=body), *arguments]
    result = subprocess.run(program, capture_output=True, text=True, timeout=300)
    return result.returncode, result.stderr


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("pass", 0, ""),
        ("raise DiamondError('broken: mend it')", 1, "error: broken: mend it\n"),
        ("raise UsageError('no such thing: try another')", 2, "error: no such thing: try another\n"),
        ("raise OSError(errno.ENOSPC, '', 'f.json')", 1, "error: No space left on device: f.json\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
        ("raise Interrupted(signal.SIGTERM)", 143, "interrupted: progress is saved, run the same command again"),
        ("raise typer.Exit(1)", 1, ""),
    ],
)
def test_every_end_of_a_command_has_its_line_and_exit_code(body: str, code: int, line: str) -> None:
    returned, stderr = run(body)
    assert returned == code
    assert stderr.startswith(line)
    assert stderr.count("\n") == min(1, len(line))


def test_wrong_options_are_exit_code_2() -> None:
    code, stderr = run("pass", "--number", "x")
    assert code == 2
    assert "--number" in stderr
    assert "Traceback" not in stderr


def test_ctrl_c_inside_a_destructor_is_not_lost() -> None:
    assert run("Interrupting(); [time.sleep(0.01) for _ in range(6000)]") == (130, "interrupted\n")


def test_bugs_are_not_hidden() -> None:
    code, stderr = run("raise ZeroDivisionError")
    assert code == 1
    assert "ZeroDivisionError" in stderr
