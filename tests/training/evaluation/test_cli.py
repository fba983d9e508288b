"""``diamond-eval`` as a person runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from diamond_engine import load_world
from diamond_engine.worlds import as_ddpm, write_world
from tests.programs import assert_one_line_error, diamond_eval

COMMAND = [sys.executable, "-c", "from training.entry import evaluate; evaluate()"]


def test_fidelity_prints_tables_and_writes_report_and_strip(world_folder: Path, tmp_path: Path) -> None:
    options = ["--episodes", 2, "--contexts-per-episode", 1, "--seed", 3, "--preset", "fast", "--policy-epsilon", 1]
    result = diamond_eval("fidelity", world_folder, *options, "--report", "f.json", "--strip", "s.png", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "wrong-pixel ratio" in result.stdout
    report = json.loads((tmp_path / "f.json").read_text())
    expected = {
        "world": "atari/Breakout",
        "preset": "fast",
        "denoising_steps": 1,
        "episodes": 2,
        "contexts": 2,
        "seed": 3,
    }
    assert expected.items() <= report.items()
    assert report["n_1"] == 2
    assert report["wrong_pixel_ratio_1"] > 1
    assert report["end_events"] == 2
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_fidelity_of_a_world_of_tokens(token_world_folder: Path, tmp_path: Path) -> None:
    options = ["--episodes", 1, "--contexts-per-episode", 1, "--policy-epsilon", 1, "--report", "f.json"]
    result = diamond_eval("fidelity", token_world_folder, *options, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "nothing here judges real ones" in result.stdout
    report = json.loads((tmp_path / "f.json").read_text())
    assert report["n_1"] == 1
    assert "denoising_steps" not in report


def test_drift_shows_edm_and_ddpm_side_by_side(world_folder: Path, tmp_path: Path) -> None:
    world = load_world(world_folder)
    write_world(tmp_path / "other", replace(world, config=as_ddpm(world.config)))
    options = ["--steps", 12, "-n", 2, "-n", 1, "--dreams", 2, "--real-games", 2, "--policy-epsilon", 1]
    written = ["--report", "d.json", "--picture", "d.png"]
    result = diamond_eval("drift", world_folder, "other", *options, *written, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "dreaming, calls of networks 72/72" in result.stderr
    report = json.loads((tmp_path / "d.json").read_text())
    assert {"steps": 12, "dreams": 2, "policy_epsilon": 1, "world_2": "other"}.items() <= report.items()
    assert report["world_1_1_step_distance_10"] > report["real_distance_10"]
    assert report["world_1_2_steps_distance_12"] != report["world_2_2_steps_distance_12"]
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


def test_denoising_steps_compares_draws(world_folder: Path, tmp_path: Path) -> None:
    options = ["-n", 1, "-n", 2, "--episodes", 1, "--contexts-per-episode", 2, "--draws", 2, "--policy-epsilon", 1]
    written = ["--report", "n.json", "--picture", "n.png"]
    result = diamond_eval("denoising-steps", world_folder, *options, *written, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "sharpness" in result.stdout
    report = json.loads((tmp_path / "n.json").read_text())
    assert {"contexts": 2, "draws": 2, "preset": "quality"}.items() <= report.items()
    assert {"sharpness_1", "spread_1", "psnr_1", "sharpness_2", "spread_2", "psnr_2"} <= report.keys()
    assert (tmp_path / "n.png").read_bytes().startswith(b"\x89PNG")


def test_suite_reproduces_the_paper(tmp_path: Path) -> None:
    result = diamond_eval("suite", "paper", "--report", "s.json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "s.json").read_text())
    found = [round(report[name], 3) for name in ("mean", "median", "iqm", "optimality_gap", "superhuman")]
    assert found == [1.459, 0.373, 0.641, 0.480, 11]
    assert report["iqm_low"] < report["iqm"] < report["iqm_high"]
    assert {"games": 26, "missing_games": 0, "runs": 130, "improvement_over_DIAMOND": 0.5}.items() <= report.items()
    assert (round(report["DreamerV3_mean"], 3), report["DreamerV3_mean_stated"]) == (1.130, 1.097)
    assert "DreamerV3: the scores of Table 1, which are rounded, give the mean 1.130; the paper states 1.097" in (
        " ".join(result.stdout.split())
    )


def test_suite_reads_runs_and_names_unfinished_ones(tmp_path: Path) -> None:
    for name in ("finished", "unfinished"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.yaml").write_text("")
    final = {"game": "Pong", "seed": 0, "scores": [14.6, 14.6], "mean": 14.6}
    (tmp_path / "runs" / "finished" / "final.json").write_text(json.dumps(final))
    result = diamond_eval("suite", "runs", "--report", "s.json", "--plots", "plots", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "unfinished, not counted: runs/unfinished" in result.stdout
    report = json.loads((tmp_path / "s.json").read_text())
    assert {"games": 1, "missing_games": 25, "unfinished": 1, "mean": 1, "mean_low": None}.items() <= report.items()
    assert len(list((tmp_path / "plots").glob("*.png"))) == 4
    assert "DreamerV3:" not in result.stdout  # the paper states means of all games
    assert_one_line_error(
        diamond_eval("suite", "nowhere", folder=tmp_path), 2, "no such folder or file of scores: nowhere"
    )


def test_agent_scores_whole_games(world_folder: Path, tmp_path: Path) -> None:
    options = ["--episodes", 2, "--max-steps", 40, "--device", "cpu", "--report", "a.json"]
    result = diamond_eval("agent", world_folder, *options, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "human normalised score" in result.stdout
    report = json.loads((tmp_path / "a.json").read_text())
    assert {
        "games": 2,
        "truncated": 2,
        "length_mean": 40,
        "random_score": 1.7,
        "human_score": 30.5,
    }.items() <= report.items()


def test_inspect_names_damaged_files_and_fails(episode_folder: Path, tmp_path: Path) -> None:
    good = diamond_eval("inspect", episode_folder, folder=tmp_path)
    assert good.returncode == 0, good.stderr
    source = sorted(episode_folder.glob("*.h5"))[0].read_bytes()
    (tmp_path / "episode_000000.h5").write_bytes(source)
    (tmp_path / "episode_000001.h5").write_bytes(source[: len(source) // 2])
    bad = diamond_eval("inspect", tmp_path, "--report", "i.json", folder=tmp_path)
    assert bad.returncode == 1
    assert "damaged: " in bad.stderr
    assert "episode_000001.h5" in bad.stderr
    report = json.loads((tmp_path / "i.json").read_text())
    assert {"episodes": 1, "damaged": 1, "game": "Breakout"}.items() <= report.items()


def test_wrong_usage_is_one_line_and_exit_code_2(world_folder: Path, tmp_path: Path) -> None:
    assert_one_line_error(diamond_eval("agent", "atari/Breakuot", folder=tmp_path), 2, "Breakout")
    assert_one_line_error(
        diamond_eval("fidelity", world_folder, "--preset", "best", folder=tmp_path), 2, "unknown preset 'best'"
    )
    twice = diamond_eval("drift", world_folder, world_folder, folder=tmp_path)
    assert_one_line_error(twice, 2, "every world once")
    weights = diamond_eval("drift", "atari/Breakout", world_folder, "--weights", world_folder, folder=tmp_path)
    assert_one_line_error(weights, 2, "--weights goes with one world")
    assert_one_line_error(diamond_eval("inspect", ".", folder=tmp_path), 2, "no episodes in")
    zero = diamond_eval("agent", world_folder, "--episodes", 0, folder=tmp_path)
    assert zero.returncode == 2
    assert "--episodes" in zero.stderr


def test_options_without_effect_are_refused(world_folder: Path, first_person_folder: Path, tmp_path: Path) -> None:
    for name, world, option, words in (
        ("fidelity", world_folder, ("--data", "."), "--data is for first-person worlds"),
        ("play", world_folder, ("--data", "."), "--data is for first-person worlds"),
        ("fidelity", first_person_folder, ("--policy-epsilon", 1), "--policy-epsilon goes with an emulator"),
        (
            "play",
            first_person_folder,
            ("--data", ".", "--events", 3),
            "--events is for worlds of games",
        ),
    ):
        assert_one_line_error(diamond_eval(name, world, *option, folder=tmp_path), 2, words)


def test_failures_are_one_line_and_exit_code_1(world_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    options = ["--episodes", 1, "--max-steps", 1, "--report", "file/a.json"]
    failed = diamond_eval("agent", world_folder, *options, folder=tmp_path)
    assert_one_line_error(failed, 1, "file")


def test_ctrl_c_is_one_line_and_leaves_nothing_behind(world_folder: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [*COMMAND, "fidelity", str(world_folder), "--episodes", "10000", "--report", "f.json"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(temporary.rglob("*.h5")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=300)
    assert (process.returncode, stderr) == (130, "interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert list(temporary.iterdir()) == []
