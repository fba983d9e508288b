"""Stages for sessions: tiny worlds that dream in milliseconds, and the real emulator."""

from dataclasses import replace
from pathlib import Path

from diamond_engine.games import game_named
from diamond_engine.runtime import KernelSwap, Runtime
from diamond_engine.world_model import World
from diamond_engine.worlds import read_world
from play.autopilot import AgentAutopilot, RecordedAutopilot
from play.genres import genre_of
from play.recording import Header, Recorder, Recording
from play.replay import options_of
from play.session import Session, Settings, Stage
from play.sources import Start
from play.stage import LoadedWorld
from play.view import Command

HEADER = Header("atari/Breakout", None, "fast", 1, 0, "cpu", "float32")
FIRST_PERSON_HEADER = Header("csgo", None, "fast", 1, 1, "cpu", "float32")
PLAIN = Runtime.choose("cpu", "float32", compile=False)
BREAKOUT, CSGO = genre_of(game_named("atari/Breakout")), genre_of(game_named("csgo"))


def endless_world(folder: Path) -> World:
    """A world without a reward/end model: its dreams end at the horizon alone."""
    return without_ends(read_world(folder))


def without_ends(world: World) -> World:
    """The same without its reward/end model."""
    return replace(world, config=replace(world.config, reward_end=None), reward_end=None)


def make_stage(
    world: World,
    recording: Path = Path("unused.mp4"),
    agent: bool = True,
    kernel_swap: KernelSwap | None = None,
    runtime: Runtime = PLAIN,
) -> Stage:
    return Stage(
        title="Breakout",
        actions=BREAKOUT.actions,
        frame_rate=1000.0,
        header=HEADER,
        runtime=runtime,
        kernel_swap=kernel_swap,
        sources=LoadedWorld(world, world.config.preset("fast"), HEADER, runtime).sources,
        autopilot=AgentAutopilot(world.agent(runtime)) if agent else None,
        has_rewards=True,
        start_recording=lambda: Recorder(recording, 15.0, HEADER),
    )


def first_person_stage(world: World, recording: Path = Path("unused.mp4"), runtime: Runtime = PLAIN) -> Stage:
    return Stage(
        title="CS:GO",
        actions=CSGO.actions,
        frame_rate=1000.0,
        header=FIRST_PERSON_HEADER,
        runtime=runtime,
        kernel_swap=None,
        sources=LoadedWorld(world, world.config.preset("fast"), FIRST_PERSON_HEADER, runtime).sources,
        autopilot=RecordedAutopilot(),
        has_rewards=False,
        start_recording=lambda: Recorder(recording, 16.0, FIRST_PERSON_HEADER),
    )


def make_session(folder: Path, settings: Settings | None = None, agent: bool = True) -> Session:
    return Session(make_stage(endless_world(folder), agent=agent), settings or Settings())


def first_person_session(world: World, context: int | None = 0, recording: Path = Path("unused.mp4")) -> Session:
    settings = Settings(Start(0, context), horizon=1000, horizon_step=100)
    return Session(first_person_stage(world, recording), settings)


def loaded_as(recording: Recording, folder: Path) -> LoadedWorld:
    """The world of a recording, from a folder."""
    return LoadedWorld.load(options_of(recording.header, weights=str(folder)), progress=lambda line: None)


def obey(session: Session, *commands: Command) -> None:
    for command in commands:
        session.obey(command)
