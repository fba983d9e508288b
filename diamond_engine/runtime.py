"""The one owner of device, precision and memory format. ``cuda`` is named in this file alone."""

from __future__ import annotations

import contextlib
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.networks.blocks import FourierFeatures

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DTYPE_ALIASES = {"fp32": "float32", "bf16": "bfloat16"}
Network = TypeVar("Network", bound=nn.Module)
BF16_CPU_FLAGS = frozenset({"amx_bf16", "avx512_bf16", "bf16"})


@dataclass(frozen=True)
class Runtime:
    """Where and in which precision networks run."""

    device: torch.device
    """The device all tensors of a world live on."""
    dtype: torch.dtype
    """Precision of convolutions and matrix products: float32 or bfloat16."""

    @classmethod
    def choose(cls, device: str = "auto", dtype: str = "auto") -> Runtime:
        """Resolves ``auto``: the best device present; bfloat16 where the device computes it natively.

        Raises ``UsageError`` for unknown names, ``DiamondError`` for a device that is not there.
        """
        chosen = _choose_device(device)
        name = DTYPE_ALIASES.get(dtype, dtype)
        if name == "auto":
            name = "bfloat16" if has_native_bf16(chosen) else "float32"
        if name not in DTYPES:
            raise UsageError(f"unknown dtype {dtype!r}: use auto, {', '.join(DTYPES)}")
        return cls(chosen, DTYPES[name])

    @property
    def dtype_name(self) -> str:
        """``float32`` or ``bfloat16``."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.dtype)

    def for_inference(self, network: Network) -> Network:
        """A copy of a network here, its weights in ``dtype``, channels-last, without gradients."""
        network = deepcopy(network)
        network.to(device=self.device, dtype=self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in network.modules():
            if isinstance(module, FourierFeatures):
                module.float()  # a bf16 noise level has 8 bits: far too coarse for 2π c w
        return network.eval().requires_grad_(False)

    def for_training(self, network: Network) -> Network:
        """Moves a network here with float32 weights, channels-last; ``autocast`` chooses the precision. In place."""
        return network.to(device=self.device, dtype=torch.float32, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Context in which a training forward pass runs in ``dtype`` with float32 weights."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def generator(self, seed: int) -> torch.Generator:
        """A seeded source of random numbers on this device."""
        return torch.Generator(self.device).manual_seed(seed)

    def describe(self) -> str:
        """For example ``cpu (AMD EPYC, 2 threads), bfloat16``."""
        return f"{device_name(self.device)}, {self.dtype_name}"


def _choose_device(name: str) -> torch.device:
    available = available_devices()
    if name == "auto":
        return torch.device(available[0])
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}: use auto, cpu, cuda or mps") from error
    if device.type not in available:
        raise DiamondError(f"device {name!r} is not available here: this machine has {', '.join(available)}")
    return device


def available_devices() -> list[str]:
    """Device types of this machine, fastest first; always ends with ``cpu``."""
    devices: list[str] = []
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def device_name(device: torch.device) -> str:
    """What a person calls the device, such as ``NVIDIA H100`` or ``AMD EPYC (2 threads)``."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{_cpu_field('model name') or 'CPU'} ({torch.get_num_threads()} threads)"
    return device.type.upper()


def has_native_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 on the device rather than emulated."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(BF16_CPU_FLAGS & set(_cpu_field("flags").split()))
    return False


def _cpu_field(field: str) -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")
