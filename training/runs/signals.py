"""SIGINT and SIGTERM: current work is finished and saved before the program ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived; current work was finished and saved."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collects the first SIGINT or SIGTERM instead of ending, so that current work can be finished and saved.

    A second one acts as usual.
    """
    received: list[int] = []
    handled = (signal.SIGINT, signal.SIGTERM)
    previous = {signum: signal.getsignal(signum) for signum in handled}

    def restore() -> None:
        for signum, handler in previous.items():
            signal.signal(signum, handler)

    def receive(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        restore()

    for signum in handled:
        signal.signal(signum, receive)
    try:
        yield received
    finally:
        restore()
