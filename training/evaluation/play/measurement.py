"""What a player notices of a world: ``measure_play``, in the parts that a world allows.

How long lives are and what they earn (``closed_loop``), whether things happen to the ball as they really do
(``ball_events``), whether there is one ball and one paddle (``one_ball``), whether what moves is drawn
(``moving_pixels``), and whether a first-person picture stays sharp (``sharpness``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from diamond_engine.agents import EpsilonPolicy
from diamond_engine.errors import UsageError
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.world_model import World
from training.data.collect import TRACKER_SPREAD
from training.data.scripted import scripted_policy
from training.data.scripted.events import KINDS
from training.data.scripted.readers import READERS
from training.evaluation.dreams import Dreaming
from training.evaluation.held_out import held_out_policy, held_out_seed, record_side_by_side
from training.evaluation.play.ball_events import (
    HORIZON,
    EventFidelity,
    draw_event_starts,
    dream_events,
    judge_events,
)
from training.evaluation.play.closed_loop import ClosedLoop, measure_closed_loop, players_of
from training.evaluation.play.moving_pixels import HORIZON as MOVING_HORIZON
from training.evaluation.play.moving_pixels import MovingPixels, draw_moving_starts, measure_moving_pixels
from training.evaluation.play.one_ball import DREAMS, OneBall, measure_one_ball
from training.evaluation.play.sharpness import MEASURED_STEPS as SHARPNESS_STEPS
from training.evaluation.play.sharpness import Sharpness, measure_sharpness, places_as_far
from training.first_person.footage import Footage
from training.runs.progress import Show

EPSILON = 0.1
"""Chance of a random action in real games that are recorded, unless there is only random play."""
RECORDED_GAMES = 4
"""Real games recorded side by side."""
AGENT_STEPS = 400
"""Real steps of each game from which contexts of moving pixels are drawn, at most."""
STEPS_A_CONTEXT = 25
"""Real steps of each game for every one of these contexts."""
TIMED_STEPS = 3
PLAYERS, EVENTS, ONE_BALL, MOVING = (
    "players in the dream and in the game",
    "events",
    "one ball, one paddle",
    "moving pixels",
)
"""Parts that an Atari world may allow."""
SHARPNESS = "sharpness"
"""The part of a first-person world."""
Stage = Callable[[str, int], AbstractContextManager[Show]]
"""Begins a piece of work of a name and an amount; what it yields takes the amount done."""


@dataclass(frozen=True)
class Playing:
    """How much is measured; 0 leaves a part out."""

    steps: int = 2000
    """Steps of every player in the dream, and as many in the real game."""
    events: int = 32
    """Dreams of every kind of event, at most."""
    recorded: int = 12_000
    """Real steps of the scripted player in which events are found."""
    long: int = 200
    """Steps of dreams in which balls and paddles are counted."""
    contexts: int = 32
    """Dreams in which moving pixels are compared, or the sharpness of a first-person picture."""


@dataclass(frozen=True)
class Play:
    """Result of ``measure_play``; a part is None or empty where it does not apply."""

    closed_loop: ClosedLoop | None = None
    """Players in the dream and in the real game."""
    events: list[EventFidelity] = field(default_factory=list[EventFidelity])
    """Of games with a scripted player."""
    one_ball: OneBall | None = None
    """Of games with a scripted player."""
    moving_pixels: list[MovingPixels] = field(default_factory=list[MovingPixels])
    """Of Atari worlds."""
    sharpness: list[Sharpness] = field(default_factory=list[Sharpness])
    """Of first-person worlds."""


def unnoticed(what: str, total: int) -> AbstractContextManager[Show]:
    """A ``Stage`` that shows nothing."""
    return nullcontext(lambda done: None)


def why_not(world: World) -> str | None:
    """Why an Atari world cannot be played in a closed loop, if it cannot."""
    if not world.judges:
        return "lives and rewards are not measured: the world foretells none"
    return None if world.contexts is not None else "lives and rewards are not measured: the world has no start contexts"


def planned_frames(world: World, how: Dreaming, playing: Playing) -> dict[str, int]:
    """Frames that each part dreams, at most, by the part's name; only the parts that the world allows."""
    if not world.game.emulator:
        return {SHARPNESS: playing.contexts * max(SHARPNESS_STEPS)} if playing.contexts else {}
    parts: dict[str, int] = {}
    kinds = KINDS.get(world.game.name)
    if why_not(world) is None:
        parts[PLAYERS] = len(players_of(world, how)) * -(-playing.steps // how.num_envs) * how.num_envs
    if kinds is not None:
        parts[EVENTS] = len(kinds.names) * playing.events * HORIZON
        if world.contexts is not None:
            parts[ONE_BALL] = min(DREAMS, how.num_envs) * playing.long
    parts[MOVING] = playing.contexts * MOVING_HORIZON
    return {part: frames for part, frames in parts.items() if frames}


def seconds_a_frame(world: World, how: Dreaming) -> float | None:
    """Measured on a batch of dreams, warm; None for a world without start contexts."""
    if world.contexts is None:
        return None
    env = WorldModelEnv(world, how.num_envs, how.device, how.preset, how.seed, dtype=how.dtype)
    env.reset()
    idle = torch.zeros((how.num_envs, *world.config.action_shape), dtype=torch.int64)
    started = time.perf_counter()
    for _ in range(TIMED_STEPS):
        started = time.perf_counter()
        env.step(idle)[0].cpu()
    return (time.perf_counter() - started) / how.num_envs


def measure_play(
    world: World, how: Dreaming, playing: Playing, footage: Footage | None = None, stage: Stage = unnoticed
) -> Play:
    """Measures all parts that a world allows; a first-person world is compared with ``footage``.

    Raises ``UsageError`` for a first-person world without footage.
    """
    if not world.game.emulator:
        if footage is None:
            raise UsageError(f"{world.config.name} is compared with recordings: give them with --data")
        return Play(sharpness=_sharpness(world, how, playing, footage, stage))
    parts = planned_frames(world, how, playing)
    closed_loop, one_ball = None, None
    if PLAYERS in parts:
        with stage(f"{PLAYERS}, frames", parts[PLAYERS]) as show:
            closed_loop = measure_closed_loop(world, how, playing.steps, show)
    events = _events(world, how, playing, stage) if EVENTS in parts else []
    if ONE_BALL in parts:
        with stage(f"{ONE_BALL}, frames", parts[ONE_BALL]) as show:
            one_ball = measure_one_ball(world, READERS[world.game.name], how, playing.long, show)
    pixels = _moving_pixels(world, how, playing, stage) if MOVING in parts else []
    return Play(closed_loop, events, one_ball, pixels)


def _sharpness(world: World, how: Dreaming, playing: Playing, footage: Footage, stage: Stage) -> list[Sharpness]:
    places, steps = places_as_far(footage, world.context_length, playing.contexts, how.seed)
    with stage("dreaming beside recordings, frames", len(places) * steps[-1]) as show:
        return measure_sharpness(world, footage, places, steps, how, show)


def _events(world: World, how: Dreaming, playing: Playing, stage: Stage) -> list[EventFidelity]:
    game = world.game
    reader, kinds = READERS[game.name], KINDS[game.name]
    each = -(-playing.recorded // RECORDED_GAMES)
    player = EpsilonPolicy(scripted_policy(game, how.seed, TRACKER_SPREAD), len(game.actions), EPSILON, how.seed + 1)
    with TemporaryDirectory() as folder:
        with stage("recording the scripted player, steps", each * RECORDED_GAMES) as show:
            seed = held_out_seed(how.seed)
            real = record_side_by_side(game, player, Path(folder), RECORDED_GAMES, each, seed, show)
        starts = draw_event_starts(reader, kinds, real, world.context_length, playing.events, how.seed)
        with stage("dreaming into events, frames", len(starts) * HORIZON) as show:
            dreams = dream_events(world, real, starts, how, show)
    return judge_events(reader, kinds, dreams, world.judges)


def _moving_pixels(world: World, how: Dreaming, playing: Playing, stage: Stage) -> list[MovingPixels]:
    player = held_out_policy(world, EPSILON if world.actor_critic else 1.0, how.seed, how.device, how.dtype)
    each = min(AGENT_STEPS, STEPS_A_CONTEXT * playing.contexts)
    with TemporaryDirectory() as folder:
        with stage("recording real games, steps", each * RECORDED_GAMES) as show:
            seed = held_out_seed(how.seed)
            real = record_side_by_side(world.game, player, Path(folder), RECORDED_GAMES, each, seed, show)
        starts = draw_moving_starts(real, world.context_length, playing.contexts, how.seed)
        with stage("dreaming on from real games, frames", len(starts) * MOVING_HORIZON) as show:
            return measure_moving_pixels(world, real, starts, how, show)
