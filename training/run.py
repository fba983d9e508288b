"""A run: a folder that holds a training's configuration, metrics and checkpoints, and continues where it stopped.

``config.yaml``, ``provenance.yaml``, ``metrics.jsonl``, TensorBoard files in ``tensorboard/``,
``checkpoints/step_*.pt`` and, where asked for, ``snapshots/updates_*/``.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
import yaml
from rich.console import Console

from diamond_engine.damage import read_yaml, reading
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.files import write_text
from diamond_engine.runtime import Runtime
from training.checkpoints import Checkpoints
from training.metrics import MetricsLog
from training.optimisation import Metrics
from training.progress import Pace, duration, make_console, stages
from training.workers import ALONE, Workers

CONFIG = "config.yaml"
PROVENANCE = "provenance.yaml"
LOG_EVERY = 20
CHECKPOINT_EVERY_SECONDS = 120.0
MEASURED_PIECES = 5


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
class Work:
    """A piece of work that was just done."""

    part: str
    """What was worked on, such as ``denoiser``."""
    done: int
    """Pieces of it done so far."""
    until: int
    """Pieces after which something else follows."""
    metrics: Metrics = field(default_factory=dict)
    """Scalars that tell how it went."""
    notable: bool = True
    """Whether to keep them in the log."""
    unit: str = "update"
    """What a piece is called."""


class Procedure(Protocol):
    """Work that goes through stages and can be saved and continued after every piece."""

    def work(self, stopping: Callable[[], bool]) -> Iterator[Work]:
        """Does the work, piece by piece, from where ``load_state_dict`` left it; may be abandoned after any piece.

        Where one takes long it asks ``stopping`` meanwhile and ends without having changed anything.
        """
        ...

    def left(self) -> dict[str, int]:
        """Pieces still to be done of the parts that take most of the time, as far as is known."""
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


def updates_of(part: str, trainer: Trainer, done: int, until: int, log_every: int = LOG_EVERY) -> Iterator[Work]:
    """Updates a component from ``done`` to ``until`` updates; every ``log_every``-th and the last are notable."""
    for update in range(done + 1, until + 1):
        metrics = trainer.update()
        yield Work(part, update, until, metrics, notable=update % log_every == 0 or update == until)


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
    workers: Workers = ALONE
    """The processes that share the work."""


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived; what was under way was finished and saved."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


class Run:
    """One run folder. Opening it again with the same configuration continues it; another configuration is refused.

    ``config`` is all that shapes the result, ``defaults``, laid out alike, what it would be unless told otherwise: a
    folder made before there was a setting continues while that has its default. ``facts`` returns what else is to be
    told of its origin (data, hardware); with updates, seconds and date it is the provenance that every export carries.
    Of several ``workers`` the leading one alone writes. Raises ``UsageError`` where the folder holds a run with another
    configuration.
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
        path = self.folder / CONFIG
        if path.exists():
            check_continues(self.folder, config, defaults)
        else:
            write_text(path, _as_yaml(config))

    def train(self, trainer: Trainer, updates: int, time_budget: float | None, export_to: Path) -> None:
        """Updates ``trainer`` until it has had ``updates`` in all, or for ``time_budget`` seconds, saving as it goes.

        Raises as ``follow`` does.
        """
        self.follow(_Updates(self, trainer, updates, self._log_every), time_budget, export_to)

    def follow(self, procedure: Procedure, time_budget: float | None, export_to: Path) -> None:
        """Continues a procedure to its end, or for ``time_budget`` seconds, saving as it goes.

        Raises ``Interrupted`` after a signal, once all is saved, and ``DiamondError`` when a loss is not finite or
        another process is at work in the folder.
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
        """How this run came to where it is."""
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
        write_text(self.folder / PROVENANCE, yaml.safe_dump(_plain(provenance), sort_keys=False, allow_unicode=True))
        procedure.export(export_to, provenance)

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


def check_continues(folder: Path, config: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Raises ``UsageError`` where the run in a folder has another configuration.

    A setting that the run does not know had its default then. ``defaults``: see ``Run``.
    """
    with reading(folder / CONFIG, "is damaged: put it back, or use another --out"):
        old = dict(_flat(read_yaml(folder / CONFIG)))
    then, new = {**dict(_flat(_plain(defaults))), **old}, dict(_flat(_plain(config)))
    changed = sorted(key for key in {*old, *new} if then.get(key) != new.get(key))
    if changed:
        raise UsageError(
            f"{folder} holds a run with other settings ({', '.join(changed)}): "
            "use the same ones to continue it, or another --out"
        )


def _as_yaml(config: dict[str, Any]) -> str:
    return yaml.safe_dump(_plain(config), sort_keys=False)


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """The same as a file holds it: no tuples."""
    return json.loads(json.dumps(config))


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values of a nested dictionary by dotted name."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def read_provenance(folder: Path) -> dict[str, Any]:
    """What the run in a folder tells of its origin so far; nothing where there is none.

    Raises ``DiamondError`` where it is damaged.
    """
    path = folder / PROVENANCE
    if not path.exists():
        return {}
    with reading(path, "is damaged: remove it, the run writes it again"):
        return dict(read_yaml(path))


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps other processes from working in the same folder; the lock goes with the process, however it ends."""
    with (folder / ".lock").open("w") as file:
        with suppress(ImportError):  # Windows has no such locks
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DiamondError(f"another process is at work in {folder}: stop it, or use another --out") from error
        yield


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
