"""Episodes of any game from plain videos and input logs (``diamond-train import-videos``).

A log is beside its video, ``play.csv`` or ``play.jsonl`` beside ``play.mp4``. A row lists what is down from its time
on, and the mouse's motion since the row before: ``time`` in seconds of the video, ``keys`` (names of
``diamond_engine.actions.csgo``; in CSV joined by ``+``), ``mouse_x``, ``mouse_y``, ``left_click``, ``right_click``.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import av
import av.error
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from diamond_engine.actions.csgo import CsgoAction, encode
from diamond_engine.episodes import Episode, EpisodeFolder, open_episode
from diamond_engine.errors import DiamondError, UsageError
from training.runs.progress import make_console

PIECE = 1000
"""Frames of an episode."""
FRAME_SIZE = (280, 150)
"""Width and height."""
VIDEOS = (".mp4", ".mkv", ".webm", ".mov", ".avi")
SEPARATORS = (",", ";", "\t")
EARLIER = 1e-6
LARGEST_PICTURE = 7680 * 4320
"""Pixels of a video's frame."""
LONGEST_STILL = 600.0
"""Seconds until the next frame of a video; more is a damaged time."""


@dataclass(frozen=True)
class Row:
    """One row of a log."""

    time: float
    """Seconds since the start of the video."""
    action: CsgoAction
    """Keys and buttons down from then on; the motion is that since the row before."""


@dataclass(frozen=True)
class VideoImport:
    """Settings of an import."""

    out: Path
    """Folder of episodes; earlier imports are kept."""
    frame_rate: float = 16.0
    """Frames a second to take."""
    console: Console = field(default_factory=make_console)
    """Console for messages and progress."""

    def run(self, paths: Sequence[Path]) -> None:
        """Imports videos, given or in folders, each with the log beside it.

        Raises ``UsageError`` if there is no video or no log, ``DiamondError`` naming a bad row or video.
        """
        videos = [(video, _log_of(video)) for path in paths for video in _videos(path)]
        if not videos:
            raise UsageError(f"no videos in {', '.join(map(str, paths))}: give {', '.join(VIDEOS)}")
        logs = [read_log(log) for _, log in videos]
        self.out.mkdir(parents=True, exist_ok=True)
        folder = EpisodeFolder(self.out)
        known = {_origin(path) for path in folder.paths}
        for (video, _), log in zip(videos, logs, strict=True):
            before = folder.num_steps
            for number, (frames, final) in enumerate(_pieces(frames_at(video, self.frame_rate))):
                if (video.name, number) not in known:
                    first = number * PIECE
                    actions = actions_at(log, first, first + len(frames), self.frame_rate)
                    folder.append(self._episode(video, number, frames, actions, final))
            self.console.print(f"{video}: {folder.num_steps - before} steps")
        self.console.print(f"{self.out} holds {len(folder)} episodes of {folder.num_steps} steps")

    def _episode(
        self,
        video: Path,
        number: int,
        frames: NDArray[np.uint8],
        actions: NDArray[np.uint8],
        final: NDArray[np.uint8],
    ) -> Episode:
        steps = len(frames)
        truncated = np.arange(steps) == steps - 1
        nothing = np.zeros(steps, dtype=np.float32)
        origin = {"video": video.name, "piece": number, "frame_rate": self.frame_rate}
        return Episode(frames, actions, nothing, nothing > 0, truncated, final, origin)


def read_log(path: Path) -> list[Row]:
    """Rows in the order of their times. Raises ``DiamondError`` naming the first bad line."""
    is_table = path.suffix == ".csv"
    rows: list[Row] = []
    number = 2 if is_table else 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for values in _table(file) if is_table else map(_from_json, file):
                if values is not None:
                    rows.append(_row(values))
                number += 1
    except OSError as error:
        raise DiamondError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DiamondError(f"{path} is not text in UTF-8: save it as that") from error
    except Exception as error:  # a damaged line can raise almost any exception
        raise DiamondError(f"{path}, line {number}: {error or type(error).__name__}") from error
    return sorted(rows, key=lambda row: row.time)


