"""Options of the play commands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from diamond_engine.errors import UsageError
from diamond_engine.games import FIRST_PERSON_GAMES, Game, atari_game, game_named
from play.view import Origin, Player
from weights import bundled_folder
from weights.manifest import MANIFEST

WORLD_FILES = ("world.yaml", "world/world.yaml")
"""In the folder of a world, or of a training run."""


@dataclass(frozen=True)
class Options:
    """Which world is played, and how."""

    world: str
    """Its name, such as ``atari/Breakout`` or ``csgo``."""
    weights: str | None = None
    """None: bundled, else from the hub; ``hub``; or the path of a world folder or published checkpoint."""
    preset: str | None = None
    """Sampler preset; None: the world's default."""
    steps: int | None = None
    """Denoising steps of the dynamics model instead of the preset's."""
    upsampler_steps: int | None = None
    """Denoising steps of the upsampler instead of the preset's."""
    device: str = "auto"
    """Torch device."""
    dtype: str = "auto"
    """``float32`` or ``bfloat16``."""
    compile: bool = True
    """On a CPU: swap to its own kernels as soon as they are built."""
    seed: int = 0
    """Episode k starts from seed + k."""
    context: int | None = None
    """Number of the first start context, the next ones follow; None: the seed chooses each."""
    horizon: int = 50
    """Steps after which a dream ends."""
    player: Player | None = None
    """Who plays first; None: the agent, where the world has one."""
    origin: Origin = Origin.DREAM
    """The first source."""
    record: Path | None = None
    """Path of a recording that starts at once."""
    sensitivity: float = 1.0
    """Sensitivity of the mouse."""

    @cached_property
    def game(self) -> Game:
        """See ``played``."""
        return played(self.world, self.weights)


@dataclass(frozen=True)
class Outputs:
    """Length of a session and the files it writes."""

    headless: bool = False
    """Without a window, even if there is a display."""
    frames: int | None = None
    """Steps to play; None: until the window is closed, or 20 seconds of play without one."""
    video: Path | None = None
    """MP4 of every frame."""
    report: Path | None = None
    """JSON report of the session."""


def origin_of(real: bool, beside: bool) -> Origin:
    """The first source by the options. Raises ``UsageError`` if both were given."""
    if real and beside:
        raise UsageError("--real or --beside: one of them")
    return Origin.EMULATOR if real else Origin.BESIDE if beside else Origin.DREAM


def usual_horizon(game: Game) -> int:
    """Default number of steps after which a dream ends."""
    return 1000 if game.vectors else 50


def world_of(command: str, game: str) -> str:
    """Name of the world for a command and its game. Raises ``UsageError`` for a game that Atari does not have."""
    return atari_game(game).world if command == "atari" else f"gym:{game.removeprefix('gym:')}"


def played(world: str, weights: str | None) -> Game:
    """The game of a world. A person's own is read from the world's folder, so the game need not be here; of a
    first-person world these are its keys and the size of its frames.

    Raises ``UsageError`` for a name that means no game, ``DiamondError`` for a damaged folder.
    """
    in_folder = weights is not None and any((Path(weights) / part).is_file() for part in WORLD_FILES)
    if weights is None or not (":" in world or in_folder):
        return game_named(world)
    from diamond_engine.worlds import read_world_config, world_folder

    stated = read_world_config(world_folder(Path(weights))).played
    if ":" not in world:
        known = FIRST_PERSON_GAMES.get(world)
        if not stated.vectors or (known is None and world != stated.world):
            return game_named(world)
        return stated if known is None else replace(stated, name=known.name, title=known.title)
    if stated.name != world:
        raise UsageError(f"{weights} is a world of {stated.title}, not of {world}: use other weights")
    return stated


def named(world: str) -> tuple[str, str | None]:
    """The name of a world and its weights. If ``world`` is a folder, the name is the one in its ``world.yaml``.

    Raises ``DiamondError`` where the folder holds no world.
    """
    folder = Path(world)
    if world in MANIFEST or bundled_folder(world) is not None or not folder.is_dir():
        return world, None
    from diamond_engine.worlds import read_world_config, world_folder

    folder = world_folder(folder)
    return read_world_config(folder).name, str(folder)


def check(options: Options, outputs: Outputs) -> None:
    """Checks options before anything is loaded. Raises ``UsageError`` or ``DiamondError``."""
    game = options.game
    if options.origin is not Origin.DREAM and not game.emulator:
        raise UsageError(f"{game.title} has no emulator here: --real and --beside are for games that can be played")
    check_exists(options.world, options.weights)
    counts = {
        "frames": outputs.frames,
        "steps": options.steps,
        "upsampler-steps": options.upsampler_steps,
        "horizon": options.horizon,
    }
    for name, value in counts.items():
        if value is not None and value < 1:
            raise UsageError(f"--{name} must be at least 1, not {value}")
    if options.context is not None and options.context < 0:
        raise UsageError(f"--context must be at least 0, not {options.context}")
    if not 0 < options.sensitivity < float("inf"):
        raise UsageError(f"--sensitivity must be above 0, not {options.sensitivity:g}")


def check_exists(world: str, weights: str | None) -> None:
    """Raises ``UsageError`` for a world that is neither bundled nor published if no weights are given."""
    found = world in MANIFEST or (weights is None and bundled_folder(world) is not None)
    if not found and weights in (None, "hub"):
        raise UsageError(
            f"there is no world {world!r} yet, neither bundled nor published: pass the folder of one with --weights"
        )
