"""Fidelity of first-person dreams against recordings held out of training.

Shapes: B dreams, L context length, S steps of a dream, A entries of an action, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from diamond_engine.contexts import StartContexts
from diamond_engine.errors import DiamondError
from diamond_engine.frames import to_numpy
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.runtime import Runtime
from diamond_engine.world_model import World
from training.evaluation.dreams import Dreaming
from training.evaluation.fidelity.episodes import HORIZON, MEASURED_STEPS
from training.evaluation.metrics import Frames, psnr, wrong_pixel_ratio
from training.first_person.footage import Footage
from training.runs.progress import Show

DYNAMICS, UPSAMPLER = "dynamics", "upsampler"
"""The stages, named as ``WorldModelEnv`` names them."""


@dataclass(frozen=True)
class Place:
    """A frame of a recording."""

    clip: int
    """Index of the recording."""
    frame: int
    """Index of the frame, the newest of a context."""


@dataclass(frozen=True)
class StepDistance:
    """Dreams against the recordings at one step."""

    step: int
    """Actions since the context."""
    wrong_pixel_ratio: float | None
    """See ``metrics.wrong_pixel_ratio``; the repeated frame is the newest of the context."""
    psnr: float
    """Mean over the dreams, dB."""
    mean_error: float
    """Mean absolute difference, levels of 256."""
    repeated_error: float
    """The same for the repeated frame."""


@dataclass(frozen=True)
class StageFidelity:
    """One stage of a world against the recordings."""

    steps: list[StepDistance]
    """One entry for each of ``MEASURED_STEPS``."""
    real: Frames
    """A recording's continuation ``(S, H, W, 3)``."""
    dreamed: Frames
    """The dream of it ``(S, H, W, 3)``."""


def held_out_clips(footage: Footage, frames: int) -> list[int]:
    """Held-out recordings of at least so many frames. Raises ``DiamondError`` if there are none."""
    clips = [i for i, clip in enumerate(footage.clips) if clip.held_out and clip.frames >= frames]
    if not clips:
        raise DiamondError(f"no recording of {frames} frames is held out of training: of ten recordings one is")
    return clips


def draw_places(
    footage: Footage, context: int, recordings: int, per_recording: int, seed: int, horizon: int = HORIZON
) -> list[Place]:
    """Places in up to so many held-out recordings, with a context before each and ``horizon`` frames after it."""
    rng = np.random.default_rng(seed)
    clips = held_out_clips(footage, context + horizon)
    places: list[Place] = []
    for clip in rng.permutation(clips)[:recordings].tolist():
        possible = np.arange(context - 1, footage.clips[clip].frames - horizon)
        chosen = rng.choice(possible, min(per_recording, len(possible)), replace=False)
        places += [Place(clip, int(frame)) for frame in chosen]
    return places


def contexts_at(footage: Footage, places: Sequence[Place], length: int, full_res: int) -> StartContexts:
    """Contexts of L frames that end at the places, the newest ``full_res`` at full resolution too."""
    rows = [
        (
            footage.low_res(place.clip, place.frame + 1 - length, place.frame + 1),
            footage.actions(place.clip, place.frame + 1 - length, place.frame),
        )
        for place in places
    ]
    frames, actions = (np.stack(column) for column in zip(*rows, strict=True))
    if not full_res:
        return StartContexts(frames, actions)
    large = [footage.full_res(place.clip, place.frame + 1 - full_res, place.frame + 1) for place in places]
    return StartContexts(frames, actions, np.stack(large))


def full_res_frames(world: World) -> int:
    """Number of full-resolution frames in a context."""
    return world.config.full_res_length


def dream_stages(
    world: World, how: Dreaming, contexts: StartContexts, actions: NDArray[np.uint8]
) -> Iterator[dict[str, Frames]]:
    """Dreams with actions ``(B, S, A)``; yields for every step the frames ``(B, H, W, 3)`` of each stage by name."""
    drawn: dict[str, Frames] = {}

    def note(stage: str, frames: torch.Tensor) -> None:
        drawn[stage] = to_numpy(frames)

    by_stage = replace(Runtime.choose(how.device, how.dtype), records=False)  # a recorded frame tells of no stages
    env = WorldModelEnv(world.unjudged(), len(contexts), by_stage, how.preset, how.seed, on_stage=note)
    arrays = contexts.arrays()
    arrays.pop("recorded", None)
    env.reset(options=arrays)
    for step in torch.from_numpy(actions).to(env.runtime.device).unbind(1):
        env.step(step)
        yield dict(drawn)


def measure_footage(
    world: World, footage: Footage, places: Sequence[Place], how: Dreaming, show: Show = lambda done: None
) -> dict[str, StageFidelity]:
    """Dreams from every place with the recorded actions and compares each stage with the recorded frames."""
    readers = {DYNAMICS: footage.low_res, **({UPSAMPLER: footage.full_res} if world.config.full_res_length else {})}
    kept: dict[str, dict[int, list[tuple[Frames, Frames, Frames]]]] = {
        stage: {step: [] for step in MEASURED_STEPS} for stage in readers
    }
    strips: dict[str, tuple[Frames, Frames]] = {}
    for first in range(0, len(places), how.num_envs):
        batch = places[first : first + how.num_envs]
        dreamed = _dreamed(world, footage, batch, replace(how, seed=how.seed + first))
        for stage, read in readers.items():
            for place, dream in zip(batch, dreamed[stage], strict=True):
                repeated, *real = read(place.clip, place.frame, place.frame + 1 + HORIZON)
                strips.setdefault(stage, (np.stack(real), dream))
                for step in MEASURED_STEPS:
                    kept[stage][step].append((dream[step - 1], real[step - 1], repeated))
        show(first + len(batch))
    return {
        stage: StageFidelity([_distance(step, triples) for step, triples in steps.items()], *strips[stage])
        for stage, steps in kept.items()
    }


def _dreamed(world: World, footage: Footage, places: Sequence[Place], how: Dreaming) -> dict[str, Frames]:
    """Every stage's frames of all steps ``(B, S, H, W, 3)``."""
    contexts = contexts_at(footage, places, world.context_length, full_res_frames(world))
    actions = np.stack([footage.actions(place.clip, place.frame, place.frame + HORIZON) for place in places])
    steps = list(dream_stages(world, how, contexts, actions))
    return {stage: np.stack([step[stage] for step in steps], axis=1) for stage in steps[0]}


def _distance(step: int, triples: list[tuple[Frames, Frames, Frames]]) -> StepDistance:
    """From triples of dreamed, real and repeated frames ``(H, W, 3)``."""
    dreamed, real, repeated = (np.stack(frames) for frames in zip(*triples, strict=True))
    return StepDistance(
        step,
        wrong_pixel_ratio(dreamed, real, repeated),
        float(psnr(dreamed, real).mean()),
        mean_difference(dreamed, real),
        mean_difference(repeated, real),
    )


def mean_difference(frames: Frames, others: Frames) -> float:
    """Mean absolute difference of two arrays of one shape, levels of 256."""
    return float(np.abs(frames.astype(np.int16) - others.astype(np.int16)).mean())
