"""``diamond-train world-model --kind iris``: a world of tokens from episodes, continued exactly, and an agent in it."""

from pathlib import Path

import pytest
import torch

from diamond_engine import WorldModelEnv, load_world
from diamond_engine.token_worlds import TokenWorld
from tests.training.trainers import run
from training.algorithm.iris import IRIS_SIZES

TOKENIZER = {"channels": 32, "res_blocks": 1, "latent_channels": 16, "code_size": 16, "vocabulary": 32}
TRANSFORMER = {"vocabulary": 32, "max_blocks": 6, "layers": 2, "heads": 2, "width": 32}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(IRIS_SIZES, "small", (TOKENIZER, TRANSFORMER))


def train(data: Path, out: Path, *options: str | int) -> str:
    common = ["--kind", "iris", "--iris-size", "small", "--batch-size", 2, "--device", "cpu", "--dtype", "float32"]
    code, said = run("world-model", "Breakout", "--data", data, "--out", out, *common, *options)
    assert code == 0, said
    return said


def test_a_world_and_its_agent(episode_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "world"
    said = train(episode_folder, out, "--updates", 2)
    assert "2 updates of 8 frames" in said
    assert "2 updates of 2 segments" in said
    world = load_world(out)
    assert isinstance(world, TokenWorld)
    assert world.contexts is not None
    assert world.config.provenance["transformer"]["data"]["policies"].keys() == {"random"}
    env = WorldModelEnv(world, 2, device="cpu", dtype="float32")
    env.reset(seed=0)
    assert env.step(torch.tensor([0, 1]))[0].shape == (2, 3, 64, 64)
    options = ["--updates", 1, "--num-envs", 2, "--horizon", 2, "--size", "small", "--device", "cpu"]
    for number, more in enumerate(([], ["--data", episode_folder])):
        code, said = run("agent", "Breakout", "--world", out, "--out", tmp_path / f"agent{number}", *options, *more)
        assert code == 0, said
        assert load_world(tmp_path / f"agent{number}").agent("cpu").num_actions == 4


def test_each_component_continues_exactly(episode_folder: Path, tmp_path: Path) -> None:
    straight, halted = tmp_path / "straight", tmp_path / "halted"
    for component in ("tokenizer", "transformer"):
        train(episode_folder, straight, "--components", component, "--updates", 2)
        for updates in (1, 2):
            said = train(episode_folder, halted, "--components", component, "--updates", updates)
        assert "at step 1" in said
        file = f"world/{component}.safetensors"
        assert (straight / file).read_bytes() == (halted / file).read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind", "vae"], "unknown --kind 'vae': use diamond or iris"),
        (["--kind", "iris", "--ema", "0.9"], "--ema is not for --kind iris"),
        (["--iris-size", "small"], "--iris-size is not for --kind diamond"),
        (["--kind", "iris", "--iris-size", "huge"], "unknown --iris-size"),
        (["--kind", "iris", "--components", "transformer"], "train one first"),
        (["--kind", "iris", "--perceptual", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_refusals(episode_folder: Path, tmp_path: Path, options: list[str], words: str) -> None:
    code, said = run("world-model", "Breakout", "--data", episode_folder, "--out", tmp_path, *options)
    assert code == 2, said
    assert words in said
