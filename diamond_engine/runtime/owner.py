"""The one owner of device, precision, memory format and fast paths."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from diamond_engine.diffusion import Denoiser, SamplerConfig
from diamond_engine.errors import UsageError
from diamond_engine.networks.blocks import FourierFeatures
from diamond_engine.runtime.cpu.building import KernelsUnavailableError
from diamond_engine.runtime.cpu.compiled import compile_for_cpu
from diamond_engine.runtime.cpu.kernels import Kernels, load_kernels
from diamond_engine.runtime.cpu.measurement import WORTHWHILE, bfloat16_speedup, suits
from diamond_engine.runtime.cpu.norms import fuse_norms
from diamond_engine.runtime.devices import (
    can_record,
    choose_device,
    device_name,
    has_native_bfloat16,
    record,
    tune,
)
from diamond_engine.runtime.frames import FrameDenoiser
from diamond_engine.runtime.rewrites import merge_all_projections

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DTYPE_ALIASES = {"fp32": "float32", "bf16": "bfloat16"}
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Runtime:
    """Where, in which precision and by which kernels networks run."""

    device: torch.device
    """The device all tensors of a world live on."""
    dtype: torch.dtype
    """Precision of convolutions and matrix products: float32 or bfloat16."""
    kernels: Kernels | None = field(default=None, compare=False, repr=False)
    """The CPU's own kernels; None: torch's."""
    only_norms: bool = field(default=False, compare=False)
    """Use only the kernels' norms, since torch's convolutions are faster."""
    records: bool = field(default=False, compare=False)
    """Whether frame steps are recorded on a GPU and replayed, instead of launched kernel by kernel."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What was measured for the choice, and why something faster is not available."""

    @classmethod
    def choose(cls, device: str | Runtime = "auto", dtype: str = "auto", *, compile: bool = True) -> Runtime:
        """Resolves ``auto``: the best device present, the faster precision (on a CPU: measured, once a machine; on a
        GPU: bfloat16 if it computes in that itself).

        ``compile`` on a CPU: use its own kernels. They are built at the first start on a machine, in seconds, then
        loaded. If that fails, torch's own are used and ``describe`` says why. On a GPU it enables ``recorded``.
        The precision does not depend on it. A runtime instead of a device name is returned itself. Raises
        ``UsageError`` for unknown names, ``DiamondError`` for a missing device.
        """
        if isinstance(device, Runtime):
            return device
        chosen = choose_device(device)
        name = DTYPE_ALIASES.get(dtype, dtype)
        if name not in (*DTYPES, "auto"):
            raise UsageError(f"unknown dtype {dtype!r}: use auto, {', '.join(DTYPES)}")
        tune(chosen)
        notes: tuple[str, ...] = ()
        if name == "auto" and chosen.type == "cpu":
            speedup = bfloat16_speedup()
            name = "bfloat16" if speedup >= WORTHWHILE else "float32"
            notes = (f"bfloat16 is {speedup:.1f} times as fast as float32",)
        elif name == "auto":
            name = "bfloat16" if has_native_bfloat16(chosen) else "float32"
        runtime = cls(chosen, DTYPES[name], records=compile and can_record(chosen), notes=notes)
        return runtime.with_kernels() if compile else runtime

    def with_kernels(self, load: Callable[[], Kernels] = load_kernels) -> Runtime:
        """The same runtime on the CPU's own kernels. A note says why not, or why only the norms use them."""
        if self.device.type != "cpu":
            return self
        try:
            kernels = load()
        except KernelsUnavailableError as reason:
            return replace(self, notes=(*self.notes, f"not compiled: {reason}"))
        if suits(kernels, self.dtype):
            return replace(self, kernels=kernels)
        note = f"torch convolves faster in {self.dtype_name}"
        if self.dtype == torch.bfloat16 and not kernels.native_bfloat16:
            return replace(self, notes=(*self.notes, f"not compiled: {note}"))
        return replace(self, kernels=kernels, only_norms=True, notes=(*self.notes, f"compiled norms: {note}"))

    def check_follows(self, other: Runtime) -> None:
        """Raises ``UsageError`` unless this runtime can replace ``other``: same device, same precision."""
        if self != other:
            raise UsageError(f"what runs on {other.device} in {other.dtype_name} cannot go on on {self.describe()}")

    @property
    def dtype_name(self) -> str:
        """``float32`` or ``bfloat16``."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.dtype)

    @property
    def compiled(self) -> bool:
        """Whether networks run on kernels built for this machine."""
        return self.kernels is not None

    @property
    def same_on_any_threads(self) -> bool:
        """Whether the networks' results are the same on any number of threads, to the last bit."""
        return self.kernels is not None and not self.only_norms

    def for_inference(self, network: Network) -> Network:
        """A fast copy of a network on the device: weights in ``dtype``, channels-last, no gradients, rewritten.

        It is made tensor by tensor, so that memory-mapped weights take memory only once. It computes the same function
        but has other parameters, so it cannot be saved.
        """
        network = self._copied(network)
        merge_all_projections(network)
        return self._compiled(network)

    def for_frames(self, denoiser: Denoiser, sampler: SamplerConfig) -> FrameDenoiser:
        """Like ``for_inference``, for drawing frames with one sampler."""
        denoiser = self._copied(denoiser)
        merge_all_projections(denoiser)
        return self._compiled(FrameDenoiser(denoiser, sampler))

    def plain(self, network: Network) -> Network:
        """Like ``for_inference``, but without rewrites: the reference for the fast paths."""
        return self._copied(network)

    def _copied(self, network: Network) -> Network:
        copies: dict[int, Any] = {}
        for module in network.modules():
            # a bf16 noise level has 8 bits: far too coarse for 2π c w
            dtype = torch.float32 if isinstance(module, FourierFeatures) else self.dtype
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
                copy = tensor.detach().to(self.device, dtype, copy=True, memory_format=layout)
                is_parameter = isinstance(tensor, nn.Parameter)
                copies[id(tensor)] = nn.Parameter(copy, requires_grad=False) if is_parameter else copy
        return deepcopy(network, copies).eval()

    def _compiled(self, network: Network) -> Network:
        if self.kernels is not None and self.only_norms:
            fuse_norms(network)
        elif self.kernels is not None:
            compile_for_cpu(network, self.kernels)
        return network

    def for_training(self, network: Network) -> Network:
        """Moves a network to the device in place: float32 weights, channels-last; ``autocast`` chooses the precision.

        On a CPU its residual blocks use the kernels' norms.
        """
        if self.kernels is not None:
            fuse_norms(network)
        return network.to(device=self.device, dtype=torch.float32, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Context in which a training forward pass runs in ``dtype`` with float32 weights."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def without_autocast(self) -> contextlib.AbstractContextManager[object]:
        """Context in which networks for inference run in their own precision, also within ``autocast``."""
        return torch.autocast(self.device.type, enabled=False)

    def recorded(
        self, call: Callable[[], None], changed: Sequence[Tensor], generator: torch.Generator
    ) -> Callable[[], None]:
        """A function that does the same work as ``call``, at less cost if the device can record it (see ``record``).

        Only this thread may call it. If recording fails it is ``call`` itself, with a warning.
        """
        if not self.records:
            return call
        try:
            return record(call, changed, generator, self.device)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            warnings.warn(
                f"the device's work is launched piece by piece: it cannot be recorded ({reason})", stacklevel=2
            )
            return call

    def generator(self, seed: int) -> torch.Generator:
        """A seeded source of random numbers on this device."""
        return torch.Generator(self.device).manual_seed(seed)

    def describe(self) -> str:
        """For example ``AMD EPYC (2 threads), bfloat16, compiled (bfloat16 is 2.0 times as fast as float32)``."""
        facts = [device_name(self.device), self.dtype_name]
        if self.compiled:
            facts.append("compiled")
        return ", ".join(facts) + (f" ({'; '.join(self.notes)})" if self.notes else "")
