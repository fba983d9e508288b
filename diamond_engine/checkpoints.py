"""Weights on disk: the authors' published ``.pt`` files and this project's own safetensors files.

Nothing is unpickled: ``.pt`` files are read with ``weights_only``, and every key and shape is checked before use.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn

from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path

StateDict = dict[str, Tensor]

PUBLISHED_COMPONENTS = {
    "denoiser": "denoiser",
    "upsampler": "upsampler",
    "rew_end_model": "reward_end",
    "actor_critic": "actor_critic",
}
"""Prefix in a published state dict → component of a world."""


def read_published(path: Path) -> dict[str, StateDict]:
    """Reads a published checkpoint (flat state dict) as one state dict a component, memory-mapped.

    Raises ``DiamondError`` where the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise DiamondError(f"no such checkpoint: {path}")
    components: dict[str, StateDict] = {}
    for key, value in _load_tensors(path).items():
        prefix, _, rest = str(key).partition(".")
        if prefix not in PUBLISHED_COMPONENTS:
            raise DiamondError(f"{path} is not a published DIAMOND checkpoint: unexpected key {key!r}")
        components.setdefault(PUBLISHED_COMPONENTS[prefix], {})[rest] = value
    return components


def _load_tensors(path: Path) -> dict[Any, Tensor]:
    try:
        flat = torch.load(path, weights_only=True, mmap=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise DiamondError(f"{path} holds more than tensors and was not loaded: use a published checkpoint") from error
    except Exception as error:  # a damaged archive can raise nearly anything
        raise DiamondError(f"{path} is not a readable checkpoint (truncated or damaged): download it again") from error
    tensors = cast("dict[Any, Any]", flat) if isinstance(flat, dict) else {}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise DiamondError(f"{path} is not a published DIAMOND checkpoint: expected a flat dictionary of tensors")
    return tensors


def read_component(path: Path) -> StateDict:
    """Reads one component's safetensors file. Raises ``DiamondError`` where it is missing or damaged."""
    if not path.is_file():
        raise DiamondError(f"missing weights: {path}")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DiamondError(f"{path} is not a readable safetensors file (truncated or damaged)") from error


def write_component(path: Path, network: nn.Module, dtype: torch.dtype) -> None:
    """Writes a network's weights atomically as safetensors; Fourier features keep float32."""
    state = {
        key: value.detach().cpu().contiguous() if "noise" in key else value.detach().to("cpu", dtype).contiguous()
        for key, value in network.state_dict().items()
    }
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(state))  # not save_file: it reports a full disk as an error of its own


def load_strictly(network: nn.Module, state: StateDict, origin: str) -> None:
    """Copies weights into a network after checking that all keys and shapes agree.

    Raises ``DiamondError`` naming the first difference; ``origin`` says in it where the weights came from.
    """
    expected = network.state_dict()
    missing, unexpected = expected.keys() - state.keys(), state.keys() - expected.keys()
    if missing or unexpected:
        parts = [
            f"{len(keys)} {what} ({min(keys)})"
            for what, keys in (("missing", missing), ("unexpected", unexpected))
            if keys
        ]
        raise DiamondError(f"{origin} is for another architecture: keys {', '.join(parts)}")
    for key, value in expected.items():
        if state[key].shape != value.shape:
            raise DiamondError(
                f"{origin} is for another architecture: {key} has shape {tuple(state[key].shape)}, "
                f"expected {tuple(value.shape)}"
            )
    network.load_state_dict(state)
