"""The three programs, called in this process: importing torch takes longer than most of what they do.

What a process itself does (signals, being killed, its environment, its exit code) is tested by real ones.
"""

import io
import os
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import NoReturn
from unittest.mock import patch

from play.cli import main as play
from play.window import DISPLAY_VARIABLES
from training.cli import main as train
from training.evaluation.cli import main as evaluate

PROGRAMS: dict[str, Callable[[], None]] = {"diamond-play": play, "diamond-train": train, "diamond-eval": evaluate}


def call(program: str, *arguments: object, folder: Path | None = None, **environment: str) -> CompletedProcess[str]:
    """One of the three; see ``ended``."""
    return ended(PROGRAMS[program], program, *arguments, folder=folder, **environment)


def ended(
    main: Callable[[], None], program: str, *arguments: object, folder: Path | None = None, **environment: str
) -> CompletedProcess[str]:
    """What a program would end with as a process in a folder, without a display, and with more in its environment."""
    out, errors = io.StringIO(), io.StringIO()
    command = [program, *map(str, arguments)]
    with (
        redirect_stdout(out),
        redirect_stderr(errors),
        chdir(folder or Path.cwd()),
        patch.object(sys, "argv", command),
        patch.object(sys, "unraisablehook", sys.unraisablehook),  # the training programs set their own
        patch.object(os, "_exit", _refuse),
        patch.dict(os.environ),
    ):
        for name in DISPLAY_VARIABLES:
            os.environ.pop(name, None)
        os.environ.update({"COLUMNS": "200", **environment})
        code = _exit_code(main)
    return CompletedProcess(command, code, out.getvalue(), errors.getvalue())


diamond_play, diamond_train, diamond_eval = (partial(call, program) for program in PROGRAMS)


def assert_one_line_error(ended: CompletedProcess[str], code: int, words: str) -> None:
    """One line that says what is wrong, and the exit code of its kind."""
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error:")]
    assert words in line


def _exit_code(main: Callable[[], None]) -> int:
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _refuse(code: int) -> NoReturn:
    raise AssertionError(f"would have ended this process with {code}: a session is still loading")
