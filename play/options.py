"""What ``diamond-play atari`` is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from diamond_engine.actions import atari_game
from diamond_engine.errors import UsageError
from play.view import Origin, Player


@dataclass(frozen=True)
class AtariOptions:
    """The options of ``diamond-play atari``."""

    game: str
    """Name of the game, in any case."""
    weights: str | None = None
    """None: bundled, else from the hub; ``hub``; or the path of a world folder or published checkpoint."""
    preset: str | None = None
    """Sampler preset; None: the world's default."""
    steps: int | None = None
    """Denoising steps in place of the preset's."""
    device: str = "auto"
    """Torch device."""
    dtype: str = "auto"
    """``float32`` or ``bfloat16``."""
    seed: int = 0
    """Episode k starts from seed + k."""
    horizon: int = 50
    """Steps after which a dream ends."""
    player: Player | None = None
    """Who plays first; None: the agent, where the world has one."""
    origin: Origin = Origin.DREAM
    """The first source."""
    record: Path | None = None
    """Where the first recording goes; it then starts at once."""


@dataclass(frozen=True)
class Outputs:
    """How long a session runs, and what it leaves."""

    headless: bool = False
    """Without a window, also where there is a display."""
    frames: int | None = None
    """Steps to play; None: until the window is closed, or 20 seconds of play without one."""
    video: Path | None = None
    """MP4 of every frame."""
    report: Path | None = None
    """JSON of how it ran."""


def check(options: AtariOptions, outputs: Outputs) -> None:
    """Raises ``UsageError`` for what can be seen to be wrong before anything is loaded."""
    atari_game(options.game)
    counts = {"frames": outputs.frames, "steps": options.steps, "horizon": options.horizon}
    for name, value in counts.items():
        if value is not None and value < 1:
            raise UsageError(f"--{name} must be at least 1, not {value}")
