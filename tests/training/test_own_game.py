"""One's own game from collecting to playing: the commands of ``docs/own-game.md``, smaller, and what else may be."""

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from diamond_engine import load_agent, load_world
from diamond_engine.command_line import run_app
from diamond_engine.emulators import open_emulator
from diamond_engine.episodes import EpisodeFolder
from diamond_engine.errors import DiamondError
from diamond_engine.games import game_named
from diamond_engine.world_model import World
from play.commands import app as play_app
from tests.diamond_engine.games.environments import MODULE as ENVIRONMENTS
from tests.training.trainers import TINY_ASSIGNMENTS, TWO_EPOCHS, run
from training.evaluation import right_way
from training.evaluation.cli import app as evaluation_app
from training.evaluation.dreams import Dreaming
from training.evaluation.right_way import Place, judged, measure_right_way, nearest

PAGE = (Path(__file__).parents[2] / "docs" / "own-game.md").read_text(encoding="utf-8")
SMALLER = {
    "--steps 4000": "--steps 320",
    "--updates 400 --batch-size 8": "--updates 1 --batch-size 2",
    "--contexts 8": "--contexts 1",
    "--updates 40": "--updates 1 --num-envs 2 --horizon 2",
    "--weights agent": "--headless --frames 3 --no-compile --weights agent",
}
SHORT = [word for setting in (*TINY_ASSIGNMENTS, *TWO_EPOCHS) for word in ("--set", setting)]
GAME = "walker:Walker-v0"
SWITCHES = f"{ENVIRONMENTS}:Switches-v0"


def commands() -> list[list[str]]:
    """Of the worked example, with less to do."""
    (block,) = [block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "walker" in block]
    for much, little in SMALLER.items():
        assert block.count(much) == 1, much
        block = block.replace(much, little)
    return [shlex.split(line) for line in block.splitlines()]


