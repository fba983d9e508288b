"""Weights on disk: the authors' published ``.pt`` files and this project's own safetensors files.

Nothing is unpickled: ``.pt`` files are read with ``weights_only``, and every key and shape is checked before use.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from diamond_engine.damage import reading
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.files import atomic_path

StateDict = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config")

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
"""Precisions of weights that can be read."""
LARGEST_WEIGHT = torch.finfo(torch.bfloat16).max
"""Larger weights become infinite in one of the precisions in which networks run."""
SAFETENSORS_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16"}

PUBLISHED_COMPONENTS = {
    "denoiser": "denoiser",
    "upsampler": "upsampler",
    "rew_end_model": "reward_end",
    "actor_critic": "actor_critic",
    "tokenizer": "tokenizer",
    "world_model": "transformer",
}
"""Prefix in a published state dict, of DIAMOND or of IRIS → component of a world."""
NO_WEIGHTS = re.compile(r"tokenizer\.lpips\..*|world_model\..*\.attn\.mask|world_model\.head_\w+\.indices")
"""What published files of IRIS hold besides: the loss of the tokenizer, and what follows from the sizes."""
WRAPPERS = frozenset(("_orig_mod", "module"))
"""Parts of keys that compiled models and those of several processes add."""
NESTS = ("agent", "model", "state_dict", "model_state_dict")
"""Where checkpoints that hold more than a model keep its weights."""
DEEPEST = 5
"""Dictionaries inside of each other, at most."""


def read_published(path: Path) -> dict[str, StateDict]:
    """Reads a checkpoint of the authors' code, a state dict, as one state dict a component, memory-mapped.

    It may be of compiled or wrapped networks, and lie inside of other dictionaries.

    Raises ``UsageError`` where there is no file, ``DiamondError`` where it is damaged or holds something else.
    """
    components: dict[str, StateDict] = {}
    for key, value in read_tensors(path).items():
        key = ".".join(part for part in key.split(".") if part not in WRAPPERS)
        prefix, _, rest = key.partition(".")
        if NO_WEIGHTS.fullmatch(key):
            continue
        if prefix not in PUBLISHED_COMPONENTS:
            raise DiamondError(f"{path} is not a published checkpoint of DIAMOND or IRIS: unexpected key {key!r}")
        components.setdefault(PUBLISHED_COMPONENTS[prefix], {})[rest] = value
    return components


def read_tensors(path: Path) -> StateDict:
    """Reads a dictionary of tensors that torch has saved, memory-mapped; it may lie inside of others.

    Raises ``UsageError`` where there is no file, ``DiamondError`` where it is damaged or holds something else.
    """
    if not path.is_file():
        raise UsageError(f"no such checkpoint or world folder: {path}")
    try:
        content = torch.load(path, weights_only=True, mmap=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise DiamondError(f"{path} holds more than tensors and was not loaded: use a published checkpoint") from error
    except Exception as error:  # a damaged archive can raise almost any exception
        raise DiamondError(f"{path} is not a readable checkpoint (truncated or damaged): download it again") from error
    tensors = _tensors_in(content)
    if not tensors:
        raise DiamondError(f"{path} is not a published checkpoint: expected a dictionary of tensors")
    return tensors


def _tensors_in(content: object, depth: int = 0) -> dict[str, Tensor] | None:
    """The weights in a dictionary, names of inner dictionaries before theirs; None where it holds anything else."""
    if not isinstance(content, dict) or depth == DEEPEST:
        return None
    named = {str(key): value for key, value in cast("dict[Any, Any]", content).items()}
    for nest in NESTS:
        if isinstance(named.get(nest), dict):
            return _tensors_in(named[nest], depth + 1)
    found: dict[str, Tensor] = {}
    for key, value in named.items():
        inner = {"": value} if isinstance(value, Tensor) else _tensors_in(value, depth + 1)
        if inner is None:
            return None
        found.update({f"{key}.{name}".rstrip("."): tensor for name, tensor in inner.items()})
    return found


def read_component(path: Path) -> StateDict:
    """Reads one component's safetensors file. Raises ``DiamondError`` where it is missing or damaged."""
    if not path.is_file():
        raise DiamondError(f"missing weights: {path}")
    with reading(path, "is not a readable safetensors file (truncated or damaged)"):
        return load_file(path)


