"""Loads a world by options and makes a session on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from diamond_engine import World, load_world
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.runtime import KernelSwap, Runtime, choose_at_once
from diamond_engine.world_model import Preset
from play.autopilot import AgentAutopilot, Autopilot, RecordedAutopilot
from play.beside import Beside
from play.genres import file_name, genre_of
from play.options import Options, check_exists
from play.recording import Header, Recorder
from play.session import Session, Settings, Stage
from play.sources import Dream, Emulator, Source, Start
from play.view import Command, Origin, Player
from weights import bundled_folder, to_stderr
from weights.manifest import MANIFEST

Progress = Callable[[str], None]
"""Called with each loading step, in one line."""


@dataclass(frozen=True)
class LoadedWorld:
    """A loaded world with everything that decides its frames."""

    world: World
    """Networks and start contexts."""
    preset: Preset
    """Samplers."""
    header: Header
    """Description of world and samplers, as in recordings."""
    runtime: Runtime
    """Runtime of its networks at first."""
    kernel_swap: KernelSwap | None = None
    """The later runtime, if its kernels must be built first."""

    @classmethod
    def load(cls, options: Options, progress: Progress) -> LoadedWorld:
        """Finds and reads the world. Raises ``DiamondError`` or ``UsageError`` if it is missing."""
        runtime, kernel_swap = choose_at_once(options.device, options.dtype, compile=options.compile)
        world = _found(options, runtime.dtype_name, progress)
        preset = world.config.preset(options.preset).with_steps(options.steps, options.upsampler_steps)
        header = Header(
            world=options.world,
            weights=_lasting(options.weights),
            preset=options.preset or world.config.default_preset,
            steps=preset.steps,
            upsampler_steps=preset.upsampler_steps,
            device=str(runtime.device),
            dtype=runtime.dtype_name,
        )
        return cls(world, preset, header, runtime, kernel_swap)

    @property
    def sources(self) -> dict[Origin, Callable[[Runtime], Source]]:
        """Openers of its dream and, if the game can be emulated, of the real game."""
        openers: dict[Origin, Callable[[Runtime], Source]] = {Origin.DREAM: partial(Dream, self.world, self.preset)}
        if self.world.game.emulator:
            openers[Origin.EMULATOR] = lambda runtime: Emulator(self.world.game)
            openers[Origin.BESIDE] = partial(Beside, self.world, self.preset)
        return openers


def load_session(options: Options, progress: Progress) -> Session:
    """Loads a world and its autopilot, and starts a session on the calling thread, which then owns it."""
    genre = genre_of(options.game)
    progress(f"loading {genre.title}")
    loaded = LoadedWorld.load(options, progress)
    _check_context(options, loaded.world)
    progress(f"waking it up on {loaded.header.device} in {loaded.header.dtype}")
    autopilot = _autopilot(loaded, options)
    player = options.player
    if player is None:
        player = Player.PERSON if loaded.world.actor_critic is None else Player.AGENT
    stage = Stage(
        title=genre.title,
        actions=genre.actions,
        frame_rate=loaded.world.config.frame_rate,
        header=loaded.header,
        runtime=loaded.runtime,
        kernel_swap=loaded.kernel_swap,
        sources=loaded.sources,
        autopilot=autopilot,
        has_rewards=loaded.world.game.judged,
        start_recording=partial(_start_recording, loaded, iter([options.record] if options.record else [])),
    )
    start = Start(options.seed, options.context)
    session = Session(stage, Settings(start, options.horizon, genre.horizon_step, player, options.origin))
    if options.record is not None:
        session.obey(Command.RECORD)
    return session


def _found(options: Options, dtype: str, progress: Progress) -> World:
    """Loads a world by name: published, bundled, or only in a folder so far."""
    name, weights, game = options.world, options.weights, options.game
    if name in MANIFEST or (weights is None and bundled_folder(name) is not None):

        def notice(line: str) -> None:
            to_stderr(line)  # the size and licence of a download stay readable on the terminal
            progress(line)

        return load_world(name, weights=weights, dtype=dtype, notice=notice)
    check_exists(name, weights)
    world = load_world(Path(weights or name), dtype=dtype)
    found = world.game
    if found.vectors != game.vectors or not (game.vectors or found.is_like(game)):
        wanted = "a first-person one" if game.vectors else f"one of {game.title}"
        raise UsageError(f"{weights} is a world of {found.title}, not {wanted}: use other weights")
    return world


def _lasting(weights: str | None) -> str | None:
    """The path of the weights, made absolute, so that it stays valid in another folder."""
    return str(Path(weights).resolve()) if weights is not None and weights != "hub" else weights


def _check_context(options: Options, world: World) -> None:
    if options.context is None:
        return
    if world.contexts is None:
        raise DiamondError(
            f"{options.world} has no start contexts here: put the folder csgo/spawn of the hub beside its checkpoint"
        )
    if options.context >= len(world.contexts):
        raise UsageError(f"--context {options.context}: {options.world} has contexts 0 to {len(world.contexts) - 1}")


def _autopilot(loaded: LoadedWorld, options: Options) -> Autopilot | None:
    """The recorded player if start contexts are numbered, else the world's agent, if it has one."""
    if options.context is not None:
        return RecordedAutopilot()
    if loaded.world.actor_critic is None and options.player is not Player.AGENT:
        return None
    return AgentAutopilot(loaded.world.agent(loaded.runtime, seed=options.seed))


def _start_recording(loaded: LoadedWorld, asked: Iterator[Path]) -> Recorder:
    """Records to the given path first, then to names made from the time."""
    name = file_name(loaded.header.world)
    default = Path("recordings") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}.mp4"
    return Recorder(next(asked, default), loaded.world.config.frame_rate, loaded.header)
