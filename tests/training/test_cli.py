"""``diamond-train`` as a person runs it: real games, the paper's networks and small ones for an update or two."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from diamond_engine import load_world
from diamond_engine.episodes import EpisodeFolder
from diamond_engine.games import atari_game
from diamond_engine.runtime import Runtime
from diamond_engine.worlds import write_world
from tests.programs import diamond_train
from training.algorithm.diamond import DiamondTraining
from training.algorithm.world_model import Component
from training.components.denoiser import DenoiserTrainingConfig
from training.components.reward_end import RewardEndTrainingConfig
from training.data.episodes import GameEpisodes
from training.runs.progress import make_console
from training.runs.session import Session

COMMAND = [sys.executable, "-m", "training.cli"]


def _train(*arguments: object) -> subprocess.CompletedProcess[str]:
    return diamond_train(*arguments)


def _good(*arguments: object) -> str:
    result = _train(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 steps collected by the command."""
    folder = tmp_path_factory.mktemp("collected") / "episodes"
    _good("collect", "Breakout", "--out", folder, "--steps", 300, "--num-envs", 4)
    return folder


def test_collect_files_what_was_asked_for_once(collected: Path) -> None:
    folder = EpisodeFolder(collected)
    assert folder.num_steps == 300
    assert folder[0].attributes == {"game": "Breakout", "policy": "random", "epsilon": 0.0, "seed": 0, "hold": 1.0}
    assert "already has 300 steps" in _good("collect", "Breakout", "--out", collected, "--steps", 300)
    assert EpisodeFolder(collected).num_steps == 300


def test_scripted_player_is_collected(tmp_path: Path) -> None:
    _good("collect", "Breakout", "--out", tmp_path, "--steps", 60, "--num-envs", 2, "--policy", "tracker")
    folder = EpisodeFolder(tmp_path)
    assert folder.num_steps == 60
    assert folder[0].attributes["policy"] == "tracker"


def test_random_actions_are_held(collected: Path, tmp_path: Path) -> None:
    _good("collect", "Breakout", "--out", tmp_path, "--steps", 300, "--num-envs", 4, "--hold", 10)
    folder = EpisodeFolder(tmp_path)
    assert folder[0].attributes["hold"] == 10.0
    assert _changes(folder) < 0.2 < _changes(EpisodeFolder(collected))


def _changes(folder: EpisodeFolder) -> float:
    """Share of steps with another action than the step before."""
    return float(np.mean(np.concatenate([np.diff(folder[i].actions) != 0 for i in range(len(folder))])))


def test_continued_collection_plays_other_games(collected: Path, tmp_path: Path) -> None:
    for episode in map(EpisodeFolder(collected).__getitem__, range(2)):
        EpisodeFolder(tmp_path).append(episode)
    before = EpisodeFolder(tmp_path).num_steps
    _good("collect", "Breakout", "--out", tmp_path, "--steps", before + 40, "--num-envs", 2)
    folder = EpisodeFolder(tmp_path)
    assert folder.num_steps == before + 40
    starts = [tuple(folder[i].actions[:10]) for i in range(len(folder))]
    assert len(set(starts)) == len(starts)


def test_from_episodes_to_a_world_with_an_agent(collected: Path, tmp_path: Path) -> None:
    run, agents, whole = tmp_path / "world-model", tmp_path / "model-free", tmp_path / "whole"
    said = _good("world-model", "Breakout", "--data", collected, "--out", run, "--updates", 1, "--batch-size", 1)
    assert "denoiser: 4.41M parameters, 1 updates of 1 segments" in said
    assert "reward_end: 5.90M parameters" in said
    world = load_world(run)
    assert world.reward_end is not None
    assert world.contexts is not None
    assert len(world.contexts) == 64
    assert world.config.provenance["denoiser"]["data"]["policies"] == {"random": 300}

    small = ["--num-envs", "2", "--size", "small", "--kickstart-updates", "1"]
    _good("atari", "Breakout", "--model-free", "--out", agents, "--updates", 2, "--snapshots-every", 1, *small)
    snapshot = agents / "snapshots" / "updates_000001"
    episodes = tmp_path / "more"
    mixture = ["--epsilon", "0", "--epsilon", "0.5", "--steps", "40", "--num-envs", "2"]
    _good("collect", "Breakout", "--out", episodes, "--policy", snapshot, *mixture)
    played = EpisodeFolder(episodes)
    assert played.num_steps == 40
    assert {played[i].attributes["epsilon"] for i in range(len(played))} == {0.0, 0.5}
    assert str(played[0].attributes["policy"]).startswith("agent after 1 updates (")

    _good("assemble", "--world", run, "--agent", agents, "--out", whole, "--note", "licence=MIT")
    assembled = load_world(whole)
    assert assembled.actor_critic is not None
    assert assembled.config.provenance["licence"] == "MIT"
    assert assembled.config.provenance["agent"]["updates"] == 2
    assert assembled.config.provenance["reward_end"]["updates"] == 1
    original = world.denoiser.state_dict()["inner_model.conv_in.weight"]
    assert torch.equal(assembled.denoiser.state_dict()["inner_model.conv_in.weight"], original.bfloat16().float())

    dreamt = tmp_path / "dreamt"
    size = ["--updates", "1", "--num-envs", "2", "--horizon", "2"]
    _good("agent", "Breakout", "--world", run, "--out", dreamt, "--data", collected, *size)
    assert load_world(dreamt).config.provenance["agent"]["environment"] == "imagination in atari/Breakout"
    taught = tmp_path / "taught"
    _good("agent", "Breakout", "--world", run, "--out", taught, *size, "--size", "small", "--kickstart-updates", 2)
    origin = load_world(taught).config.provenance["agent"]
    assert origin["environment"] == "imagination in atari/Breakout, kickstarted by the tracker"
    assert "loss_teacher" in (taught / "metrics.jsonl").read_text()


