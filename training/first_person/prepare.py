"""Turns recordings in tars or folders into a prepared folder, with several processes (``csgo-data prepare``).

Files are written atomically, and finished ones are noted in ``progress.jsonl``, so that the same command continues
after any interruption. ``manifest.json`` is written at the end.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console

from diamond_engine.errors import DiamondError, UsageError
from training.first_person.recordings import open_recording
from training.first_person.shards import (
    JOURNAL,
    Entry,
    Manifest,
    full_res_path,
    held_out,
    read_manifest,
    shard_path,
    write_manifest,
    write_shards,
)
from training.first_person.sources import Found, Place, find, natural
from training.runs.lock import alone_in
from training.runs.progress import make_console, progress
from training.runs.signals import Interrupted, stop_signals
from weights.checksums import sha256

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Damaged:
    """A recording that could not be prepared."""

    name: str
    reason: str


@dataclass(frozen=True)
class Preparation:
    """Settings of the preparation."""

    out: Path
    """Folder to write to."""
    workers: int = 1
    """Number of processes."""
    full_res: bool = False
    """Whether to copy the full-resolution frames too."""
    console: Console = field(default_factory=make_console)
    """Console for messages and progress."""

    def prepare(self, paths: Sequence[Path]) -> Manifest:
        """Prepares all missing recordings in ``paths``, then writes the manifest.

        Raises ``UsageError`` if there is nothing to prepare, ``DiamondError`` if no recording is intact or a process
        dies, ``OSError`` for a full disk, ``Interrupted`` after a signal. Finished files are kept.
        """
        found = find(paths)
        self.out.mkdir(parents=True, exist_ok=True)
        with alone_in(self.out):
            self._clear_leftovers()
            done = {entry.name: entry for entry in self._journalled() if self._still_there(entry, found)}
            missing = {name: places for name, places in found.places.items() if name not in done}
            self._say_cost(found, missing)
            damaged = self._run(missing, done)
            return self._finish(found, done, damaged)

    def _clear_leftovers(self) -> None:
        for leftover in self.out.rglob(".*.part"):
            leftover.unlink()

    def _journalled(self) -> Iterator[Entry]:
        path = self.out / JOURNAL
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
            try:
                yield Entry.from_json(json.loads(line))
            except Exception:
                continue  # cut off when the process was killed: the recording is prepared again

    def _still_there(self, entry: Entry, found: Found) -> bool:
        if entry.source not in found.places.get(entry.name, ()) or (self.full_res and entry.full_res is None):
            return False
        files = [(shard_path(self.out, entry.name), entry.shard)]
        if entry.full_res is not None:
            files.append((full_res_path(self.out, entry.name), entry.full_res))
        return all(path.exists() and path.stat().st_size == stored.size for path, stored in files)

    def _say_cost(self, found: Found, missing: dict[str, tuple[Place, ...]]) -> None:
        read = _size(missing.values())
        written = read if self.full_res else 0.04 * read
        self.console.print(
            f"{len(found.places)} recordings, {len(found.places) - len(missing)} of them are prepared; "
            f"{read / 1e9:.1f} GB to read, about {written / 1e9:.1f} GB to write to {self.out}, "
            f"{self.workers} processes"
        )

    def _run(self, missing: dict[str, tuple[Place, ...]], done: dict[str, Entry]) -> dict[str, str]:
        """Prepares all missing recordings; returns the damaged ones with reasons."""
        damaged: dict[str, str] = {}
        total, so_far = _size(missing.values()), 0
        with (
            stop_signals() as received,
            progress(self.console, "prepared", total, in_bytes=True) as show,
            (self.out / JOURNAL).open("a", encoding="utf-8") as journal,
            _pool(self.workers) as pool,
        ):
            journal.write("\n")  # after a line that was cut off
            pending: set[Future[Entry | Damaged]] = {
                pool.submit(prepare_one, self.out, name, places, self.full_res) for name, places in missing.items()
            }
            try:
                while pending:
                    if received:
                        pending = {future for future in pending if not future.cancel()}
                    finished, pending = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
                    for future in finished:
                        result = future.result()
                        so_far += _size([missing[result.name]])
                        if isinstance(result, Damaged):
                            damaged[result.name] = result.reason
                            self.console.print(f"left out: {result.reason}")
                            continue
                        done[result.name] = result
                        journal.write(json.dumps(result.to_json()) + "\n")
                        journal.flush()
                    show(so_far)
            except BrokenProcessPool as error:
                raise DiamondError(
                    "a preparing process was killed (out of memory?): what is done is kept; "
                    "run the same command again, with fewer --workers"
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)
        if received:
            raise Interrupted(received[0])
        return damaged

    def _finish(self, found: Found, done: dict[str, Entry], damaged: dict[str, str]) -> Manifest:
        names = sorted(done, key=natural)
        if not names:
            raise DiamondError(f"none of the {len(damaged)} recordings is good: {next(iter(damaged.values()))}")
        entries = tuple(replace(done[name], held_out=held_out(name, i)) for i, name in enumerate(names))
        sizes = sorted({f"{entry.width}x{entry.height}" for entry in entries})
        if len(sizes) > 1:
            raise UsageError(
                f"recordings of different frame sizes ({', '.join(sizes)}): prepare each into a folder of its own"
            )
        if len({entry.key_map for entry in entries}) > 1:
            raise UsageError("recordings of different key maps: prepare each into a folder of its own")
        manifest = Manifest(entries, damaged, found.cut_off, found.duplicates)
        write_manifest(self.out, manifest)
        for tar in found.cut_off:
            self.console.print(f"{tar} ends in the middle: what was whole in it was kept")
        self.console.print(f"{self.out} holds {summary(manifest)}")
        return manifest


def summary(manifest: Manifest) -> str:
    """One line on a prepared folder."""
    entries = manifest.entries
    written = sum(entry.shard.size + (entry.full_res.size if entry.full_res else 0) for entry in entries)
    return (
        f"{len(entries)} recordings, {sum(entry.frames for entry in entries)} frames, {written / 1e6:.1f} MB; "
        f"{sum(entry.held_out for entry in entries)} held out, {manifest.duplicates} duplicates and "
        f"{len(manifest.damaged)} damaged left out"
    )


def prepare_one(out: Path, name: str, places: Sequence[Place], full_res: bool) -> Entry | Damaged:
    """Prepares a recording from the first place where it is intact. Raises ``OSError`` if it cannot be written."""
    reasons: list[str] = []
    for place in places:
        try:
            content = place.read()
            if len(content) < place.size:
                raise DiamondError(f"{name} is cut off after {len(content)} of {place.size} bytes, as is {place.path}")
            return write_shards(out, name, open_recording(content, name), place, full_res)
        except DiamondError as error:
            reasons.append(str(error))
    return Damaged(name, reasons[0])


def check(folder: Path, console: Console) -> Manifest:
    """Compares a prepared folder with its manifest: sizes and SHA-256 of its files, sizes of the originals.

    Lists differences, then raises ``DiamondError`` if there are any.
    """
    manifest = read_manifest(folder)
    files = [(shard_path(folder, entry.name), entry.shard) for entry in manifest.entries]
    files += [(full_res_path(folder, entry.name), entry.full_res) for entry in manifest.entries if entry.full_res]
    problems = [f"{path} {problem}" for path, problem in _missing_originals(manifest)]
    checked = 0
    with progress(console, "checked", sum(stored.size for _, stored in files), in_bytes=True) as show:
        for path, stored in files:
            if not path.exists():
                problems.append(f"{path} is missing")
            elif path.stat().st_size != stored.size or sha256(path) != stored.sha256:
                problems.append(f"{path} was altered or damaged: delete it")
            checked += stored.size
            show(checked)
    for problem in problems:
        console.print(problem)
    if problems:
        raise DiamondError(f"{len(problems)} problems in {folder}: run 'diamond-train csgo-data prepare' again")
    console.print(f"{folder} is whole: {summary(manifest)}")
    return manifest


def _missing_originals(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Originals needed for full-resolution frames that have changed."""
    ends: dict[str, int] = {}
    for entry in manifest.entries:
        if entry.full_res is None:
            place = entry.source
            ends[place.path] = max(ends.get(place.path, 0), place.offset + place.size)
    for path, end in ends.items():
        if not Path(path).exists():
            yield path, "is not there: the upsampler needs its full-resolution frames"
        elif Path(path).stat().st_size < end:
            yield path, "is shorter than it was when it was prepared"


def _size(places: Iterable[Sequence[Place]]) -> int:
    return sum(alternatives[0].size for alternatives in places)


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker) as pool:
        yield pool


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process says when to stop
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
