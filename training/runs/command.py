"""Error handling of all training commands: one line, and the right exit code."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from typing import NoReturn

import typer

from diamond_engine.command_line import EXIT_FAILED, EXIT_SIGINT, EXIT_USAGE, run_app
from diamond_engine.errors import DiamondError, UsageError
from training.runs.signals import Interrupted

RETRY_SECONDS = 0.05


def run(app: typer.Typer, name: str | None = None) -> None:
    """Runs an app on ``sys.argv`` and exits: 0 good, 1 failed, 2 wrong usage, 128 + the number of a signal.

    ``name``: of the program (default: as it was called).
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even if a shell started us with Ctrl-C ignored
    sys.unraisablehook = _interrupt_again
    try:
        code = run_app(app, name)
    except UsageError as error:
        _exit(f"error: {error}", EXIT_USAGE)
    except DiamondError as error:
        _exit(f"error: {error}", EXIT_FAILED)
    except OSError as error:
        _exit(f"error: {_described(error)}", EXIT_FAILED)
    except Interrupted as interruption:
        _exit("interrupted: progress is saved, run the same command again to continue", interruption.exit_code)
    except KeyboardInterrupt:
        _exit("interrupted", EXIT_SIGINT)
    if code == EXIT_SIGINT:  # Typer itself ends silently on Ctrl-C
        _exit("interrupted", code)
    sys.exit(code)


def _interrupt_again(event: sys.UnraisableHookArgs) -> None:
    """Raises again a Ctrl-C that arrived inside a destructor (h5py has many), where Python drops it."""
    if issubclass(event.exc_type, KeyboardInterrupt):
        threading.Timer(RETRY_SECONDS, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(event)


def _described(error: OSError) -> str:
    """Such as ``No space left on device: report.json``."""
    reason = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
    return reason if error.filename is None else f"{reason}: {error.filename}"


def _exit(line: str, code: int) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(code)
