"""Atari at play: from options to a loaded world and the session on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from diamond_engine import World, load_world
from diamond_engine.actions import atari_game
from diamond_engine.runtime import Runtime
from diamond_engine.worlds import Preset
from play.options import AtariOptions
from play.recording import Header, Recorder
from play.session import Session, Settings, Stage
from play.sources import Dream, Emulator
from play.view import Command, Origin, Player

Progress = Callable[[str], None]
"""Is told in one line what is being done."""


@dataclass(frozen=True)
class AtariWorld:
    """A loaded world with everything that decides its frames."""

    world: World
    """Networks and start contexts."""
    preset: Preset
    """Sampler."""
    header: Header
    """The same in words."""

    @classmethod
    def load(cls, options: AtariOptions) -> AtariWorld:
        """Finds and reads the world. Raises ``DiamondError`` or ``UsageError`` for what is not there."""
        runtime = Runtime.choose(options.device, options.dtype)
        name = f"atari/{atari_game(options.game).name}"
        world = load_world(name, weights=options.weights)
        preset = world.config.preset(options.preset)
        if options.steps is not None:
            preset = preset.with_steps(options.steps)
        header = Header(
            world=name,
            weights=_lasting(options.weights),
            preset=options.preset or world.config.default_preset,
            steps=preset.dynamics.num_steps_denoising,
            device=str(runtime.device),
            dtype=runtime.dtype_name,
        )
        return cls(world, preset, header)

    def dream(self) -> Dream:
        """The world as a source."""
        return Dream(self.world, self.preset, self.header.device, self.header.dtype)

    def emulator(self) -> Emulator:
        """The real game as a source."""
        return Emulator(self.world.game)


def _lasting(weights: str | None) -> str | None:
    """The same weights, also when seen from another folder."""
    return str(Path(weights).resolve()) if weights is not None and weights != "hub" else weights


def load_session(options: AtariOptions, progress: Progress) -> Session:
    """Loads world and agent and starts a session on the calling thread, which then owns it."""
    progress(f"loading {atari_game(options.game).name}")
    loaded = AtariWorld.load(options)
    world, header = loaded.world, loaded.header
    player = options.player
    if player is None:
        player = Player.PERSON if world.actor_critic is None else Player.AGENT
    progress(f"waking it up on {header.device} in {header.dtype}")
    wants_agent = player is Player.AGENT or world.actor_critic is not None
    stage = Stage(
        game=world.game,
        frame_rate=world.config.frame_rate,
        header=header,
        sources={Origin.DREAM: loaded.dream, Origin.EMULATOR: loaded.emulator},
        agent=world.agent(header.device, header.dtype, options.seed) if wants_agent else None,
        start_recording=partial(_start_recording, loaded, iter([options.record] if options.record else [])),
    )
    session = Session(stage, Settings(options.seed, options.horizon, player, options.origin))
    if options.record is not None:
        session.obey(Command.RECORD)
    return session


def _start_recording(loaded: AtariWorld, asked: Iterator[Path]) -> Recorder:
    """Records to the path that was asked for, then to names made of the time."""
    config = loaded.world.config
    default = Path("recordings") / f"{config.game}-{datetime.now():%Y%m%d-%H%M%S}.mp4"
    return Recorder(next(asked, default), config.frame_rate, loaded.header)
