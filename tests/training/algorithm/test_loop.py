"""Algorithm 1 as a person runs it: from nothing to a world and a score, whatever stops it on the way."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch

from diamond_engine import load_world
from diamond_engine.episodes import EpisodeFolder
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games import ATARI_GAMES, Game, atari_game
from diamond_engine.worlds import paper_config
from tests.conftest import collect_random
from tests.training.trainers import RUNTIME, TINY_ASSIGNMENTS, TWO_EPOCHS, metrics_of, run
from training.algorithm.algorithm1 import Algorithm1Training, algorithm_config
from training.algorithm.config import Updates, UpdatesConfig
from training.algorithm.experience import CollectionConfig
from training.algorithm.presets import PRESETS
from training.data.episodes import GameEpisodes
from training.runs.session import Session

BREAKOUT = atari_game("Breakout")
KILLS = 4
OFTEN = "checkpoint_minutes=0.01"
AT_ONCE = "checkpoint_minutes=1e-9"


def _command(out: Path, *more: str) -> list[str]:
    assignments = [part for assignment in (*TINY_ASSIGNMENTS, *more) for part in ("--set", assignment)]
    device = ["--device", "cpu", "--dtype", "float32"]
    command = [sys.executable, "-m", "training.cli", "atari", "Breakout", "--preset", "quick"]
    return [*command, "--out", str(out), *device, *assignments]


def _start(until: str, out: Path, *more: str) -> "subprocess.Popen[str]":
    """A process that has said something."""
    process = subprocess.Popen(_command(out, *more), stderr=subprocess.PIPE, text=True, env=_environment())
    assert process.stderr is not None
    assert any(until in line for line in process.stderr)
    return process


def _finish(out: Path, *more: str) -> str:
    """To the end, in this process."""
    code, said = run(*_command(out, *more)[3:])
    assert code == 0, said
    return said


def _environment() -> dict[str, str]:
    """That of this process, with as many threads as it has now: sums over another number differ in their last bit."""
    return {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run that nothing stopped."""
    out = tmp_path_factory.mktemp("straight")
    assert "finished: mean score" in _finish(out)
    return out


def test_a_run_leaves_metrics_a_score_and_a_world(straight: Path) -> None:
    final = json.loads((straight / "final.json").read_text())
    assert final.keys() == {"game", "seed", "scores", "mean"}
    assert (final["game"], final["seed"], len(final["scores"])) == ("Breakout", 0, 2)
    assert final["mean"] == np.mean(final["scores"])
    replay = EpisodeFolder(straight / "episodes")
    assert replay.num_steps == 130
    last = metrics_of(straight)[-1]
    assert last["final/score"] == final["mean"]
    world = load_world(straight)
    assert world.reward_end is not None
    assert world.actor_critic is not None
    assert world.contexts is not None
    assert world.config.provenance["preset"] == "quick"


def test_stages_follow_each_other_as_in_algorithm_1(straight: Path) -> None:
    names = {"collect", "denoiser", "reward_end", "actor_critic", "test", "final"}
    stages: list[tuple[float, str]] = []
    for row in metrics_of(straight):
        (stage,) = {name.partition("/")[0] for name in row} & names
        if not stages or stages[-1] != (row["epoch"], stage):
            stages.append((row["epoch"], stage))
    without_collection = [entry for entry in stages if entry[1] != "collect"]  # has rows only where an episode ended
    epoch = ["denoiser", "reward_end", "actor_critic"]
    tested = [*epoch, "test"]
    expected = [(float(i), stage) for i, part in enumerate((epoch, tested, epoch), 1) for stage in part]
    assert without_collection == [*expected, (4.0, "final")]


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(straight: Path, tmp_path: Path) -> None:
    for _ in range(KILLS):
        process = _start("a checkpoint every", tmp_path, OFTEN)
        time.sleep(random.uniform(0, 1))
        process.kill()
        process.wait()
    _finish(tmp_path, OFTEN)
    assert metrics_of(tmp_path) == metrics_of(straight)
    assert (tmp_path / "final.json").read_text() == (straight / "final.json").read_text()
    whole, resumed = EpisodeFolder(straight / "episodes"), EpisodeFolder(tmp_path / "episodes")
    assert len(whole) == len(resumed)
    for i in range(len(whole)):
        assert np.array_equal(whole[i].frames, resumed[i].frames)
        assert np.array_equal(whole[i].actions, resumed[i].actions)
    ours, theirs = load_world(straight), load_world(tmp_path)
    for component in ("denoiser", "reward_end", "actor_critic"):
        weights = getattr(theirs, component).state_dict()
        assert all(torch.equal(weights[name], value) for name, value in getattr(ours, component).state_dict().items())


