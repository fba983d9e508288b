"""``python -m benchmarks --all``."""

import json
import sys
from pathlib import Path

import pytest
import typer

from benchmarks.__main__ import Piece, _run
from benchmarks.rows import Rows
from benchmarks.worlds import world_to_time
from diamond_engine.errors import UsageError
from tests.benchmarks.processes import call_here, check_row, result_of


@pytest.mark.slow
def test_one_run_fills_the_whole_table(world_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.json"
    options = ("--device", "cpu", "--minutes", "3", "--tiny", str(world_folder), "--out", str(out))
    result = result_of("benchmarks.__main__", "--all", *options)
    assert result["failed"] == {}
    assert json.loads(out.read_text()) == result["results"]
    assert [row["component"] for row in result["results"]["train"]["rows"]] == [
        "denoiser",
        "reward_end",
        "actor_critic",
    ]
    for row in result["results"]["train"]["rows"]:
        check_row(row, "updates_per_s", 1)
    check_row(result["results"]["frame"]["rows"][0], "fps", 1)


@pytest.mark.slow
def test_what_fails_costs_only_itself(tmp_path: Path) -> None:
    out = tmp_path / "all.json"
    done = call_here("benchmarks.__main__", "--all", "--device", "cpu", "--tiny", str(tmp_path), "--out", str(out))
    assert done.returncode == 1
    assert set(json.loads(out.read_text())) == {"frame", "train"}
    assert all("world" in result["error"] for result in json.loads(out.read_text()).values())


def test_without_all_it_says_what_there_is() -> None:
    done = call_here("benchmarks.__main__")
    assert done.returncode == 2
    assert "benchmarks.frame" in done.stderr


def test_rows_are_kept_as_they_come_and_one_that_fails_ends_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A piece that measures a row, fails at another, measures a third, and then does not come to its end."""
    lines = ['{"row": {"batch": 1}}', '{"failed": {"batch": 2, "error": "out of memory"}}', '{"row": {"batch": 3}}']
    stuck = tmp_path / "python"
    stuck.write_text("#!/bin/sh\n" + "\n".join(f"echo '{line}'" for line in ["a table", *lines]) + "\nexec sleep 60\n")
    stuck.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stuck))
    kept: list[str] = []
    _run(Piece("x", "frame", (), 1), "cpu", 0, 3, lambda result: kept.append(json.dumps(result)))
    assert [len(json.loads(result)["rows"]) for result in kept] == [1, 1, 2, 2]
    assert json.loads(kept[-1])["failed"] == [{"batch": 2, "error": "out of memory"}]
    assert json.loads(kept[-1])["error"] == "not finished in the 3 s that were left"
    assert capsys.readouterr().out.splitlines() == ["a table", *lines]


def test_a_row_that_fails_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    rows = Rows()
    rows.add({"batch": 1}, lambda: {"batch": 1, "fps": 2 / 0})
    rows.add({"batch": 2}, lambda: {"batch": 2, "fps": 3.0})
    assert rows.summary("fps") == {"fps": 3.0, "failed": [{"batch": 1, "error": "division by zero"}]}
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"failed": {"batch": 1, "error": "division by zero"}},
        {"row": {"batch": 2, "fps": 3.0}},
    ]
    with pytest.raises(typer.Exit):
        rows.finish()
    with pytest.raises(UsageError):
        rows.add({}, lambda: world_to_time("atari/Nonsense"))  # type: ignore[arg-type, return-value]
