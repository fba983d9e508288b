"""Builds the CPU's own kernels: C++ compiled once for this machine, in seconds, then kept in the platform's cache.

Run as a program, it builds them or says why it cannot. ``BackgroundBuild`` runs it while a game is played.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from diamond_engine.cache import cache_folder
from diamond_engine.files import atomic_path
from diamond_engine.runtime.cpu.processor import processor_field

SOURCE = Path(__file__).with_name("kernels.cpp")
COMPILERS = ("c++", "g++", "clang++")
GENTLY = ("nice", "-n", "15")
"""Runs the compiler with low priority: a game is being played meanwhile."""
FLAGS = ("-std=gnu++17", "-O2", "-march=native", "-fPIC", "-fopenmp")
BUILD_SECONDS = 300
PROGRAM = "from diamond_engine.runtime.cpu.building import main; main()"


class KernelsUnavailableError(Exception):
    """Says why there are no kernels here; networks then run on torch's."""


def kernels_are_built() -> bool:
    """Whether undamaged kernels are in the cache, so that ``load_kernels`` returns at once."""
    with suppress(KernelsUnavailableError):
        return in_cache(cache_folder(), find_compiler(os.environ.get("CXX", ""))) is not None
    return False


def has_compiler() -> bool:
    """Whether there is a compiler to build them with."""
    with suppress(KernelsUnavailableError):
        return bool(find_compiler(os.environ.get("CXX", "")))
    return False


class BackgroundBuild:
    """A process of low priority that builds the kernels into the cache, even if this process ends first."""

    def __init__(self) -> None:
        """Starts the process."""
        self._process = subprocess.Popen(
            (*_gently(), sys.executable, "-c", PROGRAM),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            process_group=0,  # Ctrl-C is for the game; in a session of its own Linux would ignore its low priority
        )

    @property
    def finished(self) -> bool:
        """Whether the process has ended. Does not wait."""
        return self._process.poll() is not None

    def check(self) -> None:
        """Waits for the process to end. Raises ``KernelsUnavailableError`` saying why it failed."""
        output, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise KernelsUnavailableError(output.strip() or f"exit code {self._process.returncode}")


def main() -> None:
    """Builds the kernels into the cache unless they are there. On failure prints why and exits with 1."""
    try:
        compiler, folder = find_compiler(os.environ.get("CXX", "")), cache_folder()
        if in_cache(folder, compiler) is None:
            build(compiler, folder)
    except KernelsUnavailableError as reason:
        print(reason)
        sys.exit(1)


def find_compiler(name: str) -> tuple[str, ...]:
    """The command of the compiler called ``name`` (empty: the first one found).

    Raises ``KernelsUnavailableError`` where there is none.
    """
    commands = [shlex.split(name)] if name else [[compiler] for compiler in COMPILERS]
    for command in commands:
        if shutil.which(command[0]):
            return tuple(command)
    raise KernelsUnavailableError(f"no C++ compiler ({name or ', '.join(COMPILERS)})")


def in_cache(folder: Path, compiler: tuple[str, ...]) -> Path | None:
    """The library in the cache. Its name holds the digest of its bytes: loading a damaged one could crash."""
    for library in folder.glob(f"kernels-{_fingerprint(compiler)}-*.so"):
        with suppress(OSError):
            if library.stem.endswith(f"-{_digest(library)}"):
                return library
            library.unlink()
    return None


def build(compiler: tuple[str, ...], folder: Path) -> Path:
    """Compiles, then links without OpenMP: torch's must be used, since a second one would compete for the same cores.

    Returns the library. Raises ``KernelsUnavailableError``.
    """
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


def _fingerprint(compiler: tuple[str, ...]) -> str:
    """A key that changes with the source, the way it is built, and the processor it is built for."""
    parts = (SOURCE.read_text(), *compiler, *FLAGS, processor_field("model name"), processor_field("flags"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _call(*command: str) -> None:
    try:
        subprocess.run((*_gently(), *command), check=True, capture_output=True, text=True, timeout=BUILD_SECONDS)
    except subprocess.CalledProcessError as error:
        reason = next((line for line in error.stderr.splitlines() if "error" in line), f"exit code {error.returncode}")
        raise KernelsUnavailableError(f"{command[0]} failed: {reason.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelsUnavailableError(f"{command[0]} failed: {error}") from error


def _gently() -> tuple[str, ...]:
    return GENTLY if shutil.which(GENTLY[0]) else ()
