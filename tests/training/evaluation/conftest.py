"""Fixtures of the evaluation: a world whose dreams can be told apart."""

from pathlib import Path

import pytest
import torch

from diamond_engine.world_model import World
from diamond_engine.worlds import read_world
from training.evaluation.dreams import Dreaming


@pytest.fixture
def world(world_folder: Path) -> World:
    """One whose frames depend on the actions, unlike those of a freshly initialised network."""
    world = read_world(world_folder)
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in world.denoiser.parameters():
            weights.add_(0.2 * torch.randn_like(weights))
    return world


@pytest.fixture
def how(world: World) -> Dreaming:
    return Dreaming(world.config.preset("fast"), seed=1, num_envs=3, device="cpu", dtype="float32")
