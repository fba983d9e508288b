"""Finds trained worlds and agents in run folders, world folders, or by name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diamond_engine import load_world
from diamond_engine.agents import read_agent
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games import Game
from diamond_engine.networks import ActorCritic
from diamond_engine.world_model import World
from diamond_engine.worlds import COMPONENTS


@dataclass(frozen=True)
class TrainedAgent:
    """An actor-critic and its origin."""

    network: ActorCritic
    game: Game
    provenance: dict[str, Any]

    @property
    def label(self) -> str:
        """Such as ``agent after 500 updates (3f9a01bc)``; the digits identify the weights."""
        digest = hashlib.sha256()
        for value in self.network.state_dict().values():
            digest.update(value.float().numpy().tobytes())
        updates = self.provenance.get("updates")
        return f"agent{f' after {updates} updates' if updates else ''} ({digest.hexdigest()[:8]})"


def find_world(name: str, game: Game | None = None) -> World:
    """Loads a world by name, world folder or run folder; of ``game``, if given.

    Raises what ``load_world`` raises, and ``UsageError`` for another game's world.
    """
    world = load_world(name)
    if game is not None:
        _check_game(name, world.game, game)
    return world


def origin_of(world: World, component: str | None = None) -> dict[str, Any]:
    """Facts about a world for the provenance of weights that started from it, such as its name and licence.

    ``component``: adds how this component, from which they started, was made.
    """
    provenance, parts = world.config.provenance, (*COMPONENTS, "agent")
    whole = {name: fact for name, fact in provenance.items() if name not in parts}
    own = {} if component is None else provenance.get(component, {})
    return {"world": world.config.name, **whole, **own}


def find_agent(name: str, game: Game) -> TrainedAgent:
    """The agent in an agent's folder or a run folder, else that of the world ``find_world`` finds.

    Raises what ``find_world`` raises, and ``DiamondError`` for a world without an agent.
    """
    folder = Path(name)
    found = next((path for path in (folder, folder / "agent") if (path / "agent.yaml").is_file()), None)
    if found is None:
        world = find_world(name, game)
        if world.actor_critic is None:
            raise DiamondError(f"{name} has no agent: train one with 'diamond-train agent' or 'algorithm1'")
        provenance = dict(world.config.provenance.get("agent", {}))
        return _checked(name, TrainedAgent(world.actor_critic, game, provenance))
    config, network = read_agent(found)
    if config.game != game.name:
        raise UsageError(f"{name} was trained for {config.game}, not for {game.name}")
    return _checked(name, TrainedAgent(network, game, config.provenance))


def _check_game(name: str, found: Game, wanted: Game) -> None:
    if not found.is_like(wanted):
        kind = found.name if found.name != wanted.name else "other actions"
        raise UsageError(f"{name} was trained for {kind}, not for {wanted.name}")


def _checked(name: str, agent: TrainedAgent) -> TrainedAgent:
    """The agent, if it can see and play its game: frames may be of any size."""
    sees, acts = agent.network.cfg.img_size, agent.network.cfg.num_actions
    if sees != agent.game.frame_height or acts != len(agent.game.actions):
        raise UsageError(f"{name} is for frames of {sees}x{sees} and {acts} actions: {agent.game.name} has others here")
    return agent
