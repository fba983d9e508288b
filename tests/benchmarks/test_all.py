"""``python -m benchmarks --all``."""

import json
from pathlib import Path

from tests.benchmarks.processes import call, check_row, result_of


def test_one_run_fills_the_whole_table(world_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.json"
    result = result_of(
        "benchmarks", "--all", "--device", "cpu", "--minutes", "3", "--tiny", str(world_folder), "--out", str(out)
    )
    assert result["failed"] == {}
    assert json.loads(out.read_text()) == result["results"]
    assert [row["component"] for row in result["results"]["train"]["rows"]] == [
        "denoiser",
        "reward_end",
        "actor_critic",
    ]
    check_row(result["results"]["frame"]["rows"][0], "fps", 1)


def test_what_fails_costs_only_itself(tmp_path: Path) -> None:
    out = tmp_path / "all.json"
    done = call("benchmarks", "--all", "--device", "cpu", "--tiny", str(tmp_path), "--out", str(out))
    assert done.returncode == 1
    assert set(json.loads(out.read_text())) == {"frame", "train"}
    assert all("world" in result["error"] for result in json.loads(out.read_text()).values())


def test_without_all_it_says_what_there_is() -> None:
    done = call("benchmarks")
    assert done.returncode == 2
    assert "benchmarks.frame" in done.stderr