def test_a_signal_saves_first(tmp_path: Path) -> None:
    process = _start(" a step; the remaining", tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    said = process.stderr.read()
    assert process.wait() == 128 + signal.SIGTERM
    assert said.endswith("interrupted: progress is saved, run the same command again to continue\n")
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    step = int(checkpoint.stem.removeprefix("step_"))
    assert f"after step {step}" in said


def _training(out: Path, *changes: str, data: Path | None = None, budget: float | None = None) -> Algorithm1Training:
    config = algorithm_config(BREAKOUT, "quick", None, [*TINY_ASSIGNMENTS, *changes], static=data is not None)
    return Algorithm1Training(BREAKOUT, "quick", config, Session(out, 0, RUNTIME, budget), data)


def test_a_finished_run_stays_finished(straight: Path) -> None:
    before, episodes = metrics_of(straight), EpisodeFolder(straight / "episodes").lengths.tolist()
    assert "finished: mean score" in _finish(straight)
    assert metrics_of(straight) == before
    assert EpisodeFolder(straight / "episodes").lengths.tolist() == episodes


def test_time_budgets_add_up_to_the_whole(straight: Path, tmp_path: Path) -> None:
    for budget in (0.0, 0.5, None):
        _training(tmp_path, budget=budget).train()
    assert metrics_of(tmp_path) == metrics_of(straight)


def test_static_data_is_learnt_from_and_not_added_to(episode_folder: Path, tmp_path: Path) -> None:
    before = sorted(episode_folder.iterdir())
    _training(tmp_path, *TWO_EPOCHS, data=episode_folder).train()
    assert sorted(episode_folder.iterdir()) == before
    assert not (tmp_path / "episodes").exists()
    assert not any(name.startswith("collect/") for row in metrics_of(tmp_path) for name in row)
    assert load_world(tmp_path).config.provenance["data"] == GameEpisodes(episode_folder, BREAKOUT).facts()


def test_a_loss_that_is_not_finite_names_step_and_checkpoint(tmp_path: Path) -> None:
    exploding = ["denoiser.optimiser.learning_rate=1e30", "denoiser.optimiser.warmup_steps=0"]
    with pytest.raises(DiamondError, match=r"denoiser/\w+ is (nan|inf) at update \d+ of denoiser: .*step_\d+\.pt"):
        _training(tmp_path, *exploding, AT_ONCE).train()
    assert not (tmp_path / "final.json").exists()


def test_a_lost_episode_is_named(straight: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    copytree(straight, copy)
    (copy / "episodes" / "episode_000000.h5").unlink()
    code, said = run(*_command(copy)[3:])
    assert code == 1
    assert said.splitlines()[-1].startswith("error: ")
    assert "episodes of its run: put them back" in said


def test_episodes_of_no_run_are_left_alone(tmp_path: Path) -> None:
    collect_random(tmp_path / "episodes", 40)
    before = sorted((tmp_path / "episodes").iterdir())
    with pytest.raises(UsageError, match=r"holds episodes of no run: give them as --static-data"):
        _training(tmp_path).train()
    assert sorted((tmp_path / "episodes").iterdir()) == before


@pytest.mark.parametrize("of", [min, max], ids=["fewest", "most"])
def test_every_preset_fits_games_of_few_and_of_many_actions(of: Callable[..., Game]) -> None:
    game = of(ATARI_GAMES.values(), key=lambda game: len(game.actions))
    for name in PRESETS:
        config = algorithm_config(game, name, None, [], static=False)
        assert config.networks.actor_critic.num_actions == len(game.actions)


def test_the_paper_is_the_default() -> None:
    config = PRESETS["paper"].configure(BREAKOUT)
    world = paper_config(BREAKOUT)
    assert (config.networks.denoiser, config.networks.reward_end) == (world.denoiser, world.reward_end)
    assert config.networks.actor_critic == world.actor_critic
    assert config.collection == CollectionConfig(100_000, 5_000, 10_000, 10, 100, 0.01)
    assert config.updates == UpdatesConfig(Updates(10_000, 400), Updates(10_000, 400), Updates(5_000, 400))
    assert [config.denoiser.batch_size, config.reward_end.batch_size, config.imagination.batch_size] == [32, 32, 32]
    assert (config.actor_critic.horizon, config.final_epochs, config.test.final_games) == (15, 50, 100)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("collection.per_epoch=0", r"collection\.per_epoch must be more than 0"),
        ("collection.epsilon=2", "between 0 and 1"),
        ("denoiser.optimiser.learning_rate=-1", "must be more than 0, not -1"),
        ("actor_critic.kickstart_updates=5", "is for --model-free"),
        ("networks.denoiser.inner_model.channels=[8,8]", "as many values per level"),
        ("networks.denoiser.inner_model.channels=[32,48,64,64]", r"denoiser\.inner_model cannot be built \(.*group"),
        ("networks.denoiser.inner_model.cond_channels=30", "a multiple of num_steps_conditioning"),
        ("networks.reward_end.channels=[8,16,32,100]", r"networks\.reward_end cannot be built"),
        ("networks.actor_critic.channels=[8,16,100,32]", r"networks\.actor_critic cannot be built"),
        ("networks.denoiser.diffusion=ddpm", "must be the same"),
        ("networks.actor_critic.num_actions=18", "num_actions must be 4 for Breakout, not 18"),
    ],
)
def test_settings_that_make_no_sense_are_refused(assignment: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        algorithm_config(BREAKOUT, "paper", None, [assignment], static=False)