def _table(file: TextIO) -> Iterator[dict[str, Any] | None]:
    """Rows of a CSV file, None for an empty one; spreadsheets also separate by semicolons or tabs.

    With semicolons, the decimal sign may be a comma.
    """
    header = file.readline()
    separator = max(SEPARATORS, key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
    for cells in csv.reader(file, delimiter=separator):
        if separator == ";":
            cells = [cell.replace(",", ".") for cell in cells]
        yield dict(zip(names, cells, strict=False)) if any(cells) else None


def _from_json(line: str) -> Any:
    return json.loads(line) if line.strip() else None


def _row(values: dict[str, Any]) -> Row:
    keys = values.get("keys") or ()
    named = tuple(key.strip() for key in keys.split("+")) if isinstance(keys, str) else tuple(keys)
    time, x, y = (float(values.get(name) or 0) for name in ("time", "mouse_x", "mouse_y"))
    if "time" not in values or not math.isfinite(time + x + y):
        raise ValueError("it needs a time, and finite numbers")
    left, right = (_is_down(values.get(name)) for name in ("left_click", "right_click"))
    action = CsgoAction(named, x, y, left, right)
    encode(action)
    return Row(time, action)


def _is_down(value: Any) -> bool:
    text = str(value or 0).strip().lower()
    if text not in ("0", "1", "true", "false"):
        raise ValueError(f"a click is 0, 1, true or false, not {value!r}")
    return text in ("1", "true")


def actions_at(log: Sequence[Row], start: int, stop: int, frame_rate: float) -> NDArray[np.uint8]:
    """The actions of frames ``start`` to ``stop``, ``(stop - start, 51)``.

    A frame's action contains everything down at any time until the next frame, and the mouse's total motion until then.
    """
    times = np.array([row.time for row in log])
    borders = np.searchsorted(times, np.arange(start, stop + 1) / frame_rate - EARLIER)
    return np.stack([_together(log, first, last) for first, last in pairwise(borders)])


def _together(log: Sequence[Row], first: int, last: int) -> NDArray[np.uint8]:
    during = [row.action for row in log[first:last]]
    down = [row.action for row in log[max(0, first - 1) : first]] + during
    return encode(
        CsgoAction(
            keys=tuple(dict.fromkeys(key for action in down for key in action.keys)),
            mouse_x=sum(action.mouse_x for action in during),
            mouse_y=sum(action.mouse_y for action in during),
            left_click=any(action.left_click for action in down),
            right_click=any(action.right_click for action in down),
        )
    )


def frames_at(video: Path, frame_rate: float) -> Iterator[NDArray[np.uint8]]:
    """The frames of a video at a given rate, ``(150, 280, 3)`` RGB. Raises ``DiamondError`` for a bad file."""
    ticks, time = 0, 0.0
    shown: NDArray[np.uint8] | None = None
    try:
        with av.open(str(video)) as container:
            container.streams.video[0].codec_context.options = {"max_pixels": str(LARGEST_PICTURE)}
            for frame in container.decode(video=0):
                if frame.width * frame.height > LARGEST_PICTURE or (frame.time or 0.0) - time > LONGEST_STILL:
                    raise DiamondError(f"{video} is damaged after {time:.1f} s")
                time = frame.time or 0.0
                while shown is not None and ticks / frame_rate < time - EARLIER:
                    yield shown
                    ticks += 1
                image = frame.to_ndarray(format="rgb24")
                shown = np.asarray(cv2.resize(image, FRAME_SIZE, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    except DiamondError:
        raise
    except av.error.FFmpegError as error:
        raise DiamondError(f"{video} is not a readable video: {error.strerror}") from error
    except IndexError as error:
        raise DiamondError(f"{video} holds no pictures") from error
    except Exception as error:  # damaged bytes can raise almost any exception
        raise DiamondError(f"{video} is not a readable video: {error or type(error).__name__}") from error
    if shown is not None and ticks / frame_rate <= time + EARLIER:
        yield shown


def _pieces(frames: Iterator[NDArray[np.uint8]]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Splits frames into episodes, each with its final frame."""
    kept: list[NDArray[np.uint8]] = []
    for frame in frames:
        kept.append(frame)
        if len(kept) > PIECE:
            yield np.stack(kept[:PIECE]), kept[PIECE]
            del kept[:PIECE]
    if len(kept) > 1:
        yield np.stack(kept[:-1]), kept[-1]


def _origin(episode: Path) -> tuple[str, int]:
    """The video of an episode and which piece of it."""
    with open_episode(episode) as file:
        return str(file.attrs.get("video")), int(file.attrs.get("piece", 0))


def _videos(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix.lower() in VIDEOS)
    if not path.is_file():
        raise UsageError(f"no such video: {path}")
    return [path]


def _log_of(video: Path) -> Path:
    for suffix in (".csv", ".jsonl"):
        if video.with_suffix(suffix).is_file():
            return video.with_suffix(suffix)
    raise UsageError(f"{video} has no log: put {video.stem}.csv or {video.stem}.jsonl beside it (docs/own-game.md)")
