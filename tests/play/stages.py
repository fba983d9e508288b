"""Stages for sessions: a tiny world that dreams in milliseconds, and the real emulator."""

from dataclasses import replace
from pathlib import Path

from diamond_engine.worlds import World, read_world
from play.recording import Header, Recorder
from play.session import Session, Settings, Stage
from play.sources import Dream, Emulator
from play.view import Command, Origin

HEADER = Header("atari/Breakout", None, "fast", 1, "cpu", "float32")


def endless_world(folder: Path) -> World:
    """A world without a reward/end model: its dreams end at the horizon alone."""
    return replace(read_world(folder), reward_end=None)


def make_stage(world: World, recording: Path = Path("unused.mp4"), agent: bool = True) -> Stage:
    return Stage(
        game=world.game,
        frame_rate=1000.0,
        header=HEADER,
        sources={
            Origin.DREAM: lambda: Dream(world, world.config.preset("fast"), "cpu", "float32"),
            Origin.EMULATOR: lambda: Emulator(world.game),
        },
        agent=world.agent("cpu", "float32") if agent else None,
        start_recording=lambda: Recorder(recording, 15.0, HEADER),
    )


def make_session(folder: Path, settings: Settings | None = None, agent: bool = True) -> Session:
    return Session(make_stage(endless_world(folder), agent=agent), settings or Settings())


def obey(session: Session, *commands: Command) -> None:
    for command in commands:
        session.obey(command)
