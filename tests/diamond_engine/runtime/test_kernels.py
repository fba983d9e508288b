"""Building the kernels and keeping them: real compilers and processes, each with a cache of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from diamond_engine.runtime.kernels import Kernels

DESCRIBE = """
from diamond_engine.runtime import Runtime, kernels_are_built
ready = kernels_are_built()
print(ready, Runtime.choose("cpu", "bfloat16").describe(), kernels_are_built())
"""
DREAM = """
import torch
from diamond_engine import WorldModelEnv, load_world
from diamond_engine.runtime import Runtime
env = WorldModelEnv(load_world(__import__("sys").argv[1]), 1, "cpu", dtype="float32")
env.reset(seed=0)
print(env.step(torch.zeros(1, dtype=torch.int64))[0].shape, env.runtime.describe())
"""


def environment(cache: Path, **extra: str) -> dict[str, str]:
    return {**os.environ, "DIAMOND_CACHE": str(cache), "OMP_NUM_THREADS": "1", **extra}


def start(cache: Path, code: str = DESCRIBE, *arguments: str, **extra: str) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment(cache, **extra), text=True, **pipes
    )


def said(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    assert not error
    return out.strip()


def libraries(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


@pytest.fixture(scope="module")
def filled_cache(kernels: Kernels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that two processes have filled at once."""
    cache = tmp_path_factory.mktemp("cache")
    for process in [start(cache), start(cache)]:
        answer = said(process)
        assert answer.startswith("False")
        assert answer.endswith("True")
        assert "not compiled: torch is faster" in answer or ", compiled" in answer
    return cache


def test_two_processes_that_build_at_once_leave_one_library(filled_cache: Path) -> None:
    (library,) = libraries(filled_cache)
    assert library.suffix == ".so"


def test_the_next_start_builds_nothing(filled_cache: Path) -> None:
    (library,) = libraries(filled_cache)
    before = library.stat().st_mtime_ns
    assert said(start(filled_cache)).startswith("True")
    assert library.stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_library_is_built_again(filled_cache: Path, tmp_path: Path, damage: str) -> None:
    (library,) = libraries(filled_cache)
    whole = library.read_bytes()
    half = len(whole) // 2
    content = {"cut": whole[:half], "changed": whole[:half] + b"?" + whole[half + 1 :]}[damage]
    (tmp_path / library.name).write_bytes(content)
    assert said(start(tmp_path)).startswith("False")
    assert [file.read_bytes() for file in libraries(tmp_path)] == [whole]


def test_a_damaged_library_that_cannot_be_built_again_is_not_loaded(filled_cache: Path, tmp_path: Path) -> None:
    (library,) = libraries(filled_cache)
    (tmp_path / library.name).write_bytes(library.read_bytes()[:4096])
    assert "not compiled: no C++ compiler" in said(start(tmp_path, PATH="/nonesuch"))


def test_without_a_compiler_worlds_run_through_torch(world_folder: Path, tmp_path: Path) -> None:
    answer = said(start(tmp_path, DREAM, str(world_folder), PATH="/nonesuch"))
    assert answer.startswith("torch.Size([1, 3, 64, 64])")
    assert "not compiled: no C++ compiler (c++, g++, clang++)" in answer
    answer = said(start(tmp_path, CXX="nonesuch"))
    assert "not compiled: no C++ compiler (nonesuch)" in answer
    assert answer.startswith("False")
    assert answer.endswith("False")
    assert not libraries(tmp_path)


def test_a_compiler_that_fails_is_quoted(tmp_path: Path) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho 'note: nothing' >&2\necho 'x.cpp:1: error: no such flag' >&2\nexit 3\n")
    compiler.chmod(0o755)
    cache = tmp_path / "cache"
    answer = said(start(cache, CXX=str(compiler)))
    assert f"not compiled: {compiler} failed: x.cpp:1: error: no such flag" in answer
    assert not libraries(cache)


def test_a_compiler_that_fails_is_asked_once_a_process(tmp_path: Path) -> None:
    compiler, calls = tmp_path / "compiler", tmp_path / "calls"
    compiler.write_text(f"#!/bin/sh\necho called >> {calls}\nexit 3\n")
    compiler.chmod(0o755)
    said(start(tmp_path / "cache", DESCRIBE * 2, CXX=str(compiler)))
    assert calls.read_text().splitlines() == ["called"]


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    answer = said(start(in_the_way / "cache"))
    assert f"not compiled: cannot write to {in_the_way / 'cache'}: Not a directory" in answer