def test_world_of_init_keeps_what_is_not_trained(collected: Path, tmp_path: Path) -> None:
    size = ["--updates", 1, "--batch-size", 1, "--denoiser-size", "small", "--reward-end-size", "small"]
    drawn, judged, again = tmp_path / "drawn", tmp_path / "judged", tmp_path / "again"
    first_level = ["--sampler-share", 1, "--first-share", 1, "--context-error", 0.5]
    _good(
        "world-model", "Breakout", "--data", collected, "--out", drawn, "--components", "denoiser", *size, *first_level
    )
    judging = ["world-model", "Breakout", "--data", collected, "--components", "reward-end", *size]
    said = _good(*judging, "--out", judged, "--init", drawn)
    assert "has no reward_end: it starts from nothing" in said
    assert "has an agent" not in said
    first, second = load_world(drawn), load_world(judged)
    assert second.reward_end is not None
    assert (first.config.default_preset, second.config.default_preset) == ("fast", "fast")  # one step is all it learned
    assert torch.equal(first.denoiser.inner_model.conv_in.weight, second.denoiser.inner_model.conv_in.weight)
    assert second.config.provenance["denoiser"] == first.config.provenance["denoiser"]
    more = ["--init", judged, "--components", "denoiser", *size[:-2]]
    _good("world-model", "Breakout", "--data", collected, "--out", again, *more)
    third = load_world(again)
    assert third.config.default_preset == "quality"
    assert third.config.reward_end == second.config.reward_end  # the small one, though paper is the default
    assert third.config.provenance["reward_end"] == second.config.provenance["reward_end"]
    assert third.config.provenance["init"]["world"] == "atari/Breakout"
    assert third.config.provenance["denoiser"]["init"]["updates"] == 1
    forgotten = _train(*judging, "--out", judged)
    assert (forgotten.returncode, "other settings (init)" in forgotten.stderr) == (2, True)


def test_the_judge_learns_from_dreams_of_a_small_denoiser(collected: Path, tmp_path: Path) -> None:
    drawn, judged = tmp_path / "drawn", tmp_path / "judged"
    common = ["world-model", "Breakout", "--data", collected, "--denoiser-size", "small", "--reward-end-size", "small"]
    levels = ["--sampler-share", 1, "--first-share", 0.5, "--balance", "--crop", 32, "--autoregressive-steps", 0]
    _good(*common, *levels, "--components", "denoiser", "--out", drawn, "--updates", 1, "--batch-size", 2)
    denoiser = load_world(drawn).config.denoiser
    assert (denoiser.about_newest, denoiser.sigma_data, denoiser.inner_model.patch_size) == (True, 0.1, 2)
    judging = [*common, "--components", "reward-end", "--updates", 1, "--batch-size", 2, "--transitions", 6]
    dreams = ["--dreamed-share", 0.5, "--out", judged]
    refused = _train(*judging, *dreams)
    assert (refused.returncode, "needs a world to dream in (--init)" in refused.stderr) == (2, True)
    _good(*judging, *dreams, "--init", drawn)
    assert load_world(judged).config.provenance["reward_end"]["training"]["dreamed_share"] == 0.5
    paper = ["--components", "denoiser", "--updates", 1, "--batch-size", 1, "--out", tmp_path / "paper"]
    other = _train("world-model", "Breakout", "--data", collected, *paper, "--init", drawn)
    assert (other.returncode, "is of another --denoiser-size" in other.stderr) == (1, True)


def test_ddpm_is_trained_on_the_same_data_and_kept_apart(collected: Path, tmp_path: Path) -> None:
    size = ["--components", "denoiser", "--batch-size", "1"]
    arguments = ["world-model", "Breakout", "--data", collected, *size, "--updates"]
    _good(*arguments, 1, "--diffusion", "ddpm", "--out", tmp_path / "ddpm")
    world = load_world(tmp_path / "ddpm")
    assert world.config.denoiser.diffusion == "ddpm"
    assert world.config.provenance["denoiser"]["training"]["diffusion"] == "ddpm"
    other = _train(*arguments, 2, "--out", tmp_path / "ddpm")
    assert (other.returncode, "other settings (" in other.stderr, "diffusion" in other.stderr) == (2, True, True)
    init = _train(*arguments, 1, "--out", tmp_path / "edm", "--init", tmp_path / "ddpm")
    assert (init.returncode, "was trained with --diffusion ddpm" in init.stderr) == (1, True)