def write_component(path: Path, network: nn.Module, dtype: torch.dtype) -> None:
    """Writes a network's weights atomically as safetensors, in ``dtype`` where ``stored_dtype`` agrees."""
    write_state(path, network.state_dict(), dtype)


def write_state(path: Path, state: StateDict, dtype: torch.dtype) -> None:
    """``write_component`` for a state dict. If ``state`` is memory-mapped, only one tensor at a time is in memory.

    The file is a header (its length in 8 bytes, then JSON) and the tensors' bytes, wide types first for alignment.
    """
    dtypes = {
        key: stored_dtype(key, dtype) for key in sorted(state, key=lambda key: -stored_dtype(key, dtype).itemsize)
    }
    header: dict[str, Any] = {}
    end = 0
    for key, stored in dtypes.items():
        start, end = end, end + state[key].numel() * stored.itemsize
        header[key] = {
            "dtype": SAFETENSORS_NAMES[stored],
            "shape": list(state[key].shape),
            "data_offsets": [start, end],
        }
    described = json.dumps(header).encode()
    described += b" " * (-len(described) % 8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(described).to_bytes(8, "little") + described)
        for key, stored in dtypes.items():
            tensor = state[key].detach().to("cpu", stored).contiguous()
            file.write(tensor.flatten().view(torch.uint8).numpy().data)


def stored_dtype(key: str, dtype: torch.dtype) -> torch.dtype:
    """The precision in which a tensor is stored in a network of ``dtype``: Fourier features stay float32."""
    return torch.float32 if "noise" in key else dtype


def load_strictly(network: nn.Module, state: StateDict, origin: str) -> None:
    """Copies weights into a network after checking that all keys and shapes agree.

    Raises ``DiamondError`` naming the first difference and ``origin``, the source of the weights.
    """
    _check_fit(network, state, origin)
    network.load_state_dict(state)


class _Uninitialised(TorchFunctionMode):
    """Skips ``torch.nn.init``. It is slow, more so on the meta device, and the weights are replaced anyway."""

    def __torch_function__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)


@contextmanager
def without_weights() -> Generator[None]:
    """Networks made in this context have only shapes, on the meta device. ``adopt`` gives them weights."""
    with torch.device("meta"), _Uninitialised():
        yield


def adopt(network: nn.Module, state: StateDict, origin: str, dtype: torch.dtype) -> None:
    """Assigns checked weights to a network, in ``dtype`` (see ``stored_dtype``).

    Tensors of this precision are not copied: memory-mapped weights stay on disk until they are used. Raises what
    ``load_strictly`` raises.
    """
    _check_fit(network, state, origin)
    network.load_state_dict({key: value.to(stored_dtype(key, dtype)) for key, value in state.items()}, assign=True)


def built(
    make: Callable[[Config], Network],
    cfg: Config,
    component: str,
    states: dict[str, StateDict],
    origin: str,
    dtype: torch.dtype = torch.float32,
) -> Network:
    """Builds a network from its configuration and weights, in ``dtype`` (see ``adopt``).

    Raises ``DiamondError`` if the weights are missing or do not fit, or no network can have these sizes.
    """
    if component not in states:
        raise DiamondError(f"{origin} has no {component}")
    try:
        with without_weights():
            network = make(cfg)
    except Exception as error:  # for sizes that do not fit together torch raises almost any exception
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DiamondError(f"{origin} describes a {component} that cannot be built: {reason}") from error
    adopt(network, states[component], f"{component} of {origin}", dtype)
    return network.eval()


def _check_fit(network: nn.Module, state: StateDict, origin: str) -> None:
    """Checks keys, shapes and, last because it reads them, values: non-finite weights would run and draw nothing."""
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
    for key, value in state.items():
        if value.dtype not in FLOATS or value.layout is not torch.strided or value.device.type == "meta":
            raise DiamondError(f"{origin} holds {key} as {value.dtype}, which are no weights")
        if not _is_finite(value):
            raise DiamondError(
                f"{origin} holds weights that are not finite ({key}): they were damaged, or their training failed"
            )


def _is_finite(weights: Tensor) -> bool:
    """Reads the tensor once, without a copy. Comparisons with NaN are false."""
    if weights.numel() == 0:
        return True
    least, greatest = weights.detach().aminmax()
    return bool(least >= -LARGEST_WEIGHT and greatest <= LARGEST_WEIGHT)
