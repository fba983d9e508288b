"""``python -m benchmarks.startup``."""

from pathlib import Path

import pytest

from tests.benchmarks.processes import call_here, result_of


@pytest.mark.slow
def test_cold_and_warm_starts_are_reported(
    quick_compiler: str, world_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", quick_compiler)
    options = ("--frames", "5", "--starts", "1", "--weights", str(world_folder), "--device", "cpu")
    result = result_of("benchmarks.startup", *options)
    assert [row["cache"] for row in result["rows"]] == ["cold", "warm"]
    for row in result["rows"]:
        assert row["frames"] == 5
        assert row["fps"] > 0
        assert 0 < row["time_to_first_frame_s"] < row["seconds"]
    assert result["cold_first_frame_s"] == result["rows"][0]["time_to_first_frame_s"]
    assert result["warm_first_frame_s"] == result["rows"][1]["time_to_first_frame_s"]


def test_what_the_game_says_is_passed_on(tmp_path: Path) -> None:
    done = call_here("benchmarks.startup", "--weights", str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert "diamond-play failed" in done.stderr
