"""The report of a session: measured while it runs, written as one flat JSON object."""

from __future__ import annotations

import json
import time
from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diamond_engine.files import write_text
from play import STARTED
from play.view import Origin

if TYPE_CHECKING:
    from play.session import Session


@dataclass(frozen=True)
class Report:
    """The numbers of one session."""

    fps: float
    """Frames a second, without pauses."""
    plain_fps: float
    """The same while torch's kernels ran the networks (on a CPU at first); 0 if they never did."""
    compiled_fps: float
    """The same while kernels built for the machine ran them; 0 if they never did."""
    step_ms_p50: float
    """Median milliseconds of a step: agent, world model, reward/end model, and copying the frame back."""
    step_ms_p95: float
    """95th percentile of the same."""
    step_ms_p99: float
    """99th percentile of the same."""
    dynamics_ms_p50: float
    """Median milliseconds of the dynamics model in a step; 0 without a dream."""
    upsampler_ms_p50: float
    """Median milliseconds of the upsampler; 0 without one."""
    deadline_misses: int
    """Steps that began late because the one before took longer than a frame period."""
    time_to_first_frame_s: float
    """Seconds from the start of the command to the first frame of the model."""
    frames: int
    """Steps played."""
    device: str
    """Torch device."""
    dtype: str
    """``float32`` or ``bfloat16``."""
    compiled: bool
    """Whether networks ran on kernels built for this machine, at the end."""
    runtime: str
    """Device, precision and kernels at the end, in words, and why they were chosen."""
    preset: str
    """Sampler preset."""
    steps: int
    """Denoising steps of the dynamics model."""
    upsampler_steps: int
    """Denoising steps of the upsampler; 0 without one."""
    seed: int
    """The session's seed."""
    world: str
    """Such as ``atari/Breakout``."""
    source: str
    """``dream`` or ``emulator``, at the end."""
    player: str
    """``person``, ``agent`` or ``recorded player``, at the end."""
    episode_return: float
    """Sum of the rewards of the last episode; 0 in a world without rewards."""


@dataclass
class Pace:
    """Counts frames and the time between them."""

    frames: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Adds a frame that came this many seconds after the one before."""
        self.frames += 1
        self.seconds += seconds

    @property
    def fps(self) -> float:
        """Frames a second; 0 without frames."""
        return self.frames / self.seconds if self.frames else 0.0


class Meter:
    """Times the steps of a session."""

    def __init__(self, frame_rate: float) -> None:
        self.step_ms = array("f")
        self._stage_ms: dict[str, array[float]] = {}
        self._recent: deque[float] = deque(maxlen=max(1, round(frame_rate)))
        self._plain, self._compiled = Pace(), Pace()
        self._last: float | None = None
        self._first_frame_s = 0.0

    def add(self, began: float, stage_ms: Mapping[str, float], compiled: bool) -> None:
        """A step that began at ``began`` (``time.perf_counter``) has just ended; its stages took ``stage_ms``.

        ``compiled``: it ran on kernels built for the machine.
        """
        now = time.perf_counter()
        self.step_ms.append(1000 * (now - began))
        for stage, milliseconds in stage_ms.items():
            self._stage_ms.setdefault(stage, array("f")).append(milliseconds)
        if len(self.step_ms) == 1:
            self._first_frame_s = now - STARTED
        if self._last is not None:
            self._recent.append(now - self._last)
            (self._compiled if compiled else self._plain).add(now - self._last)
        self._last = now

    def pause(self) -> None:
        """Excludes the time until the next step."""
        self._last = None

    @property
    def recent_fps(self) -> float:
        """Frames a second over about the last second, 0 before there are two."""
        return len(self._recent) / sum(self._recent) if self._recent else 0.0

    def report(self, session: Session, seed: int, deadline_misses: int) -> Report:
        """The report of the session so far, which has at least one step."""
        p50, p95, p99 = np.percentile(self.step_ms, (50, 95, 99))
        pace = Pace(self._plain.frames + self._compiled.frames, self._plain.seconds + self._compiled.seconds)
        header, last = session.stage.header, session.snapshot()
        return Report(
            fps=round(pace.fps or 1000 / self.step_ms[0], 3),
            plain_fps=round(self._plain.fps, 3),
            compiled_fps=round(self._compiled.fps, 3),
            step_ms_p50=round(float(p50), 3),
            step_ms_p95=round(float(p95), 3),
            step_ms_p99=round(float(p99), 3),
            dynamics_ms_p50=self._median("dynamics"),
            upsampler_ms_p50=self._median("upsampler"),
            deadline_misses=deadline_misses,
            time_to_first_frame_s=round(self._first_frame_s, 3),
            frames=session.frames,
            device=header.device,
            dtype=header.dtype,
            compiled=session.runtime.compiled,
            runtime=session.runtime.describe(),
            preset=header.preset,
            steps=header.steps,
            upsampler_steps=header.upsampler_steps,
            seed=seed,
            world=header.world,
            source=last.origin or Origin.DREAM,
            player=last.player,
            episode_return=last.episode_return or 0.0,
        )

    def _median(self, stage: str) -> float:
        return round(float(np.median(self._stage_ms.get(stage, 0.0))), 3)


def write_report(path: Path, report: Report) -> None:
    """Writes a report atomically."""
    write_text(path, json.dumps(asdict(report), indent=2) + "\n")
