"""The CPU's own kernels: C++ built once for this machine, in seconds, then kept in the platform's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from diamond_engine.cache import cache_folder
from diamond_engine.files import atomic_path
from diamond_engine.runtime.processor import processor_field

SOURCE = Path(__file__).with_name("kernels.cpp")
COMPILERS = ("c++", "g++", "clang++")
GENTLY = ("nice", "-n", "15")
"""Puts a compiler behind a game that is being played."""
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

    Raises ``KernelsUnavailableError`` saying why there are none, such as a missing compiler.
    """
    with LOADING:
        outcome = _loaded(os.environ.get("CXX", ""), cache_folder())
    if isinstance(outcome, KernelsUnavailableError):
        raise outcome
    return outcome


def kernels_are_built() -> bool:
    """Whether ``load_kernels`` finds them in the cache, whole, and so returns at once."""
    compiler = _compiler(os.environ.get("CXX", ""))
    return compiler is not None and _in_cache(cache_folder(), compiler) is not None


@cache
def _loaded(compiler_name: str, folder: Path) -> Kernels | KernelsUnavailableError:
    """The outcome of one try; what failed is not tried again."""
    try:
        compiler = _compiler(compiler_name)
        if compiler is None:
            raise KernelsUnavailableError(f"no C++ compiler ({compiler_name or ', '.join(COMPILERS)})")
        return Kernels(_in_cache(folder, compiler) or _build(compiler, folder))
    except KernelsUnavailableError as reason:
        return reason


def _compiler(name: str) -> tuple[str, ...] | None:
    """The command of the compiler called ``name`` (empty: of the first there is); None where it is not there."""
    commands = [shlex.split(name)] if name else [[compiler] for compiler in COMPILERS]
    return next((tuple(command) for command in commands if shutil.which(command[0])), None)


def _in_cache(folder: Path, compiler: tuple[str, ...]) -> Path | None:
    """The library in the cache. Its name holds the digest of its bytes: loading a damaged one could crash."""
    for library in folder.glob(f"kernels-{_fingerprint(compiler)}-*.so"):
        with suppress(OSError):
            if library.stem.endswith(f"-{_digest(library)}"):
                return library
            library.unlink()
    return None


def _fingerprint(compiler: tuple[str, ...]) -> str:
    """Changes with the source, the way it is built, and the processor it is built for."""
    parts = (SOURCE.read_text(), *compiler, *FLAGS, processor_field("model name"), processor_field("flags"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _build(compiler: tuple[str, ...], folder: Path) -> Path:
    """Compiles, then links without OpenMP: it must be that of torch, a second one would fight for the same cores."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".kernels-", dir=folder) as work:
            compiled, linked = Path(work, "kernels.o"), Path(work, "kernels.so")
            _call(*compiler, *FLAGS, "-c", str(SOURCE), "-o", str(compiled))
            _call(*compiler, "-shared", str(compiled), "-o", str(linked))
            library = folder / f"kernels-{_fingerprint(compiler)}-{_digest(linked)}.so"
            with atomic_path(library) as target:
                linked.replace(target)
            return library
    except OSError as error:
        raise KernelsUnavailableError(f"cannot write to {folder}: {error.strerror}") from error


def _call(*command: str) -> None:
    gently = GENTLY if shutil.which(GENTLY[0]) else ()
    try:
        subprocess.run((*gently, *command), check=True, capture_output=True, text=True, timeout=BUILD_SECONDS)
    except subprocess.CalledProcessError as error:
        reason = next((line for line in error.stderr.splitlines() if "error" in line), f"exit code {error.returncode}")
        raise KernelsUnavailableError(f"{command[0]} failed: {reason.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelsUnavailableError(f"{command[0]} failed: {error}") from error
