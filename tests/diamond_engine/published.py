"""Checkpoints in the form the authors published, with random weights."""

import json
from pathlib import Path

import numpy as np
import torch

from diamond_engine.world_model import World

SHAPES = Path(__file__).parents[1] / "data" / "checkpoint_atari_breakout.json"


def published_shapes() -> dict[str, list[int]]:
    """Every key of the published Breakout checkpoint with its shape."""
    return json.loads(SHAPES.read_text())


def write_published(path: Path) -> None:
    """Writes a flat float32 state dict with the keys and shapes of the published Breakout checkpoint."""
    generator = torch.Generator().manual_seed(0)
    state = {key: 0.02 * torch.randn(shape, generator=generator) for key, shape in published_shapes().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)


def write_published_csgo(folder: Path, world: World) -> None:
    """Writes a world of two stages as the CS:GO files of the hub: the checkpoint, and a folder for each start context.

    The four full-resolution frames of a context are that of the world and three black ones before it.
    """
    assert world.upsampler is not None
    networks = {"denoiser": world.denoiser, "upsampler": world.upsampler}
    state = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
    checkpoint = folder / "csgo" / "model" / "csgo.pt"
    checkpoint.parent.mkdir(parents=True)
    torch.save(state, checkpoint)
    contexts = world.contexts
    assert contexts is not None
    assert contexts.full_res is not None
    assert contexts.recorded is not None
    for k in range(len(contexts)):
        path = folder / "csgo" / "spawn" / str(k)
        path.mkdir(parents=True)
        black = np.zeros_like(contexts.full_res[k, [0, 0, 0]])
        np.save(path / "low_res.npy", contexts.frames[k].transpose(0, 3, 1, 2))
        np.save(path / "full_res.npy", np.concatenate((black, contexts.full_res[k])).transpose(0, 3, 1, 2))
        np.save(path / "act.npy", np.concatenate((contexts.actions[k], contexts.recorded[k, :1])))
        np.save(path / "next_act.npy", contexts.recorded[k, 1:])
