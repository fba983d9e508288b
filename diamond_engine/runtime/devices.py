"""The devices of this machine, and the precision each is best at. ``cuda`` is named in this file alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.runtime.cpu.processor import processor_field

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
WARM_UP_CALLS = 3
"""Calls before a capture, as torch's notes recommend."""
AMPERE = 8
"""Major version of the first GPUs of NVIDIA that multiply bfloat16, and float32 by TF32, themselves."""


def choose_device(name: str) -> torch.device:
    """A device by name, the best one present for ``auto``.

    Raises ``UsageError`` for an unknown name, ``DiamondError`` for a device that is not there.
    """
    available = available_devices()
    if name == "auto":
        return torch.device(available[0])
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}: use auto, cpu, cuda or mps") from error
    if device.type not in available:
        raise DiamondError(f"device {name!r} is not available here: this machine has {', '.join(available)}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DiamondError(
            f"device {name!r} is not available here: this machine has {torch.cuda.device_count()} GPU(s)"
        )
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
    """A readable name of the device, such as ``NVIDIA H100`` or ``AMD EPYC (2 threads)``."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{processor_field('model name') or 'CPU'} ({torch.get_num_threads()} threads)"
    return device.type.upper()


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether a GPU computes in bfloat16 itself: NVIDIA's from Ampere on, and those of AMD that torch supports."""
    if device.type != "cuda":
        return False
    return torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= AMPERE


def tune(device: torch.device) -> None:
    """Has a GPU try its convolutions for the fastest, and multiply float32 by TF32, which rounds factors to 11 bits.

    Torch keeps both as flags of the process.
    """
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cuda.matmul.allow_tf32 = True


def numbered_device(name: str, number: int) -> torch.device:
    """The device that ``choose_device`` finds or, of several GPUs, the one with this number, made the current one.

    Raises what ``choose_device`` raises, and ``DiamondError`` if there are fewer GPUs.
    """
    device = choose_device(name)
    if device.type != "cuda":
        return device
    if number >= torch.cuda.device_count():
        raise DiamondError(f"no GPU for process {number}: this machine has {torch.cuda.device_count()}")
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    return device


def gpus() -> list[str]:
    """The GPUs that this process may use, in the form that ``only_gpu`` takes; empty if they cannot be told apart."""
    if not torch.cuda.is_available():
        return []
    visible = os.environ.get(VISIBLE_GPUS)
    return (
        [name.strip() for name in visible.split(",")] if visible else list(map(str, range(torch.cuda.device_count())))
    )


def only_gpu(name: str) -> dict[str, str]:
    """Environment variables of a process that sees only this GPU."""
    return {VISIBLE_GPUS: name}


def communication_backend(device: torch.device) -> str:
    """The communication backend of processes that train together; tensors on the CPU always use gloo."""
    return "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"


def wait_for(device: torch.device) -> None:
    """Returns when all work given to the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def can_record(device: torch.device) -> bool:
    """Whether ``record`` supports the device."""
    return device.type == "cuda"


def record(
    call: Callable[[], None], changed: Sequence[Tensor], generator: torch.Generator, device: torch.device
) -> Callable[[], None]:
    """Records the GPU work of ``call`` as a CUDA graph and returns a function that repeats it.

    ``call`` may change only tensors that keep their place in memory, and take random numbers only from ``generator``.
    Recording restores the tensors in ``changed``. It follows torch's recipe: a few calls on a separate stream, then one
    that is captured. Raises ``RuntimeError`` if something in ``call`` cannot be captured.
    """
    before, drawn = [tensor.clone() for tensor in changed], generator.get_state()
    stream, ordinary = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    try:
        # The outermost context: the ordinary stream is current again even after a failed capture.
        with torch.cuda.device(device), torch.cuda.stream(ordinary):
            stream.wait_stream(ordinary)
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP_CALLS):
                    call()
            ordinary.wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(generator)  # pyright: ignore[reportUnknownMemberType]
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                call()
    finally:
        ordinary.wait_stream(stream)
        generator.set_state(drawn)
        for tensor, value in zip(changed, before, strict=True):
            tensor.copy_(value)
    return graph.replay


def peak_memory(device: torch.device) -> int | None:
    """The peak of bytes that torch held on the device; None if it does not count them."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
