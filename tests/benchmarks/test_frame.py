"""``python -m benchmarks.frame``."""

from pathlib import Path

import pytest
import torch

from benchmarks.sides import FastGame, PlainGame
from benchmarks.worlds import networks, weights_bytes, world_to_time
from diamond_engine import load_world
from diamond_engine.runtime import Runtime
from tests.benchmarks.processes import call_here, check_row, result_of

QUICK = ("--seconds", "0", "--peak-size", "64", "--device", "cpu")


def test_rows_are_of_the_preset_and_batches_asked_for(world_folder: Path) -> None:
    options = ("--batch", "1", "--batch", "2", "--preset", "fast")
    result = result_of("benchmarks.frame", "--world", str(world_folder), *options, *QUICK)
    rows = result["rows"]
    assert [(row["world"], row["preset"], row["batch"]) for row in rows] == [
        ("atari/Breakout", "fast", 1),
        ("atari/Breakout", "fast", 2),
    ]
    for row in rows:
        check_row(row, "fps", row["batch"])
        assert row["weights_mb"]["float32"] == pytest.approx(2 * row["weights_mb"]["bfloat16"], abs=0.15)
    assert rows[1]["gflop"] == pytest.approx(2 * rows[0]["gflop"], rel=0.01)
    first = {name: rows[0][name] for name in ("plain_fps", "fast_fps", "speedup")}
    assert first.items() <= result.items()
    assert first.items() <= result["worlds"]["atari/Breakout"]["fast"].items()
    assert set(result["peak_tflops"]) == {"float32", "bfloat16"}


@pytest.mark.slow
def test_quality_takes_more_arithmetic_than_fast_in_every_world(world_folder: Path, first_person_folder: Path) -> None:
    worlds = ("--world", str(world_folder), "--world", str(first_person_folder))
    options = ("--batch", "1", "--preset", "fast", "--preset", "quality")
    rows = result_of("benchmarks.frame", *worlds, *options, *QUICK)["rows"]
    presets = [(row["world"], row["preset"]) for row in rows]
    assert presets == [(world, preset) for world in ("atari/Breakout", "csgo") for preset in ("fast", "quality")]
    for fast, quality in (rows[:2], rows[2:]):
        assert quality["gflop"] > 2 * fast["gflop"]


@pytest.mark.parametrize("folder", ["world_folder", "first_person_folder"])
def test_both_sides_draw_the_same_frames_of_the_same_noise(
    folder: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = load_world(request.getfixturevalue(folder))
    preset = world.config.preset("fast")
    plain = PlainGame(world, 2, preset, torch.device("cpu"))
    fast = FastGame(world, 2, preset, Runtime.choose("cpu", "float32", compile=False))
    start = world.contexts.take(torch.arange(2).numpy())
    options = {name: array for name, array in start.arrays().items() if name != "recorded"}
    fast._env.reset(0, options)
    dreams = []
    for env, drawing in ((plain._dreams, plain._dreams), (fast._env, fast._env._frame)):
        generator = torch.Generator().manual_seed(3)
        monkeypatch.setattr(drawing, "_noise", lambda shape, g=generator: torch.randn(shape, generator=g))
        dreams.append(torch.stack([env.step(plain._actions)[0].clone() for _ in range(3)]))
    off = (dreams[0] - dreams[1]).abs()
    assert dreams[0].std() > 0.01
    assert (off > 2.5 / 255).float().mean() < 0.001


def test_the_papers_sizes_are_the_papers() -> None:
    world = world_to_time("atari")
    parameters = [sum(p.numel() for p in network.parameters()) for network in networks(world)]
    assert [round(count / 1e6, 1) for count in parameters] == [4.4, 5.9, 3.2]
    assert weights_bytes(world, torch.bfloat16) == 2 * sum(parameters)
    assert all(p.std() > 0 for network in networks(world) for p in network.parameters() if p.numel() > 1)


def test_an_unknown_world_is_one_line() -> None:
    done = call_here("benchmarks.frame", "--world", "atari/Nonsense", *QUICK)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
