"""Reads the reference vectors: small random models in the published format, with inputs and expected outputs.

The folder comes from ``DIAMOND_REFERENCE_VECTORS`` (default: the copy in ``tests/data``); configs come from the
``*_meta.json`` in it, so that other vectors of the same form are checked unchanged.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from diamond_engine.checkpoints import load_strictly, read_published
from diamond_engine.diffusion import Denoiser, DenoiserConfig
from diamond_engine.networks import InnerModelConfig

DATA = Path(__file__).parents[1] / "data"
FOLDER = Path(os.environ.get("DIAMOND_REFERENCE_VECTORS", DATA / "reference"))
OUTPUT_TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3


def tuples(config: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}


class Vectors:
    """One family of vectors: ``atari``, ``csgo`` or ``iris``."""

    def __init__(self, family: str, folder: Path = FOLDER) -> None:
        self.meta = json.loads((folder / f"{family}_meta.json").read_text())
        self.components = read_published(folder / f"{family}_checkpoint.pt")
        self.groups: dict[str, dict[str, Tensor]] = {}
        for key, value in load_file(folder / f"{family}_vectors.safetensors").items():
            group, _, name = key.partition("/")
            self.groups.setdefault(group, {})[name] = value

    def denoiser(self, component: str, meta: str) -> Denoiser:
        cfg = dict(self.meta[meta])
        inner = tuples(cfg.pop("inner_model"))
        inner["attn_depths"] = tuple(map(bool, inner["attn_depths"]))
        is_upsampler = cfg.get("upsampling_factor") is not None
        state = self.components[component]
        inner_cfg = InnerModelConfig(
            **inner | ({"num_actions": None} if is_upsampler else {}),
            low_res_cond=is_upsampler,
            multi_hot_actions=meta.startswith("csgo") and not is_upsampler,
            noise_cond="inner_model.noise_cond_emb.weight" in state,
        )
        denoiser = Denoiser(DenoiserConfig(inner_model=inner_cfg, **cfg))
        load_strictly(denoiser, state, meta)
        return denoiser.eval()


class RecordedNoise:
    """A noise source that gives back recorded draws in order and checks their shapes."""

    def __init__(self, group: dict[str, Tensor]) -> None:
        self._draws: Iterator[Tensor] = (
            group[f"noise{i}"] for i in range(sum(k.startswith("noise") and k != "noisy" for k in group))
        )
        self.left = sum(name.startswith("noise") and name != "noisy" for name in group)

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        draw = next(self._draws)
        assert tuple(draw.shape) == tuple(shape)
        self.left -= 1
        return draw


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = OUTPUT_TOLERANCE) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


def assert_gradient_close(actual: Tensor | None, expected: Tensor) -> None:
    assert actual is not None
    assert_close(actual, expected, GRADIENT_TOLERANCE * expected.abs().max().item())


def assert_same_frames(actual: Tensor, expected: Tensor) -> None:
    """At most 0.1 % of values may differ, by one 8-bit level."""
    difference = (actual - expected).abs()
    assert difference.max() <= 2 / 255 + OUTPUT_TOLERANCE
    assert (difference > OUTPUT_TOLERANCE).float().mean() <= 1e-3
