"""Puts a world together from trained parts, with the origin of each (``diamond-train assemble``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from diamond_engine.worlds import World
from training.trained import TrainedAgent


def assemble(world: World, agent: TrainedAgent | None, notes: Mapping[str, str]) -> World:
    """The world with another agent (its own where None) and with notes, such as a licence, in its provenance."""
    provenance = {**world.config.provenance, "assembled": date.today().isoformat(), **notes}
    if agent is None:
        return replace(world, config=replace(world.config, provenance=provenance))
    config = replace(world.config, actor_critic=agent.network.cfg, provenance={**provenance, "agent": agent.provenance})
    return replace(world, config=config, actor_critic=agent.network)
