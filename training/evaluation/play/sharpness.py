"""Sharpness of first-person dreams over time, against recordings held out of training.

Shapes: B dreams, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from diamond_engine.world_model import World
from training.evaluation.dreams import Dreaming
from training.evaluation.fidelity.footage import (
    DYNAMICS,
    UPSAMPLER,
    Place,
    contexts_at,
    draw_places,
    dream_stages,
    full_res_frames,
    held_out_clips,
)
from training.evaluation.metrics import gradient_energy
from training.first_person.footage import Footage
from training.runs.progress import Show

MEASURED_STEPS = (1, 15, 50, 200)
"""Steps of a dream at which it is compared, as far as recordings last."""


@dataclass(frozen=True)
class Sharpness:
    """A stage at one step."""

    stage: str
    """Such as ``dynamics``."""
    step: int
    """Actions since the context."""
    n: int
    """Dreams."""
    ratio: float | None
    """``metrics.gradient_energy`` of the dreamed frames over that of the real ones: 1 as sharp, below 1 blurred, above
    1 noisy. None where the real ones have none."""


def places_as_far(footage: Footage, context: int, count: int, seed: int) -> tuple[list[Place], tuple[int, ...]]:
    """Up to so many places, spread over the held-out recordings, and the steps that can be measured from them.

    Raises ``DiamondError`` where no recording that is held out is longer than a context.
    """
    longest = max(footage.clips[clip].frames for clip in held_out_clips(footage, context + MEASURED_STEPS[0]))
    steps = tuple(step for step in MEASURED_STEPS if context + step <= longest)
    recordings = len(held_out_clips(footage, context + steps[-1]))
    places = draw_places(footage, context, recordings, -(-count // recordings), seed, steps[-1])
    return [places[i] for i in np.random.default_rng(seed).permutation(len(places))[:count]], steps


def measure_sharpness(
    world: World,
    footage: Footage,
    places: Sequence[Place],
    steps: Sequence[int],
    how: Dreaming,
    show: Show = lambda done: None,
) -> list[Sharpness]:
    """Dreams from every place with the recorded actions; ``show`` takes the frames dreamed so far."""
    readers = {DYNAMICS: footage.low_res, **({UPSAMPLER: footage.full_res} if world.config.full_res_length else {})}
    energies = np.zeros((len(readers), len(steps), 2))
    done = 0
    for first in range(0, len(places), how.num_envs):
        batch = places[first : first + how.num_envs]
        contexts = contexts_at(footage, batch, world.context_length, full_res_frames(world))
        actions = np.stack([footage.actions(place.clip, place.frame, place.frame + max(steps)) for place in batch])
        dreams = dream_stages(world, replace(how, seed=how.seed + first), contexts, actions)
        for step, drawn in enumerate(dreams, start=1):
            for row, (stage, read) in enumerate(readers.items()) if step in steps else ():
                real = np.stack([read(place.clip, place.frame + step, place.frame + step + 1)[0] for place in batch])
                both = (gradient_energy(drawn[stage]), gradient_energy(real))
                energies[row, steps.index(step)] += np.array(both) * len(batch)
            done += len(batch)
            show(done)
    return [
        Sharpness(stage, step, len(places), float(dreamed / real) if real else None)
        for stage, rows in zip(readers, energies, strict=True)
        for step, (dreamed, real) in zip(steps, rows, strict=True)
    ]
