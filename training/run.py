"""A run: a folder that holds a training's configuration, metrics and checkpoints, and continues where it stopped.

``config.yaml``, ``metrics.jsonl``, TensorBoard files in ``tensorboard/``, ``checkpoints/step_*.pt``.
"""

from __future__ import annotations

import json
import math
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.files import atomic_path, write_text
from training.optimisation import Metrics

KEPT_CHECKPOINTS = 2
LOG_EVERY = 20
CHECKPOINT_EVERY_SECONDS = 120.0


class Trainer(Protocol):
    """One component in training: makes updates and can be saved and continued."""

    def update(self) -> Metrics:
        """Makes one update and returns scalars to log."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All state, of types that load with ``weights_only``."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        ...

    def export(self, folder: Path, provenance: dict[str, Any]) -> None:
        """Writes the result so far as (part of) a world folder."""
        ...


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived; the update in flight was finished and saved."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


class Run:
    """One run folder. Opening it again with the same configuration continues it; another configuration is refused."""

    def __init__(self, folder: Path, config: Any, console: Console | None = None) -> None:
        self.folder = folder
        self.console = console or Console(stderr=True)
        self.config = config
        self.step = 0
        self.seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self._check_config(asdict(config) if is_dataclass(config) and not isinstance(config, type) else config)

    def _check_config(self, config: dict[str, Any]) -> None:
        path = self.folder / "config.yaml"
        text = yaml.safe_dump(json.loads(json.dumps(config, default=str)), sort_keys=False)
        if not path.exists():
            write_text(path, text)
            return
        old = yaml.safe_load(path.read_text())
        new = yaml.safe_load(text)
        changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        if changed:
            raise UsageError(
                f"{self.folder} holds a run with other settings ({', '.join(changed)}): "
                "use the same ones to continue it, or another --out"
            )

    def train(self, trainer: Trainer, steps: int, time_budget: float | None, world: Path) -> None:
        """Updates ``trainer`` until ``steps`` or until ``time_budget`` seconds of training, saving as it goes.

        Raises ``Interrupted`` after a signal and ``DiamondError`` when a loss is not finite.
        """
        self._resume(trainer)
        with self._progress(steps) as progress, _signals() as received, self._tensorboard() as board:
            task = progress.add_task("updates", total=steps, completed=self.step)
            started = saved = time.monotonic()
            before = self.seconds
            while self.step < steps and (time_budget is None or self.seconds < time_budget):
                metrics = trainer.update()
                self.step += 1
                now = time.monotonic()
                self.seconds = before + now - started
                progress.update(task, completed=self.step)
                if self.step % LOG_EVERY == 0 or self.step == steps:
                    self._log(metrics, board)
                if now - saved > CHECKPOINT_EVERY_SECONDS:
                    self._save(trainer, world)
                    saved = time.monotonic()
                if received:
                    self._save(trainer, world)
                    raise Interrupted(received[0])
        self._save(trainer, world)

    def _log(self, metrics: Metrics, board: SummaryWriter) -> None:
        values = {name: float(value) for name, value in metrics.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                last = self._checkpoints()
                kept = f"the last good checkpoint is {last[-1]}" if last else "there is no checkpoint yet"
                raise DiamondError(f"{name} is {value} at step {self.step}: training stopped; {kept}")
            board.add_scalar(name, value, self.step)
        row = {"step": self.step, "seconds": round(self.seconds, 3), **values}
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def _save(self, trainer: Trainer, world: Path) -> None:
        folder = self.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "trainer": trainer.state_dict(),
            "torch_rng": torch.get_rng_state(),
        }
        with atomic_path(folder / f"step_{self.step:08d}.pt") as path:
            torch.save(state, path)
        for old in self._checkpoints()[:-KEPT_CHECKPOINTS]:
            old.unlink()
        trainer.export(world, {"updates": self.step, "seconds": round(self.seconds)})

    def _checkpoints(self) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob("step_*.pt"))

    def _resume(self, trainer: Trainer) -> None:
        for path in reversed(self._checkpoints()):
            try:
                state = torch.load(path, weights_only=True, map_location="cpu")
            except (RuntimeError, EOFError, OSError, ValueError) as error:
                self.console.print(f"checkpoint {path.name} is damaged ({type(error).__name__}); trying the one before")
                continue
            trainer.load_state_dict(state["trainer"])
            torch.set_rng_state(state["torch_rng"])
            self.step, self.seconds = state["step"], state["seconds"]
            self._truncate_metrics()
            self.console.print(f"continuing {self.folder} at update {self.step}")
            return

    def _truncate_metrics(self) -> None:
        path = self.folder / "metrics.jsonl"
        if path.exists():
            rows = [row for row in path.read_text().splitlines() if _step_of(row) <= self.step]
            write_text(path, "".join(row + "\n" for row in rows))

    def _progress(self, steps: int) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            console=self.console,
        )

    @contextmanager
    def _tensorboard(self) -> Iterator[SummaryWriter]:
        writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.step + 1)
        try:
            yield writer
        finally:
            writer.close()


def _step_of(row: str) -> float:
    try:
        return float(json.loads(row)["step"])
    except (json.JSONDecodeError, KeyError):
        return math.inf


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying of them, so that the update in flight can be finished and saved."""
    received: list[int] = []

    def receive(signum: int, frame: FrameType | None) -> None:
        received.append(signum)

    previous = {signum: signal.signal(signum, receive) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def seed_everything(seed: int) -> np.random.Generator:
    """Seeds torch, NumPy's legacy state and ``random``; returns a fresh NumPy generator for samplers."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return np.random.default_rng(seed)
