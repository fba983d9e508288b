"""The CPU's own kernels: C++ built once for this machine, in seconds, then kept in the platform's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import torch

from diamond_engine.files import atomic_path
from diamond_engine.runtime.processor import processor_field

SOURCE = Path(__file__).with_name("kernels.cpp")
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=gnu++17", "-O2", "-march=native", "-fPIC", "-fopenmp")
BUILD_SECONDS = 300
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
        *((name, ctypes.c_int64) for name in ("flag", "border", "column")),
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
    ]


class Buffer(ctypes.Structure):
    """Where a buffer lies; see kernels.cpp."""

    _fields_ = [("data", ctypes.c_void_p), ("offset", ctypes.c_int64)]


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


class KernelsUnavailableError(Exception):
    """Why there are no kernels here; networks run through torch's."""


class Kernels:
    """The loaded library."""

    def __init__(self, library: Path) -> None:
        """Raises ``KernelsUnavailableError`` where the library does not fit this process."""
        try:
            loaded = ctypes.CDLL(str(library))
        except OSError as error:
            raise KernelsUnavailableError(str(error)) from error
        loaded.native_bfloat16.restype = ctypes.c_bool
        loaded.max_vectors.restype = ctypes.c_int64
        self.native_bfloat16: bool = loaded.native_bfloat16()
        self.max_vectors: int = loaded.max_vectors()
        self._run = {torch.float32: loaded.run_float32, torch.bfloat16: loaded.run_bfloat16}
        for function in self._run.values():
            function.argtypes, function.restype = [ctypes.POINTER(Invocation)], None

    def run(self, dtype: torch.dtype, invocation: Invocation) -> None:
        """Runs a program of elements of ``dtype`` on torch's threads."""
        self._run[dtype](ctypes.byref(invocation))


def load_kernels() -> Kernels:
    """The kernels for this machine, built if they are not in the cache yet, once a process.

    Whoever wants to be quick calls this in a thread while a world is read. Raises ``KernelsUnavailableError`` saying
    why there are none, such as a missing compiler.
    """
    with LOADING:
        return _load()


@cache
def _load() -> Kernels:
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        raise KernelsUnavailableError(f"no C++ compiler ({', '.join(COMPILERS)})")
    library = cache_folder() / f"kernels-{_fingerprint(compiler)}.so"
    if not library.exists():
        _build(compiler, library)
    return Kernels(library)


def cache_folder() -> Path:
    """Where this platform keeps what programs can make again."""
    home = Path.home()
    base = {"darwin": home / "Library" / "Caches", "win32": home / "AppData" / "Local"}.get(
        sys.platform, home / ".cache"
    )
    return Path(os.environ.get("XDG_CACHE_HOME") or base) / "diamond-engine"


def _fingerprint(compiler: str) -> str:
    """Changes with the source, the way it is built, and the processor it is built for."""
    parts = (SOURCE.read_text(), compiler, *FLAGS, processor_field("model name"), processor_field("flags"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _build(compiler: str, library: Path) -> None:
    """Compiles, then links without OpenMP: it must be that of torch, a second one would fight for the same cores."""
    try:
        with atomic_path(library) as target:
            compiled = target.with_suffix(".o")
            try:
                _call(compiler, *FLAGS, "-c", str(SOURCE), "-o", str(compiled))
                _call(compiler, "-shared", str(compiled), "-o", str(target))
            finally:
                compiled.unlink(missing_ok=True)
    except OSError as error:
        raise KernelsUnavailableError(f"cannot write to {library.parent}: {error.strerror}") from error


def _call(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=BUILD_SECONDS)
    except subprocess.CalledProcessError as error:
        reason = next((line for line in error.stderr.splitlines() if "error" in line), f"exit code {error.returncode}")
        raise KernelsUnavailableError(f"{command[0]} failed: {reason}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelsUnavailableError(f"{command[0]} failed: {error}") from error
