"""A run: a folder that holds a training's configuration, metrics and checkpoints, and continues where it stopped.

``config.yaml``, ``provenance.yaml``, ``metrics.jsonl``, TensorBoard files in ``tensorboard/``,
``checkpoints/step_*.pt`` and, where asked for, ``snapshots/updates_*/``.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
import yaml
from rich.console import Console
from torch.utils.tensorboard import SummaryWriter

from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.files import atomic_path, write_text
from diamond_engine.runtime import Runtime
from training.optimisation import Metrics
from training.progress import duration, make_console, progress

KEPT_CHECKPOINTS = 2
LOG_EVERY = 20
CHECKPOINT_EVERY_SECONDS = 120.0
MEASURED_UPDATES = 5


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
        """Writes the result so far into ``folder``, for use outside of training."""
        ...


@dataclass(frozen=True)
class Session:
    """What all commands have in common."""

    out: Path
    """Folder to write to; what is there is continued."""
    seed: int
    """Of all randomness."""
    runtime: Runtime
    """Where to compute."""
    time_budget: float | None = None
    """Seconds after which to save and stop."""
    console: Console = field(default_factory=make_console)
    """Where to tell how it goes."""


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived; what was under way was finished and saved."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


class Run:
    """One run folder. Opening it again with the same configuration continues it; another configuration is refused.

    ``config`` is all that shapes the result. ``facts`` returns what else is to be told of its origin (data,
    hardware); with updates, seconds and date it is the provenance that every export carries. Raises ``UsageError``
    where the folder holds a run with another configuration.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        console: Console,
        facts: Callable[[], dict[str, Any]] = dict,
        *,
        snapshots_every: int | None = None,
        log_every: int = LOG_EVERY,
    ) -> None:
        self.folder = folder
        self.console = console
        self.step = 0
        self.seconds = 0.0
        self._facts = facts
        self._snapshots_every = snapshots_every
        self._log_every = log_every
        folder.mkdir(parents=True, exist_ok=True)
        self._check_config(config)

    def _check_config(self, config: dict[str, Any]) -> None:
        path = self.folder / "config.yaml"
        text = yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False)
        if not path.exists():
            write_text(path, text)
            return
        old, new = yaml.safe_load(path.read_text(encoding="utf-8")), yaml.safe_load(text)
        changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        if changed:
            raise UsageError(
                f"{self.folder} holds a run with other settings ({', '.join(changed)}): "
                "use the same ones to continue it, or another --out"
            )

    def train(self, trainer: Trainer, updates: int, time_budget: float | None, export_to: Path) -> None:
        """Updates ``trainer`` until it has had ``updates`` in all, or for ``time_budget`` seconds, saving as it goes.

        Raises ``Interrupted`` after a signal, once all is saved, and ``DiamondError`` when a loss is not finite.
        """
        self._resume(trainer)
        if self.step >= updates:
            self.console.print(f"{self.folder} already has {self.step} updates; --updates counts all of a run")
            trainer.export(export_to, self.provenance())
            return
        with stop_signals() as received:
            self._loop(trainer, updates, time_budget, export_to, received)
        if received:
            raise Interrupted(received[0])

    def _loop(
        self, trainer: Trainer, updates: int, time_budget: float | None, export_to: Path, received: list[int]
    ) -> None:
        before, started = self.seconds, time.monotonic()
        saved, times, metrics = started, [], Metrics()
        with progress(self.console, self.folder.name, updates, self.step) as show, self._tensorboard() as board:
            while self.step < updates and not received:
                metrics = trainer.update()
                self.step += 1
                now = time.monotonic()
                self.seconds = before + now - started
                times.append(now)
                show(self.step)
                if len(times) == MEASURED_UPDATES + 1:
                    self._say_cost((times[-1] - times[0]) / MEASURED_UPDATES, updates)
                if self.step % self._log_every == 0 or self.step == updates:
                    self._log(metrics, board)
                if self._snapshots_every and self.step % self._snapshots_every == 0:
                    self._finite(metrics)
                    trainer.export(self.folder / "snapshots" / f"updates_{self.step:06d}", self.provenance())
                if now - saved > CHECKPOINT_EVERY_SECONDS:
                    self._save(trainer, metrics, export_to)
                    saved = time.monotonic()
                if time_budget is not None and now - started >= time_budget:
                    self.console.print(f"time budget spent after {self.step} of {updates} updates")
                    break
        self._save(trainer, metrics, export_to)

    def _say_cost(self, seconds: float, updates: int) -> None:
        left = updates - self.step
        self.console.print(f"{seconds:.2f} s an update: the remaining {left} take about {duration(left * seconds)}")

    def provenance(self) -> dict[str, Any]:
        """How this run came to where it is."""
        own = {"updates": self.step, "seconds": round(self.seconds), "date": date.today().isoformat()}
        return {**own, **self._facts()}

    def _finite(self, metrics: Metrics) -> dict[str, float]:
        values = {name: float(value) for name, value in metrics.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                kept = self._checkpoints()
                good = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
                raise DiamondError(
                    f"{name} is {value} at update {self.step}: training stopped ({good}); try a smaller --learning-rate"
                )
        return values

    def _log(self, metrics: Metrics, board: SummaryWriter) -> None:
        values = self._finite(metrics)
        for name, value in values.items():
            board.add_scalar(name, value, self.step)
        row = {"step": self.step, "seconds": round(self.seconds, 3), **values}
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _save(self, trainer: Trainer, metrics: Metrics, export_to: Path) -> None:
        self._finite(metrics)
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "trainer": trainer.state_dict(),
            "torch_rng": torch.get_rng_state(),
        }
        buffer = io.BytesIO()  # by way of memory, for torch reports a full disk as an error of its own
        torch.save(state, buffer)
        with atomic_path(self.folder / "checkpoints" / f"step_{self.step:08d}.pt") as path:
            path.write_bytes(buffer.getbuffer())
        for old in self._checkpoints()[:-KEPT_CHECKPOINTS]:
            old.unlink()
        provenance = self.provenance()
        write_text(self.folder / "provenance.yaml", yaml.safe_dump(provenance, sort_keys=False, allow_unicode=True))
        trainer.export(export_to, provenance)

    def _checkpoints(self) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob("step_*.pt"))

    def _resume(self, trainer: Trainer) -> None:
        checkpoints = self._checkpoints()
        for path in reversed(checkpoints):
            try:
                state = torch.load(path, weights_only=True, map_location="cpu")
            except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
                self.console.print(f"{path} is damaged ({type(error).__name__}): trying the one before")
                continue
            trainer.load_state_dict(state["trainer"])
            torch.set_rng_state(state["torch_rng"])
            self.step, self.seconds = state["step"], state["seconds"]
            self._truncate_metrics()
            self.console.print(f"continuing {self.folder} at update {self.step}")
            return
        if checkpoints:
            raise DiamondError(f"every checkpoint of {self.folder} is damaged: delete the folder to start over")

    def _truncate_metrics(self) -> None:
        path = self.folder / "metrics.jsonl"
        if path.exists():
            rows = [row for row in path.read_text(encoding="utf-8").splitlines() if _step_of(row) <= self.step]
            write_text(path, "".join(row + "\n" for row in rows))

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
def stop_signals() -> Iterator[list[int]]:
    """Collects the first SIGINT or SIGTERM instead of dying of it, so that the work in hand can be finished and saved.

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
