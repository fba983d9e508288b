"""Loading worlds and agents by name, from a folder, or from a published checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from diamond_engine.agents import Agent
from diamond_engine.checkpoints import StateDict, built, read_published
from diamond_engine.contexts import StartContexts, collect_contexts
from diamond_engine.csgo import CSGO, load_csgo
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games import Game, game_named
from diamond_engine.locating import located
from diamond_engine.networks import ActorCritic
from diamond_engine.runtime import Runtime
from diamond_engine.token_worlds import iris_world_config
from diamond_engine.world_model import World, WorldConfig
from diamond_engine.worlds import (
    open_folder,
    paper_config,
    read_world,
    world_folder,
)
from weights import Notice, bundled_folder, to_stderr

ATARI = "atari/"
DIAMOND_ACTIONS, IRIS_ACTIONS = "inner_model.act_emb.0.weight", "embedder.embedding_tables.0.weight"
"""Tensors of published checkpoints with a row for every action."""


def load_world(
    name_or_path: str | Path,
    *,
    weights: str | Path | None = None,
    dtype: str = "float32",
    notice: Notice = to_stderr,
) -> World:
    """Loads a world by name (``atari/Breakout``, ``csgo``), from its folder, or from the folder of a training run.

    A name means the bundled world, or else the published checkpoint, downloaded once. ``weights`` chooses others:
    ``"hub"`` the published checkpoint, a path a world folder of the same game, a published ``.pt``, or, for ``csgo``,
    a folder with the published files laid out as on the hub. An Atari checkpoint has no start contexts: they are
    collected from the emulator.

    ``dtype`` is the precision in which weights are held, named as in ``WorldModelEnv``. bfloat16 takes half the memory
    and changes nothing if dreams run in bfloat16. ``notice`` is called before slow steps, such as a large download.

    Raises ``UsageError`` for an unknown name, ``DiamondError`` for weights that are missing, damaged or do not fit.
    """
    held = Runtime.choose(dtype=dtype, compile=False).dtype
    if name_or_path == CSGO:
        return load_csgo(weights, held, notice)
    path, game = _find(name_or_path, weights)
    if game is None or path.is_dir():
        return read_world(path, game, held)
    world = read_published_world(path, game, dtype=held)
    if not world.judges:
        notice(f"{path} has no reward/end model: its dreams have neither rewards nor ends")
    return replace(world, contexts=collect_contexts(game, world.context_length))


def load_agent(
    name_or_path: str | Path,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    seed: int = 0,
) -> Agent:
    """Loads only the agent of a world, from the same place as ``load_world``, and places it on a device.

    Raises what ``load_world`` raises, and ``DiamondError`` where the world has no agent.
    """
    path, game = _find(name_or_path, weights)
    if game is None or path.is_dir():
        config, states = open_folder(path, game, ("actor_critic",))
    else:
        config, states = _open_published(path, game)
    if config.actor_critic is None:
        raise DiamondError(f"{config.name} has no agent: train one with 'diamond-train agent'")
    network = built(ActorCritic, config.actor_critic, "actor_critic", states, str(path))
    return Agent(network, Runtime.choose(device, dtype), seed)


def read_published_world(
    path: Path, game: Game, contexts: StartContexts | None = None, dtype: torch.dtype = torch.float32
) -> World:
    """Loads a published Atari checkpoint, of DIAMOND's architecture or of IRIS's.

    Raises ``DiamondError`` where it is damaged or made for another game's number of actions.
    """
    config, states = _open_published(path, game)
    return config.build(states, str(path), contexts, dtype)


def _find(name_or_path: str | Path, weights: str | Path | None) -> tuple[Path, Game | None]:
    """Path of a world folder or published checkpoint, and the game; None for a folder given by path."""
    if isinstance(name_or_path, str) and (name_or_path.startswith(ATARI) or (weights and ":" in name_or_path)):
        game = game_named(name_or_path)
        if weights is None or weights == "hub":
            return located(game.world, hub_only=weights == "hub"), game
        path = Path(weights)
        return world_folder(path) if path.is_dir() else path, game
    if weights is not None:
        raise UsageError(f"weights go with the name of a world, such as 'atari/Breakout', not with {name_or_path}")
    if isinstance(name_or_path, str) and bundled_folder(name_or_path) is not None:
        return located(name_or_path), None
    return world_folder(Path(name_or_path)), None


def _open_published(path: Path, game: Game) -> tuple[WorldConfig, dict[str, StateDict]]:
    states = read_published(path)
    is_iris = "tokenizer" in states
    component, key = ("transformer", IRIS_ACTIONS) if is_iris else ("denoiser", DIAMOND_ACTIONS)
    table = states.get(component, {}).get(key)
    if table is not None and len(table) != len(game.actions):
        raise DiamondError(
            f"{path} was trained for a game of {len(table)} actions, {game.name} has {len(game.actions)}: "
            "use the weights of this game"
        )
    authors = "IRIS" if is_iris else "the paper"
    provenance = {"source": f"checkpoint in the form published by the authors of {authors}", "file": path.name}
    if is_iris:
        return replace(iris_world_config(game), provenance=provenance), states
    missing = [name for name in ("reward_end", "actor_critic") if name not in states]
    return replace(paper_config(game), provenance=provenance, **dict.fromkeys(missing)), states
