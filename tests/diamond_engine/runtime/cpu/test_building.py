"""Building the kernels and keeping them: real compilers and processes, each with a cache of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diamond_engine.runtime import Runtime
from diamond_engine.runtime.cpu.building import BackgroundBuild, build, find_compiler, in_cache, kernels_are_built
from diamond_engine.runtime.cpu.kernels import Kernels, KernelsUnavailableError, load_kernels
from tests.conftest import write_compiler

DREAM = """
import torch
from diamond_engine import WorldModelEnv, load_world
env = WorldModelEnv(load_world(__import__("sys").argv[1]), 1, "cpu", dtype="float32")
env.reset(seed=0)
print(env.step(torch.zeros(1, dtype=torch.int64))[0].shape, env.runtime.describe())
"""


def libraries(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.so"))


@pytest.fixture(scope="module")
def compiler(kernels: Kernels, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One that takes no time, but waits until it was called twice."""
    folder = tmp_path_factory.mktemp("compiler")
    calls = folder / "calls"
    wait = f"echo called >> {calls}\nwhile [ $(wc -l < {calls}) -lt 2 ]; do sleep 0.05; done"
    write_compiler(folder / "c++", kernels, first=wait)
    return str(folder / "c++")


@pytest.fixture(scope="module")
def filled_cache(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that two processes have filled at once."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIAMOND_CACHE", str(cache))
        patch.setenv("CXX", compiler)
        assert not kernels_are_built()
        for process in [BackgroundBuild(), BackgroundBuild()]:
            process.check()
            assert process.finished
        assert kernels_are_built()
    return cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process's from now on, empty."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DIAMOND_CACHE", str(folder))
    return folder


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_two_processes_that_build_at_once_leave_one_library(filled_cache: Path) -> None:
    assert [file.suffix for file in filled_cache.iterdir()] == [".so"]


def test_the_next_start_builds_nothing(filled_cache: Path, compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (library,) = libraries(filled_cache)
    before = library.stat().st_mtime_ns
    monkeypatch.setenv("DIAMOND_CACHE", str(filled_cache))
    monkeypatch.setenv("CXX", compiler)
    assert load_kernels().name == library.stem
    BackgroundBuild().check()
    assert library.stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_library_is_not_taken(filled_cache: Path, compiler: str, tmp_path: Path, damage: str) -> None:
    (library,) = libraries(filled_cache)
    assert in_cache(filled_cache, (compiler,)) == library
    whole = library.read_bytes()
    half = len(whole) // 2
    content = {"cut": whole[:half], "changed": whole[:half] + b"?" + whole[half + 1 :]}[damage]
    (tmp_path / library.name).write_bytes(content)
    assert in_cache(tmp_path, (compiler,)) is None
    assert not libraries(tmp_path)


@pytest.mark.slow
def test_the_compiler_of_this_machine_builds_what_can_be_loaded(kernels: Kernels, tmp_path: Path) -> None:
    """As it has for the other tests, though maybe long ago."""
    built = Kernels(build(find_compiler(os.environ.get("CXX", "")), tmp_path))
    assert built.max_vectors == kernels.max_vectors


def test_without_a_compiler_worlds_run_through_torch(world_folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "DIAMOND_CACHE": str(tmp_path), "PATH": "/nonesuch"}
    environment.pop("CXX", None)
    answer = subprocess.check_output([sys.executable, "-c", DREAM, str(world_folder)], env=environment, text=True)
    assert answer.startswith("torch.Size([1, 3, 64, 64])")
    assert "not compiled: no C++ compiler (c++, g++, clang++)" in answer


def test_a_compiler_that_is_not_there_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "nonesuch")
    assert Runtime.choose("cpu", "float32").notes == ("not compiled: no C++ compiler (nonesuch)",)
    assert not kernels_are_built()
    build = BackgroundBuild()
    with pytest.raises(KernelsUnavailableError, match=r"^no C\+\+ compiler \(nonesuch\)$"):
        build.check()
    assert not cache.exists()


def test_a_compiler_that_fails_is_quoted_and_asked_once_a_process(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    text = f"echo called >> {calls}\necho 'note: nothing' >&2\necho 'x.cpp:1: error: no such flag' >&2\nexit 3"
    compiler = script(tmp_path / "compiler", text)
    monkeypatch.setenv("CXX", compiler)
    for _ in range(2):
        (note,) = Runtime.choose("cpu", "float32").notes
        assert note == f"not compiled: {compiler} failed: x.cpp:1: error: no such flag"
    assert calls.read_text().splitlines() == ["called"]
    assert not list(cache.iterdir())


def test_a_library_that_cannot_be_loaded(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", script(tmp_path / "compiler", 'for last; do :; done\necho nothing > "$last"'))
    (note,) = Runtime.choose("cpu", "float32").notes
    assert note.startswith("not compiled: ")
    assert not Runtime.choose("cpu", "float32").compiled


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    monkeypatch.setenv("DIAMOND_CACHE", str(in_the_way / "cache"))
    (note,) = Runtime.choose("cpu", "float32").notes
    assert note == f"not compiled: cannot write to {in_the_way / 'cache'}: Not a directory"
    assert Runtime.choose("cpu", "float32").dtype is torch.float32
