"""The runs of a suite, their folders and their progress."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from diamond_engine.configs import defaults
from diamond_engine.games import ATARI_GAMES, Game, benchmark_game
from training.algorithm.algorithm1 import algorithm_config, run_settings
from training.evaluation.scores.suite import FINAL, read_final
from training.runs.facts import CONFIG, check_continues

METRICS = "metrics.jsonl"
TAIL_BYTES = 4096


@dataclass(frozen=True)
class Options:
    """Options passed to every ``diamond-train atari``."""

    preset: str = "paper"
    """Size of Algorithm 1."""
    settings: tuple[str, ...] = ()
    """Changed settings, such as ``denoiser.batch_size=16``."""
    config: Path | None = None
    """YAML file of changed settings."""
    device: str = "auto"
    """Torch device."""
    dtype: str = "auto"
    """Precision."""

    def arguments(self) -> list[str]:
        """The options as a command line."""
        words = ["--preset", self.preset, "--device", self.device, "--dtype", self.dtype]
        if self.config is not None:
            words += ["--config", str(self.config.resolve())]
        return [*words, *(word for setting in self.settings for word in ("--set", setting))]


@dataclass(frozen=True)
class SuiteRun:
    """One run: ``<Game>/seed_<n>`` in the suite's folder."""

    game: Game
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Its name for a person."""
        return f"{self.game.name}, seed {self.seed}"

    def arguments(self, options: Options) -> list[str]:
        """Arguments of the ``diamond-train`` that starts or continues it."""
        where = ["--out", str(self.folder), "--seed", str(self.seed)]
        return ["atari", self.game.name, *where, *options.arguments()]

    @property
    def score(self) -> float | None:
        """Its final score, once it is finished. Raises ``DiamondError`` for a damaged ``final.json``."""
        path = self.folder / FINAL
        return read_final(path).score if path.exists() else None

    @property
    def begun(self) -> bool:
        """Whether there is a run to continue."""
        return (self.folder / CONFIG).exists()

    @property
    def epoch(self) -> int | None:
        """Its current epoch, from its metrics."""
        path = self.folder / METRICS
        if not path.exists():
            return None
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().splitlines()
        for line in reversed(lines):
            try:
                return int(json.loads(line)["epoch"])
            except Exception:  # half a line: at the start of the tail, or being written
                continue
        return None


@dataclass(frozen=True)
class Plan:
    """All runs of a suite."""

    runs: tuple[SuiteRun, ...]
    """Game by game, every seed of each."""
    options: Options
    """Options of all runs."""

    @cached_property
    def games(self) -> list[str]:
        """Names of the games, in order."""
        return list(dict.fromkeys(run.game.name for run in self.runs))

    @cached_property
    def seeds(self) -> list[int]:
        """Seeds, in order."""
        return sorted({run.seed for run in self.runs})

    def left(self) -> list[SuiteRun]:
        """Unfinished runs, started ones first, then seed by seed, so that every game has an early result."""
        unfinished = [run for run in self.runs if run.score is None]
        return sorted(unfinished, key=lambda run: (not run.begun, run.seed))


def plan(out: Path, games: str, seeds: int, options: Options) -> Plan:
    """A suite in a folder: of ``all`` games, or those named, joined by commas.

    Raises ``UsageError`` for an unknown game or setting, and if the folder has a run with other settings.
    """
    names = ATARI_GAMES if games == "all" else [name.strip() for name in games.split(",")]
    chosen = list(dict.fromkeys(map(benchmark_game, names)))
    runs: list[SuiteRun] = []
    for game in chosen:
        config = algorithm_config(game, options.preset, options.config, options.settings, static=False)
        for seed in range(seeds):
            run = SuiteRun(game, seed, out.resolve() / game.name / f"seed_{seed}")
            if run.begun:
                check_continues(run.folder, run_settings(game, seed, None, config), defaults(config))
            runs.append(run)
    return Plan(tuple(runs), options)
