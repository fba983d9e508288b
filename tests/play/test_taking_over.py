"""Kernels take over while a session is played: it goes on as it was, and its recording replays to identical frames."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diamond_engine.errors import DiamondError
from diamond_engine.runtime import KernelSwap, Runtime
from diamond_engine.runtime.cpu.kernels import Kernels
from diamond_engine.world_model import World
from diamond_engine.worlds import write_world
from play.hud import rows
from play.latch import Input
from play.recording import Recording, read_recording, write_recording
from play.replay import replay
from play.session import Session, Settings
from play.sources import Source, Start
from play.view import Command, Origin, Player
from tests.play.stages import HEADER, PLAIN, loaded_as, make_stage, without_ends

NOTHING = Input()


class After(KernelSwap):
    """What a kernel swap leads to, ready after so many steps."""

    def __init__(self, steps: int, runtime: Runtime) -> None:
        self._steps, self._runtime = steps, runtime

    def poll(self) -> Runtime | None:
        """See ``KernelSwap.poll``."""
        self._steps -= 1
        return self._runtime if self._steps == -1 else None


@pytest.fixture(scope="module")
def compiled(kernels: Kernels) -> Runtime:
    """By the kernels of this machine."""
    runtime = PLAIN.with_kernels()
    assert runtime.compiled, runtime.notes
    return runtime


def agents_session(
    world: World, kernel_swap: KernelSwap | None, path: Path = Path("unused.mp4"), horizon: int = 50
) -> Session:
    return Session(
        make_stage(world, path, kernel_swap=kernel_swap), Settings(Start(2), horizon=horizon, player=Player.AGENT)
    )


def test_a_session_goes_on_as_it_was(compilable_world: World, compiled: Runtime) -> None:
    world = without_ends(compilable_world)
    plain, swapped = agents_session(world, None), agents_session(world, After(4, compiled))
    for step in range(8):
        frames = [session.advance(NOTHING).astype(int) for session in (plain, swapped)]
        assert np.abs(frames[0] - frames[1]).max() <= (2 if step >= 4 else 0)
        seen, expected = swapped.snapshot(), plain.snapshot()
        assert (seen.step, seen.action, seen.compiled) == (expected.step, expected.action, step >= 4)
    assert seen.message == "kernels are built: faster from here on"
    assert [row.value.endswith(", compiled") for row in rows(seen) if row.label == "model"] == [True]
    assert [row.value.endswith(" ms") for row in rows(expected) if row.label == "model"] == [True]


def test_a_source_opened_later_starts_with_the_kernels(compilable_world: World, compiled: Runtime) -> None:
    opened: list[tuple[Origin, bool]] = []
    stage = make_stage(compilable_world, kernel_swap=After(1, compiled))

    def spied(origin: Origin) -> Callable[[Runtime], Source]:
        def open_source(runtime: Runtime) -> Source:
            opened.append((origin, runtime.compiled))
            return stage.sources[origin](runtime)

        return open_source

    sources = {origin: spied(origin) for origin in stage.sources}
    session = Session(replace(stage, sources=sources), Settings(origin=Origin.EMULATOR))
    for _ in range(2):
        session.advance(NOTHING)
    session.obey(Command.SWITCH_SOURCE)
    session.advance(NOTHING)
    session.close()
    assert opened == [(Origin.EMULATOR, False), (Origin.DREAM, True)]


def test_where_nothing_could_be_built_the_session_says_so_and_goes_on(compilable_world: World) -> None:
    failed = replace(PLAIN, notes=("not compiled: out of coffee",))
    session = agents_session(without_ends(compilable_world), After(1, failed))
    for _ in range(3):
        session.advance(NOTHING)
    assert session.snapshot().message == "not compiled: out of coffee"
    assert not session.snapshot().compiled
    assert session.runtime.describe().endswith("(not compiled: out of coffee)")


def test_a_recording_replays_by_the_kernels_that_drew_it(
    compilable_world: World, compiled: Runtime, tmp_path: Path
) -> None:
    folder, path = tmp_path / "world", tmp_path / "r.mp4"
    write_world(folder, without_ends(compilable_world))
    session = agents_session(without_ends(compilable_world), After(6, compiled), path, horizon=4)
    session.obey(Command.RECORD)
    frames = [session.advance(NOTHING) for _ in range(11)]
    session.close()
    recording = read_recording(path)
    assert [episode.compiled_from for episode in recording.episodes] == [None, 2, 0]
    assert np.array_equal(list(replay(recording, loaded_as(recording, folder))), frames)
    recording.episodes[2].digests[1] ^= 1
    with pytest.raises(DiamondError, match=r"^frame 1 of episode 3 differs .*other weights\? \(cpu.*, compiled\)$"):
        list(replay(recording, loaded_as(recording, folder)))


def test_a_replay_without_kernels_says_what_is_missing(
    compilable_world: World, compiled: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, path = tmp_path / "world", tmp_path / "r.mp4"
    write_world(folder, without_ends(compilable_world))
    session = agents_session(without_ends(compilable_world), After(0, compiled), path)
    session.obey(Command.RECORD)
    session.advance(NOTHING)
    session.close()
    recording = read_recording(path)
    recording.episodes[0].digests[1] ^= 1
    monkeypatch.setenv("DIAMOND_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", "nonesuch")
    with pytest.raises(
        DiamondError, match=r"with cpu, .*, compiled, replayed with .*, not compiled: no C\+\+ compiler"
    ):
        list(replay(recording, loaded_as(recording, folder)))


def test_an_older_session_file_is_refused(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.session.npz", Recording(replace(HEADER, format=2), []))
    with pytest.raises(DiamondError, match="a session of format 2; this version reads 4"):
        read_recording(tmp_path / "a.session.npz")
