"""Fills a folder with episodes of Doom, several processes side by side (``diamond-train record doom``)."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from rich.console import Console

from diamond_engine.errors import DiamondError, UsageError
from training.recorders.doom.episode import WHOLE_GAME, Facts, episode_path, read_facts
from training.recorders.doom.game import FRAMES_PER_SECOND, load_vizdoom
from training.recorders.doom.style import Style
from training.recorders.doom.worker import Signals, record_numbers
from training.runs.progress import duration, make_console, progress
from training.runs.signals import Interrupted, stop_signals

FRAMES = 1000
"""Of an episode, as in the CS:GO data set."""
BYTES_PER_FRAME = 130_000
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Recorder:
    """Records episodes into a folder; existing ones of the same seed and length count."""

    out: Path
    """Folder of the episodes."""
    seed: int = 0
    """Episode n of a seed is always the same."""
    workers: int = 1
    """Games side by side, a process each."""
    style: Style = WHOLE_GAME
    """Style of play."""
    frames: int = FRAMES
    """Length of an episode."""
    console: Console = field(default_factory=make_console)
    """Console for messages and progress."""

    def record(self, episodes: int) -> None:
        """Records the missing ones of episodes 1 to ``episodes`` and prints a summary of the folder.

        Raises ``UsageError`` if the folder has episodes of another seed or length, ``DiamondError`` if ViZDoom is
        missing or fails, or the disk is too full, and ``Interrupted`` after a signal: finished episodes are kept,
        unfinished ones are not.
        """
        load_vizdoom()
        numbers = range(1, episodes + 1)
        missing = [number for number in numbers if not episode_path(self.out, number).exists()]
        for path in self._paths():
            self._check(path, read_facts(path))
        size = len(missing) * self.frames * BYTES_PER_FRAME
        there = episodes - len(missing)
        self.console.print(f"{episodes} episodes of Doom, {there} of them are there; about {_megabytes(size)} to write")
        if missing:
            self._check_space(size)
            self._run([missing[k :: self.workers] for k in range(min(self.workers, len(missing)))], len(missing))
        self.console.print(f"{self.out} holds {summary([read_facts(path) for path in self._paths()])}")

    def _paths(self) -> list[Path]:
        return sorted(self.out.glob("hdf5_doom_*.hdf5"))

    def _check(self, path: Path, facts: Facts) -> None:
        if (facts.seed, facts.frames) != (self.seed, self.frames):
            raise UsageError(
                f"{path} has seed {facts.seed} and {facts.frames} frames, not {self.seed} and {self.frames}: "
                "use another folder for other recordings"
            )
        if facts.style != self.style:
            raise UsageError(f"{path} was played otherwise ({facts.style}): use another folder for other recordings")

    def _check_space(self, size: int) -> None:
        disk = next(folder for folder in (self.out, *self.out.absolute().parents) if folder.is_dir())
        free = shutil.disk_usage(disk).free
        if free < size:
            raise DiamondError(f"{self.out} has room for {_megabytes(free)}: record fewer episodes, or elsewhere")

    def _run(self, shares: Sequence[list[int]], episodes: int) -> None:
        """Lets one process record each share; the first that fails stops all."""
        context = multiprocessing.get_context("spawn")
        signals = Signals(context)
        processes = [
            context.Process(
                target=record_numbers,
                args=(self.out.absolute(), self.seed, share, self.frames, signals, self.style),
            )
            for share in shares
        ]
        total = episodes * self.frames
        with stop_signals() as received, progress(self.console, "frames", total) as show:
            for process in processes:
                process.start()
            try:
                while any(process.is_alive() for process in processes):
                    wait([process.sentinel for process in processes if process.is_alive()], POLL_SECONDS)
                    if signals.frames.value < total:
                        show(signals.frames.value)
                    if received or any(process.exitcode for process in processes):
                        signals.stop.set()
            finally:
                signals.stop.set()
                for process in processes:
                    process.join()
            show(signals.frames.value)
        if received:
            raise Interrupted(received[0])
        failed = next((process.exitcode for process in processes if process.exitcode), None)
        if failed is not None:
            reason = signals.failure()
            raise DiamondError(reason or f"a recording process ended with code {failed}: use fewer --workers")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def summary(episodes: Sequence[Facts]) -> str:
    """A summary of a folder in one line: its size, its coverage of the level, its events."""
    frames = sum(facts.frames for facts in episodes)
    seen = frozenset[tuple[int, int]]().union(*(facts.places_seen for facts in episodes))
    places = frozenset[tuple[int, int]]().union(*(facts.places for facts in episodes))
    return (
        f"{len(episodes)} episodes, {frames} frames, {duration(frames / FRAMES_PER_SECOND)} of play; "
        f"coverage {len(seen)} of {len(places)} places ({len(seen) / max(1, len(places)):.0%}), "
        f"{sum(facts.kills for facts in episodes)} kills, {sum(facts.pickups for facts in episodes)} pickups, "
        f"{sum(facts.deaths for facts in episodes)} deaths"
    )
