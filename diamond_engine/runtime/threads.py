"""Chooses the number of threads for steps while they run.

Threads that share a step wait for each other at every layer. If another program takes the core of one of them, all
wait for it, and a single thread is many times as fast. So now and then a step is tried with more or fewer threads.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from statistics import median
from typing import Self

import torch

RECENT = 5
"""Number of recent steps whose median is the current time of a step."""
LEAST_RECENT = 2
"""Number of steps before the first comparison."""
BETTER = 0.85
"""A trial is adopted if it takes less than this fraction of the recent median."""
SUSPICIOUS = 2.0
"""Two steps in a row that take this many times the recent median start a trial."""
SHORTEST_WAIT, LONGEST_WAIT = 8, 512
"""Steps from one trial to the next; doubled after every trial without a gain."""
COST = 0.02
"""Share of the total time that trials may cost."""


class ThreadChoice:
    """Times steps and sets the number of torch's threads, on which the kernels run, for each.

    Results must not depend on the number (``Runtime.same_on_any_threads``). Only one thread may use it. As a context it
    restores torch's number of threads at the end.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        most: int | None = None,
        set_threads: Callable[[int], None] = torch.set_num_threads,
    ) -> None:
        """``most``: the first and largest number of threads; None: as many as torch uses now."""
        self._clock, self._set = clock, set_threads
        self._counts = _halved(torch.get_num_threads() if most is None else most)
        self._at = 0
        self._direction = 1
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._slow = 0
        self._since_trial, self._wait = 0, 0

    @property
    def count(self) -> int:
        """Current number of threads, apart from trials."""
        return self._counts[self._at]

    @contextmanager
    def step(self) -> Generator[None]:
        """Context of one step, which runs on the chosen number of threads or is a trial with another."""
        trial = self._trial()
        self._set(self._counts[self._at if trial is None else trial])
        began = self._clock()
        yield
        seconds = self._clock() - began
        if trial is None:
            self._note(seconds)
        else:
            self._judge(trial, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._set(self._counts[0])

    def _trial(self) -> int | None:
        """Index of the number of threads to try in this step; None: no trial."""
        due = self._since_trial >= self._wait and len(self._recent) >= LEAST_RECENT
        if len(self._counts) == 1 or not (due or self._slow >= 2):
            return None
        if not 0 <= self._at + self._direction < len(self._counts):
            self._direction = -self._direction
        return self._at + self._direction

    def _note(self, seconds: float) -> None:
        usual = median(self._recent) if len(self._recent) >= LEAST_RECENT else float("inf")
        self._slow = self._slow + 1 if seconds > SUSPICIOUS * usual else 0
        self._recent.append(seconds)
        self._since_trial += 1
        if self._slow >= 2:
            while len(self._recent) > self._slow:  # earlier times are not comparable any more
                self._recent.popleft()

    def _judge(self, trial: int, seconds: float) -> None:
        self._since_trial, self._slow = 0, 0
        usual = median(self._recent)
        if seconds < BETTER * usual:
            self._at, self._wait = trial, SHORTEST_WAIT
            self._recent.clear()
            self._recent.append(seconds)
        else:
            self._direction = -self._direction
            affordable = round((seconds - usual) / (COST * usual))
            self._wait = min(LONGEST_WAIT, max(SHORTEST_WAIT, 2 * self._wait, affordable))


def _halved(most: int) -> list[int]:
    """``most``, half of it, and so on down to 1."""
    return [most] if most <= 1 else [most, *_halved(most // 2)]
