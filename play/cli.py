"""The entry point of ``diamond-play``: runs a command of ``play.commands`` and prints errors in one line."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

EXIT_FAILED, EXIT_USAGE, EXIT_SIGINT = 1, 2, 130


def main() -> None:
    """Runs the command and exits: 0 good, 1 failed, 2 wrong usage, 130 after Ctrl-C."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    # OpenMP reads this when torch is imported. Threads that wait busily for long take the cores from the threads they
    # wait for as soon as another program runs; threads that never do are slow to start (docs/performance.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even if a shell started us with Ctrl-C ignored
    try:
        code, line = _run()
    except KeyboardInterrupt:
        code, line = EXIT_SIGINT, "interrupted"
    _exit(code, line)


def _run() -> tuple[int, str | None]:
    """The exit code and the error line. The imports are here so that Ctrl-C works from the start."""
    from diamond_engine.command_line import run_app
    from diamond_engine.errors import DiamondError, UsageError
    from play.commands import PROGRAM, app

    try:
        code = run_app(app, PROGRAM)
    except UsageError as error:
        return EXIT_USAGE, f"error: {error}"
    except DiamondError as error:
        return EXIT_FAILED, f"error: {error}"
    except OSError as error:
        return EXIT_FAILED, f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    return code, "interrupted" if code == EXIT_SIGINT else None


def _exit(code: int, line: str | None) -> NoReturn:
    """Ends the process. A session thread that is still loading cannot be interrupted, so it is not waited for."""
    if line is not None:
        print(line, file=sys.stderr)
    if any(thread.name == "session" for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