def perform(*words: str) -> None:
    """A command of any of the programs, in this process."""
    if words[0] == "diamond-train":
        code, said = run(*words[1:])
        assert code == 0, said
        return
    with patch.object(sys, "argv", list(words)):
        assert run_app(play_app if words[0] == "diamond-play" else evaluation_app, words[0]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the page's commands were run, the game's file beside what they left."""
    folder, before, path = tmp_path_factory.mktemp("walker"), Path.cwd(), [*sys.path]
    (game,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (folder / "walker.py").write_text(game, encoding="utf-8")
    os.chdir(folder)
    try:
        with patch.dict(os.environ):
            os.environ.pop("DISPLAY", None)
            os.environ.pop("WAYLAND_DISPLAY", None)
            for words in commands():
                perform(*words)
        yield folder
    finally:
        os.chdir(before)
        sys.path[:] = path


@pytest.fixture(scope="module")
def world(folder: Path) -> World:
    return load_world(folder / "agent")


def test_the_worked_example_goes_all_the_way(folder: Path, world: World) -> None:
    assert EpisodeFolder(folder / "data").num_steps >= 320
    assert (world.game.name, world.config.frame_rate) == (f"gym:{GAME}", 10.0)
    assert world.game.actions == ("stay", "up", "down", "left", "right")
    assert world.actor_critic is not None
    assert world.reward_end is not None
    report = json.loads((folder / "response.json").read_text())
    assert 0 <= report["right_way_4"] <= 1
    assert report["left_dreams_4"] <= 1
    assert [*folder.glob("diamond-*.mp4")] == [], "headless play leaves a video only where it is asked for"


def test_its_world_knows_the_game_without_it(folder: Path, world: World) -> None:
    text = (folder / "agent" / "world" / "world.yaml").read_text()
    assert "game: gym:walker:Walker-v0" in text
    assert "  left: LEFT" in text
    assert world.game == game_named(GAME)
    agent = load_agent(folder / "agent", device="cpu")
    assert agent.act(torch.zeros(2, 3, 64, 64)).shape == (2,)


def test_the_trained_agent_collects(folder: Path) -> None:
    perform(*f"diamond-train collect {GAME} --out more --steps 20 --num-envs 2 --policy agent".split())
    assert str(EpisodeFolder(folder / "more")[0].attributes["policy"]).startswith("agent after 1 updates")


def test_a_function_of_ones_own_collects(folder: Path) -> None:
    (folder / "mine.py").write_text(
        "def down(frame):\n    assert frame.shape == (64, 64, 3)\n    return 'down'\n"
        "def second(frame):\n    return 1\ndef wrong(frame):\n    return 'jump'\n"
    )
    for name, action in (("down", 2), ("second", 1)):
        perform(*f"diamond-train collect {GAME} --out {name} --steps 10 --num-envs 2 --policy mine:{name}".split())
        episode = EpisodeFolder(folder / name)[0]
        assert (episode.actions == action).all()
        assert episode.attributes["policy"] == f"mine:{name}"
    for name, code, words in (("wrong", 1, "stay, up, down"), ("none", 2, "no function 'none'")):
        exited, said = run("collect", GAME, "--out", "no", "--steps", 10, "--policy", f"mine:{name}")
        assert (exited, words in said) == (code, True), said


@pytest.mark.slow
def test_it_is_compared_with_the_game(folder: Path) -> None:
    shared = "--weights agent --preset fast --num-envs 2 --device cpu"
    perform(*f"diamond-eval fidelity {GAME} {shared} --episodes 1 --report fidelity.json".split())
    assert json.loads((folder / "fidelity.json").read_text())["n_1"] >= 1
    little = "--steps 8 --contexts 1"
    perform(*f"diamond-eval play {GAME} {shared} {little} --report play.json".split())
    assert any("steps" in name for name in json.loads((folder / "play.json").read_text()))
    perform(*f"diamond-eval agent {GAME} --weights agent --episodes 1 --max-steps 3 --report scores.json".split())
    scores = json.loads((folder / "scores.json").read_text())
    assert "score_mean" in scores
    assert "human_score" not in scores


def test_algorithm_1_takes_any_game_and_size(folder: Path) -> None:
    perform(
        "diamond-train", "algorithm1", SWITCHES, "--preset", "quick", "--out", "whole", "--frame-size", "32", *SHORT
    )
    world = load_world(folder / "whole")
    assert (world.config.frame_height, world.game.actions) == (32, ("nothing", "2", "1", "1+2"))
    assert world.game.action(["1"]) == 2
    played = f"diamond-play {SWITCHES} --weights whole --headless --frames 2 --no-compile --real"
    perform(*played.split())


@pytest.mark.slow
def test_algorithm_1_takes_an_atari_game_beyond_the_26(folder: Path) -> None:
    perform("diamond-train", "atari", "ALE/SpaceInvaders-v5", "--preset", "quick", "--out", "invaders", *SHORT)
    world = load_world(folder / "invaders")
    assert (world.config.name, world.config.game) == ("atari/SpaceInvaders", "SpaceInvaders")
    assert "controls" not in (folder / "invaders" / "world" / "world.yaml").read_text()
    shown = "diamond-play atari/SpaceInvaders --weights invaders --headless --frames 2 --no-compile"
    perform(*shown.split())


@pytest.mark.parametrize(
    ("game", "actions"),
    [("gym:CartPole-v1", ("0", "1")), ("gym:MiniGrid-Empty-8x8-v0", ("left", "right", "forward", "pickup"))],
    ids=["CartPole", "MiniGrid"],
)
def test_a_packages_game_goes_all_the_way(game: str, actions: tuple[str, ...], tmp_path: Path) -> None:
    data, run_folder, agent = (str(tmp_path / name) for name in ("data", "run", "agent"))
    for command in (
        f"diamond-train collect {game} --out {data} --steps 40 --num-envs 2 --size 32",
        f"diamond-train world-model {game} --data {data} --out {run_folder} --denoiser-size small "
        "--reward-end-size small --updates 1 --batch-size 2",
        f"diamond-train agent {game} --world {run_folder} --out {agent} --size small --preset fast --updates 1 "
        "--num-envs 2 --horizon 2",
        f"diamond-play {game} --weights {agent} --headless --frames 2 --no-compile",
    ):
        perform(*shlex.split(command))
    world = load_world(agent)
    assert (world.game.name, world.game.actions[:4], world.config.frame_height) == (game, actions, 32)
    assert world.actor_critic is not None


def test_data_of_another_size_is_not_mixed(folder: Path) -> None:
    perform(*f"diamond-train collect {SWITCHES} --out small --steps 10 --num-envs 1 --size 32".split())
    perform(*f"diamond-train collect {SWITCHES} --out small --steps 20 --num-envs 1".split())
    assert {EpisodeFolder(folder / "small")[i].final_frame.shape for i in range(2)} == {(32, 32, 3)}
    code, said = run("collect", SWITCHES, "--out", "small", "--steps", 30, "--size", 64)
    assert (code, "holds frames of 32x32" in said) == (2, True), said


def test_a_world_of_another_game_is_refused(folder: Path) -> None:
    for arguments in (("agent", SWITCHES, "--world", "agent", "--out", "no"), ("collect", "Pong", "--policy", "agent")):
        code, said = run(*arguments, *(("--steps", 10, "--out", "no") if arguments[0] == "collect" else ()))
        assert (code, "was trained for gym:walker:Walker-v0" in said) == (2, True), said


def test_right_way_of_a_perfect_and_of_a_deaf_dream(world: World) -> None:
    emulator = open_emulator(world.game, seed=0)
    emulator.close()
    rng = np.random.default_rng(0)
    led_to = rng.integers(256, size=(3, 4, 8, 8, 3), dtype=np.uint8)
    led_to[1] = led_to[0]
    place = Place(led_to[0], np.zeros(3, dtype=np.int64), led_to)
    perfect = judged(("a", "b", "c"), [place], [led_to])
    assert perfect.overall == {1: 1.0, 4: 1.0}
    assert perfect.chance == {1: 0.5, 4: 0.5}, "two actions lead to the same"
    deaf = judged(("a", "b", "c"), [place], [np.broadcast_to(led_to[2], led_to.shape)])
    assert [action.right[4] for action in deaf.actions] == [0.0, 0.0, 1.0]
    assert np.isnan(nearest(led_to[:2, 0], led_to[:2, 0])[0]).all(), "nothing to tell apart"


def test_right_way_plays_the_same_game_for_every_action(world: World) -> None:
    how = Dreaming(world.config.preset("fast"), seed=2, num_envs=2, device="cpu", dtype="float32")
    first, again = (measure_right_way(world, how, 1) for _ in range(2))
    assert (first.first.led_to == again.first.led_to).all()
    assert first.first.led_to.shape == (5, 4, 64, 64, 3)
    assert (first.first.frames[-1] == first.first.led_to[0, 0]).mean() > 0.9, "the first action stays"
    assert first.overall == again.overall


def test_right_way_waits_until_a_game_listens(world: World) -> None:
    how = Dreaming(world.config.preset("fast"), seed=0, num_envs=2, device="cpu", dtype="float32")
    asleep, deaf = (
        replace(world, config=replace(world.config, game=f"gym:{ENVIRONMENTS}:{name}-v0"))
        for name in ("Asleep", "Deaf")
    )
    result = measure_right_way(asleep, how, 1)
    assert result.first.listens
    assert [action.dreams[4] for action in result.actions] == [1] * 5
    with (
        patch.object(right_way, "ATTEMPTS", 5),
        pytest.raises(DiamondError, match="do not depend on any action in the first 384 steps"),
    ):
        measure_right_way(deaf, how, 1)