@pytest.mark.slow
def test_interrupted_training_saves_and_continues(collected: Path, tmp_path: Path) -> None:
    arguments = ["world-model", "Breakout", "--data", str(collected), "--out", str(tmp_path), "--batch-size", "1"]
    arguments += ["--components", "denoiser", "--denoiser-size", "small", "--updates"]
    process = subprocess.Popen([*COMMAND, *arguments, "100000"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any("s an update" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    assert process.stderr.read().endswith("interrupted: progress is saved, run the same command again to continue\n")
    assert process.wait() == 130
    (checkpoint,) = (tmp_path / "denoiser" / "checkpoints").iterdir()
    updates = int(checkpoint.stem.removeprefix("step_"))
    assert f"at step {updates}" in _good(*arguments, str(updates + 1))
    assert load_world(tmp_path).config.provenance["denoiser"]["updates"] == updates + 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["collect", "Breakot", "--out", "OUT", "--steps", "9"], 2, "did you mean Breakout"),
        (["collect", "Breakout", "--out", "OUT", "--steps", "0"], 2, "--steps must be more than 0, not 0"),
        (["collect", "Pong", "--out", "DATA", "--steps", "9"], 2, "is an episode of Breakout, not of Pong"),
        (["collect", "Breakout", "--out", "OUT", "--steps", "9", "--policy", "DATA"], 2, "is no world"),
        (["world-model", "Breakout", "--data", "OUT", "--out", "OUT"], 2, "no such folder of episodes"),
        (["world-model", "Breakout", "--data", "DATA", "--out", "OUT", "--updates", "0"], 2, "--updates must be more"),
        (["world-model", "Breakout", "--data", "DATA", "--out", "OUT", "--components", "eyes"], 2, "unknown component"),
        (["world-model", "Breakout", "--data", "DATA", "--out", "OUT", "--diffusion", "dpm"], 2, "use edm or ddpm"),
        (["atari", "Breakot", "--preset", "quick"], 2, "did you mean Breakout"),
        (
            ["collect", "Breakout", "--out", "OUT", "--steps", "9", "--hold", "0.5"],
            2,
            "--hold must be a number of at least 1",
        ),
        (["atari", "Breakout", "--out", "OUT", "--preset", "slow"], 2, "use paper or quick"),
        (
            ["atari", "Breakout", "--out", "OUT", "--set", "denoiser.batchsize=4"],
            2,
            "did you mean denoiser.batch_size?",
        ),
        (["atari", "Breakout", "--out", "OUT", "--config", "OUT"], 2, "cannot read"),
        (["atari", "Breakout", "--out", "OUT", "--static-data", "OUT"], 2, "no such folder of episodes"),
        (["atari", "Breakout", "--out", "OUT", "--model-free", "--preset", "quick"], 2, "not for --model-free"),
        (["atari", "Breakout", "--out", "OUT", "--model-free", "--size", "huge"], 2, "use paper, small"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], code: int, message: str, episode_folder: Path, tmp_path: Path
) -> None:
    names = {"OUT": str(tmp_path / "out"), "DATA": str(episode_folder)}
    result = _train(*(names.get(argument, argument) for argument in arguments))
    assert result.returncode == code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_init_keeps_what_a_world_tells_and_says_that_its_agent_is_dropped(
    collected: Path, world_folder: Path, tmp_path: Path
) -> None:
    world = load_world(world_folder)
    provenance = {"licence": "MIT", "denoiser": {"updates": 7}, "reward_end": {"updates": 8}, "agent": {"updates": 9}}
    first = tmp_path / "first"
    write_world(first, replace(world, config=replace(world.config, provenance=provenance)))
    lines: list[str] = []
    console = make_console(quiet=True)
    session = Session(tmp_path / "second", 0, Runtime.choose("cpu", "float32", compile=False), console=console)
    config = replace(world.config, actor_critic=None, provenance={})
    data, init = GameEpisodes(collected, atari_game("Breakout")), load_world(first)
    with patch.object(console, "print", lines.append):
        DiamondTraining(config, data, session, init).train(
            [Component("denoiser", DenoiserTrainingConfig(batch_size=1, autoregressive_steps=0), 1)]
        )
    assert any("given as --init, has an agent" in line for line in lines)
    found = load_world(tmp_path / "second").config.provenance
    assert found["init"] == {"world": "atari/Breakout", "licence": "MIT"}
    assert found["reward_end"] == {"updates": 8}
    assert found["denoiser"]["init"] == {"world": "atari/Breakout", "licence": "MIT", "updates": 7}
    judging = RewardEndTrainingConfig(batch_size=2, transitions=3, dreamed_share=1.0)
    DiamondTraining(config, data, session, init).train([Component("reward_end", judging, 1)])
    assert load_world(tmp_path / "second").config.provenance["reward_end"]["init"]["updates"] == 8
