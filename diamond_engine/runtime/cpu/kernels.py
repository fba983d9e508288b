"""Loads and calls the CPU's own kernels, a C++ library that was built for this machine (see ``building``)."""

from __future__ import annotations

import ctypes
import os
import threading
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from diamond_engine.cache import cache_folder
from diamond_engine.runtime.cpu.building import KernelsUnavailableError, build, find_compiler, in_cache

LOADING = threading.Lock()


class View(ctypes.Structure):
    """Channels of the pixels of a buffer; see kernels.cpp."""

    _fields_ = [(name, ctypes.c_int64) for name in ("buffer", "channel", "pitch", "width")]


class Step(ctypes.Structure):
    """One step of a program; see kernels.cpp."""

    _fields_ = [
        ("kind", ctypes.c_int64),
        ("input", View),
        ("add", View),
        ("output", View),
        *((name, ctypes.c_int64) for name in ("height", "width", "channels", "vectors", "kernel", "stride")),
        *((name, ctypes.c_int64) for name in ("flag", "border", "paired", "group", "column")),
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
    ]


class Buffer(ctypes.Structure):
    """Where a buffer lies; see kernels.cpp."""

    _fields_ = [("data", ctypes.c_void_p), ("offset", ctypes.c_int64)]


class Modulated(ctypes.Structure):
    """Adaptive group norm, then SiLU, over a batch, or its gradient; see kernels.cpp."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("input", "modulation", "out_gradient", "out", "modulation_gradient")),
        *((name, ctypes.c_int64) for name in ("batch", "pixels", "channels", "threads")),
    ]


class Invocation(ctypes.Structure):
    """One run of a program (``Program`` in kernels.cpp)."""

    _fields_ = [
        ("steps", ctypes.POINTER(Step)),
        ("count", ctypes.c_int64),
        ("buffers", ctypes.POINTER(Buffer)),
        ("arena", ctypes.c_void_p),
        ("arena_bytes", ctypes.c_int64),
        ("modulation", ctypes.c_void_p),
        ("modulation_bytes", ctypes.c_int64),
        *((name, ctypes.c_int64) for name in ("batch", "teams", "threads")),
    ]


class Kernels:
    """The loaded library."""

    def __init__(self, library: Path) -> None:
        """Raises ``KernelsUnavailableError`` if the library does not fit this process."""
        try:
            loaded = ctypes.CDLL(str(library))
        except OSError as error:
            raise KernelsUnavailableError(str(error)) from error
        self.name = library.stem
        """A key that changes with everything the kernels are made from."""
        loaded.native_bfloat16.restype = ctypes.c_bool
        loaded.max_vectors.restype = ctypes.c_int64
        self.native_bfloat16: bool = loaded.native_bfloat16()
        self.max_vectors: int = loaded.max_vectors()
        self._run = {torch.float32: loaded.run_float32, torch.bfloat16: loaded.run_bfloat16}
        for function in self._run.values():
            function.argtypes, function.restype = [ctypes.POINTER(Invocation)], None
        self._modulate = {torch.float32: loaded.modulate_float32, torch.bfloat16: loaded.modulate_bfloat16}
        self._modulate_backward = {
            torch.float32: loaded.modulate_backward_float32,
            torch.bfloat16: loaded.modulate_backward_bfloat16,
        }
        for function in (*self._modulate.values(), *self._modulate_backward.values()):
            function.argtypes, function.restype = [ctypes.POINTER(Modulated)], None

    def run(self, dtype: torch.dtype, invocation: Invocation) -> None:
        """Runs a program with elements of ``dtype`` on torch's threads."""
        self._run[dtype](ctypes.byref(invocation))

    def modulate(self, x: Tensor, modulation: Tensor) -> Tensor:
        """SiLU of the adaptive group norm of x ``(B, C, H, W)``, channels-last; modulation float32 ``(B, 2C)``."""
        out = torch.empty_like(x)
        self._modulate[x.dtype](ctypes.byref(_modulated(x, modulation, out)))
        return out

    def modulate_backward(self, x: Tensor, modulation: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of x and modulation from the gradient of ``modulate``'s output, which has the shape of x."""
        of_x, of_modulation = torch.empty_like(x), torch.empty_like(modulation)
        call = _modulated(x, modulation, of_x)
        call.out_gradient, call.modulation_gradient = gradient.data_ptr(), of_modulation.data_ptr()
        self._modulate_backward[x.dtype](ctypes.byref(call))
        return of_x, of_modulation


def _modulated(x: Tensor, modulation: Tensor, out: Tensor) -> Modulated:
    b, channels, height, width = x.shape
    threads = torch.get_num_threads()
    pointers = x.data_ptr(), modulation.data_ptr(), None, out.data_ptr(), None
    return Modulated(*pointers, b, height * width, channels, threads)


def load_kernels() -> Kernels:
    """The kernels for this machine, loaded once a process; built first if they are not in the cache.

    Raises ``KernelsUnavailableError`` saying why there are none, such as a missing compiler.
    """
    with LOADING:
        outcome = _loaded(os.environ.get("CXX", ""), cache_folder())
    if isinstance(outcome, KernelsUnavailableError):
        raise outcome
    return outcome


@cache
def _loaded(compiler_name: str, folder: Path) -> Kernels | KernelsUnavailableError:
    """The kernels, or the error of the only attempt to load them."""
    try:
        compiler = find_compiler(compiler_name)
        return Kernels(in_cache(folder, compiler) or build(compiler, folder))
    except KernelsUnavailableError as reason:
        return reason
