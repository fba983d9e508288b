"""A run: a folder that holds a training's configuration, metrics and checkpoints, and continues where it stopped.

``config.yaml``, ``provenance.yaml``, ``metrics.jsonl``, TensorBoard files in ``tensorboard/``,
``checkpoints/step_*.pt`` and, on request, ``snapshots/updates_*/``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from diamond_engine.errors import DiamondError
from training.runs.checkpoints import Checkpoints
from training.runs.facts import CONFIG, check_continues, write_config, write_provenance
from training.runs.lock import alone_in
from training.runs.memory import release_freed_memory
from training.runs.metrics import MetricsLog
from training.runs.procedure import LOG_EVERY, Procedure, Trainer, Work, updates_of
from training.runs.progress import Pace, duration, stages
from training.runs.signals import Interrupted, stop_signals
from training.runs.workers import ALONE, Workers

CHECKPOINT_EVERY_SECONDS = 120.0
MEASURED_PIECES = 5


class Run:
    """One run folder. Opening it again with the same configuration continues it; another configuration is refused.

    ``config`` holds all settings that affect the result, ``defaults`` their default values in the same form: a folder
    made before a setting existed continues if it has its default. ``facts`` returns further facts of its origin (data,
    hardware); with updates, seconds and date they are the provenance in every export. Of several ``workers`` only the
    leading one writes. Raises ``UsageError`` if the folder holds a run with another configuration.
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
        checkpoint_every: float = CHECKPOINT_EVERY_SECONDS,
        workers: Workers = ALONE,
        defaults: dict[str, Any] | None = None,
    ) -> None:
        """``checkpoint_every``: seconds between checkpoints."""
        self._workers = workers
        self.folder = folder
        self.console = console
        self.step = 0
        self.seconds = 0.0
        self._facts = facts
        self._snapshots_every = snapshots_every
        self._log_every = log_every
        self._checkpoint_every = checkpoint_every
        self._checkpoints = Checkpoints(folder / "checkpoints")
        self._metrics = MetricsLog(folder)
        if workers.leads:
            folder.mkdir(parents=True, exist_ok=True)
            self._check_config(config, defaults or {})

    def _check_config(self, config: dict[str, Any], defaults: dict[str, Any]) -> None:
        if (self.folder / CONFIG).exists():
            check_continues(self.folder, config, defaults)
        else:
            write_config(self.folder, config)

    def train(self, trainer: Trainer, updates: int, time_budget: float | None, export_to: Path) -> None:
        """Updates ``trainer`` to a total of ``updates``, or for ``time_budget`` seconds, and saves regularly.

        Raises what ``follow`` raises.
        """
        self.follow(_Updates(self, trainer, updates, self._log_every), time_budget, export_to)

    def follow(self, procedure: Procedure, time_budget: float | None, export_to: Path) -> None:
        """Continues a procedure to its end, or for ``time_budget`` seconds; saves regularly.

        Raises ``Interrupted`` after a signal, once all is saved, and ``DiamondError`` if a loss is not finite or if
        another process works in the folder.
        """
        with ExitStack() as opened:
            if self._workers.leads:
                opened.enter_context(alone_in(self.folder))
            self._resume(procedure)
            received = opened.enter_context(stop_signals())
            if self._workers.leads:
                opened.enter_context(self._metrics.opened(self.step))
            signum = self._loop(procedure, time_budget, export_to, received)
        if signum:
            raise Interrupted(signum)

    def _loop(self, procedure: Procedure, time_budget: float | None, export_to: Path, received: list[int]) -> int:
        """Returns the signal that arrived, 0 for none."""
        signum = 0
        before, started = self.seconds, time.monotonic()
        last, saved, pace, work = started, started, Pace(), None
        with stages(self.console) as show:
            for work in procedure.work(lambda: bool(received)):
                now = time.monotonic()
                self.step += 1
                self.seconds = before + now - started
                counted, last = pace.note(work.part, now - last), now
                left = procedure.left()
                show(work.part, work.done, work.until, pace.left(left))
                if counted == MEASURED_PIECES and work.part in left:
                    self._say_cost(work, pace.seconds(work.part), left[work.part])
                if work.notable:
                    self._note(work)
                if self._snapshots_every and self._workers.leads and self.step % self._snapshots_every == 0:
                    self._finite(work)
                    procedure.export(self.folder / "snapshots" / f"updates_{self.step:06d}", self.provenance())
                if now - saved > self._checkpoint_every:
                    self._save(procedure, work, export_to)
                    saved = last = time.monotonic()
                over, signum = self._workers.greatest(
                    int(time_budget is not None and now - started >= time_budget), received[0] if received else 0
                )
                if over:
                    self.console.print(f"time budget spent after {work.done} of {work.until} {work.unit}s")
                    break
                if signum:
                    break
        self._save(procedure, work, export_to)
        self.console.print(f"saved {self.folder} after step {self.step}, {duration(self.seconds)} in all")
        return signum or (received[0] if received and self._workers.count == 1 else 0)

    def _note(self, work: Work) -> None:
        values = self._finite(work)
        if self._workers.leads:
            self._metrics.write(self.step, self.seconds, values)

    def _say_cost(self, work: Work, seconds: float, left: int) -> None:
        took = f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.1f} ms"
        self.console.print(
            f"{work.part}: {took} a{'n' if work.unit[0] in 'aeiou' else ''} {work.unit}; "
            f"the remaining {left} take about {duration(left * seconds)}"
        )

    def provenance(self) -> dict[str, Any]:
        """The provenance of this run."""
        own = {"updates": self.step, "seconds": round(self.seconds), "date": date.today().isoformat()}
        return {**own, **self._facts()}

    def _finite(self, work: Work) -> dict[str, float]:
        values = {name: float(value) for name, value in work.metrics.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                kept = self._checkpoints.paths()
                good = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
                raise DiamondError(
                    f"{name} is {value} at {work.unit} {work.done} of {work.part}: training stopped ({good}); "
                    "try a smaller learning rate"
                )
        return values

    def _save(self, procedure: Procedure, work: Work | None, export_to: Path) -> None:
        if not self._workers.leads:
            return
        if work is not None:
            self._finite(work)
            state = {
                "step": self.step,
                "seconds": self.seconds,
                "trainer": procedure.state_dict(),
                "torch_rng": torch.get_rng_state(),
            }
            self._checkpoints.save(self.step, state)
        provenance = self.provenance()
        write_provenance(self.folder, provenance)
        procedure.export(export_to, provenance)
        release_freed_memory()

    def _resume(self, procedure: Procedure) -> None:
        state = self._checkpoints.newest(self.console.print)
        if state is None:
            return
        try:
            procedure.load_state_dict(state["trainer"])
            torch.set_rng_state(state["torch_rng"])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
        except (KeyError, ValueError, RuntimeError, TypeError, IndexError, AttributeError) as error:
            raise DiamondError(
                f"{self.folder} was written by another version of this program: continue it with that one, or use "
                "another --out"
            ) from error
        self.console.print(f"continuing {self.folder} at step {self.step}")


class _Updates:
    """A procedure of one stage: updates of one component."""

    def __init__(self, run: Run, trainer: Trainer, updates: int, log_every: int) -> None:
        self._run = run
        self._trainer = trainer
        self._until = updates
        self._log_every = log_every
        self.state_dict = trainer.state_dict
        self.load_state_dict = trainer.load_state_dict
        self.export = trainer.export

    def work(self, stopping: Callable[[], bool]) -> Iterator[Work]:
        """See ``Procedure.work``."""
        done, name = self._run.step, self._run.folder.name
        if done >= self._until:
            self._run.console.print(f"{name} already has {done} updates; --updates counts all of a run")
        return updates_of(name, self._trainer, done, self._until, self._log_every)

    def left(self) -> dict[str, int]:
        """See ``Procedure.left``."""
        return {self._run.folder.name: self._until - self._run.step}
