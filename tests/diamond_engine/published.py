"""Published Atari checkpoints with random weights, at full size."""

import json
from pathlib import Path

import torch

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
