"""Puts a world together from trained parts, with the origin of each (``diamond-train assemble``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from diamond_engine.errors import UsageError
from diamond_engine.world_model import World
from diamond_engine.worlds import of_diffusion
from training.runs.trained import TrainedAgent


def assembled(world: World, agent: TrainedAgent | None, notes: Mapping[str, str]) -> World:
    """The world with another agent (None: its own) and with notes, such as a licence, in its provenance."""
    provenance = {**world.config.provenance, "assembled": date.today().isoformat(), **notes}
    if agent is None:
        return replace(world, config=replace(world.config, provenance=provenance))
    config = replace(world.config, actor_critic=agent.network.cfg, provenance={**provenance, "agent": agent.provenance})
    return replace(world, config=config, actor_critic=agent.network)


def with_reward_end(world: World, other: World) -> World:
    """The world with the reward/end model of another and its provenance. Raises ``UsageError`` if that has none."""
    world, other = of_diffusion(world, "--reward-end"), of_diffusion(other, "--reward-end")
    if other.reward_end is None:
        raise UsageError(f"{other.config.name}, given as --reward-end, has no reward/end model")
    provenance = {**world.config.provenance, "reward_end": other.config.provenance.get("reward_end", {})}
    config = replace(world.config, reward_end=other.config.reward_end, provenance=provenance)
    return replace(world, config=config, reward_end=other.reward_end)


def with_default_preset(world: World, preset: str) -> World:
    """The world with another default preset. Raises ``UsageError`` if it has no such preset."""
    world.config.preset(preset)
    return replace(world, config=replace(world.config, default_preset=preset))
