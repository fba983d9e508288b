"""Worlds by name, folder and checkpoint, and one clear line where something does not fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diamond_engine import WorldModelEnv, load_agent, load_world
from diamond_engine.checkpoints import PUBLISHED_COMPONENTS
from diamond_engine.contexts import StartContexts, collect_contexts, write_contexts
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games import atari_game
from diamond_engine.loading import read_published_world
from diamond_engine.world_model import World
from diamond_engine.worlds import paper_config, write_world
from tests.conftest import tiny_world
from tests.diamond_engine.published import published_shapes, write_published
from tests.weights.hub_server import LocalHub, run_python

PLAY_FROM_HUB = """
import json, torch
from diamond_engine import WorldModelEnv, load_agent, load_world
world = load_world("atari/Breakout", weights="hub")
env = WorldModelEnv(world, num_envs=1, device="cpu", dtype="float32", preset="fast")
obs, _ = env.reset()
agent = load_agent("atari/Breakout", weights="hub", device="cpu", dtype="float32")
obs, *_ = env.step(agent.act(obs))
parameters = sum(p.numel() for n in (world.denoiser, world.reward_end, world.actor_critic) for p in n.parameters())
print(json.dumps({"obs": list(obs.shape), "contexts": list(world.contexts.frames.shape), "parameters": parameters}))
"""


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full-size published Breakout checkpoint with random weights, in a folder laid out as the hub's repository."""
    path = tmp_path_factory.mktemp("hub") / "atari_100k" / "models" / "Breakout.pt"
    write_published(path)
    return path


@pytest.fixture
def copy(world_folder: Path, tmp_path: Path) -> Path:
    """The tiny world, to be spoilt."""
    return Path(shutil.copytree(world_folder, tmp_path / "copy"))


def same_weights(a: World, b: World) -> bool:
    return all(
        torch.equal(x, y)
        for component in ("denoiser", "reward_end", "actor_critic")
        for x, y in zip(getattr(a, component).parameters(), getattr(b, component).parameters(), strict=True)
    )


def test_our_architecture_has_the_published_keys_and_shapes() -> None:
    names = {component: prefix for prefix, component in PUBLISHED_COMPONENTS.items()}
    shapes = published_shapes()
    states = {
        component: {
            key.removeprefix(f"{prefix}."): torch.zeros(shape)
            for key, shape in shapes.items()
            if key.startswith(f"{prefix}.")
        }
        for component, prefix in names.items()
    }
    world = paper_config(atari_game("Breakout")).build(states, "the published shapes", None)
    ours = {
        f"{names[component]}.{key}": list(value.shape)
        for component in ("denoiser", "reward_end", "actor_critic")
        for key, value in getattr(world, component).state_dict().items()
    }
    assert ours == shapes


@pytest.mark.slow
def test_a_published_checkpoint_is_downloaded_loaded_and_played(published: Path, tmp_path: Path) -> None:
    with LocalHub(published.parents[2]) as hub:
        online = run_python(PLAY_FROM_HUB, tmp_path, HF_ENDPOINT=hub.endpoint)
        offline = run_python(PLAY_FROM_HUB, tmp_path, HF_HUB_OFFLINE="1")
    played = json.loads(online.stdout)
    assert played["obs"] == [1, 3, 64, 64]
    assert played["contexts"] == [32, 4, 64, 64, 3]
    fourier_features = 128
    assert played["parameters"] + fourier_features == sum(np.prod(shape) for shape in published_shapes().values())
    assert json.loads(offline.stdout) == played
    assert hub.downloads == ["atari_100k/models/Breakout.pt"]


def test_a_checkpoint_of_a_game_with_other_actions(published: Path) -> None:
    for load in (load_world, load_agent):
        with pytest.raises(DiamondError, match="trained for a game of 4 actions, Pong has 6"):
            load("atari/Pong", weights=published)


def test_a_checkpoint_without_a_component(published: Path, tmp_path: Path) -> None:
    state = torch.load(published, weights_only=True)
    path = tmp_path / "partial.pt"
    torch.save({key: value for key, value in state.items() if not key.startswith("denoiser.")}, path)
    with pytest.raises(DiamondError, match=r"partial\.pt has no denoiser"):
        load_world("atari/Breakout", weights=path)


def test_a_denoiser_alone_is_a_world_that_judges_nothing(published: Path, tmp_path: Path) -> None:
    state = torch.load(published, weights_only=True)
    path = tmp_path / "alone.pt"
    torch.save({f"module.{key}": value for key, value in state.items() if key.startswith("denoiser.")}, path)
    said: list[str] = []
    world = load_world("atari/Breakout", weights=path, notice=said.append)
    assert (world.reward_end, world.actor_critic) == (None, None)
    assert (world.config.reward_end, world.config.actor_critic) == (None, None)
    assert said == [f"{path} has no reward/end model: its dreams have neither rewards nor ends"]
    with pytest.raises(DiamondError, match="has no agent"):
        load_agent("atari/Breakout", weights=path)


def test_a_checkpoint_of_another_architecture(tmp_path: Path) -> None:
    path = tmp_path / "tiny.pt"
    torch.save({f"denoiser.{key}": value for key, value in tiny_world().denoiser.state_dict().items()}, path)
    with pytest.raises(DiamondError, match=r"denoiser of .*tiny\.pt is for another architecture"):
        read_published_world(path, atari_game("Breakout"))


def test_a_world_folder_comes_back_as_written(world_folder: Path) -> None:
    written, read = tiny_world(), load_world(world_folder)
    assert read.config == written.config
    assert same_weights(read, written)
    assert read.contexts is not None
    assert written.contexts is not None
    assert np.array_equal(read.contexts.frames, written.contexts.frames)


def test_a_training_run_and_weights_for_a_name(world_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(world_folder, tmp_path / "run" / "world")
    by_run = load_world(str(tmp_path / "run"))
    by_name = load_world("atari/breakout", weights=world_folder)
    assert same_weights(by_run, by_name)
    obs, _ = WorldModelEnv(by_run, num_envs=2, device="cpu").reset()
    actions = [load_agent(tmp_path / "run", device="cpu", seed=5).act(obs).tolist() for _ in range(2)]
    assert actions[0] == actions[1]


def test_an_agent_needs_only_its_own_weights(copy: Path) -> None:
    (copy / "denoiser.safetensors").unlink()
    assert load_agent(copy, device="cpu").num_actions == 4
    with pytest.raises(DiamondError, match=r"missing weights: .*denoiser\.safetensors"):
        load_world(copy)


def test_a_world_without_reward_model_and_agent(tmp_path: Path) -> None:
    world = tiny_world()
    config = replace(world.config, reward_end=None, actor_critic=None)
    write_world(tmp_path, replace(world, config=config, reward_end=None, actor_critic=None))
    read = load_world(tmp_path)
    assert read.reward_end is None
    assert read.actor_critic is None
    with pytest.raises(DiamondError, match="atari/Breakout has no agent"):
        load_agent(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("atari/Breakuot", "did you mean Breakout"),
        ("Breakout", "give a name such as 'atari/Breakout'"),
        ("no/such/folder", "no world 'no/such/folder'"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    for load in (load_world, load_agent):
        with pytest.raises(UsageError, match=message):
            load(name)


def test_paths_that_are_no_world(world_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DiamondError, match="is no world"):
        load_world(tmp_path)
    with pytest.raises(DiamondError, match="is no world"):
        load_world("atari/Breakout", weights=tmp_path)
    with pytest.raises(DiamondError, match="no such checkpoint"):
        load_world("atari/Breakout", weights=tmp_path / "absent.pt")
    with pytest.raises(UsageError, match="is a file"):
        load_world(world_folder / "world.yaml")
    with pytest.raises(UsageError, match="weights go with the name of a world"):
        load_world(world_folder, weights="hub")


def test_a_world_of_another_game(world_folder: Path) -> None:
    for load in (load_world, load_agent):
        with pytest.raises(DiamondError, match="is a world of Breakout, not of Pong"):
            load("atari/Pong", weights=world_folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format: 1", "format: 7", "world of format 7"),
        ("game: Breakout", "game: Pong", "4 actions, Pong has 6"),
        (
            "game: Breakout",
            "gaem: Breakout",
            "not a valid DiffusionWorldConfig: Key 'gaem' not in 'DiffusionWorldConfig'",
        ),
        ("frame_rate: 15.0", "frame_rate: fast", "not a valid DiffusionWorldConfig: Value 'fast'"),
        ("name: atari/Breakout", "name: [", "not a valid DiffusionWorldConfig"),
        ("cond_channels: 16", "cond_channels: 32", "denoiser of .* is for another architecture"),
        ("frame_height: 64", "frame_height: 72", "a network for frames of 64, they are 72x64"),
    ],
)
def test_a_spoilt_configuration(copy: Path, old: str, new: str, message: str) -> None:
    config = copy / "world.yaml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    with pytest.raises(DiamondError, match=message) as error:
        load_world(copy)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "- a list", "a: {", "\0"])
def test_a_configuration_that_is_none(copy: Path, content: str) -> None:
    (copy / "world.yaml").write_text(content)
    with pytest.raises(DiamondError, match=r"world\.yaml is not a valid DiffusionWorldConfig: .+"):
        load_world(copy)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cond_channels: 16", "cond_channels: 99999999999", "denoiser.inner_model.cond_channels must lie from 1 to"),
        ("cond_channels: 16", "cond_channels: 16384", "denoiser of .* is for another architecture"),
        ("cond_channels: 16", "cond_channels: 0", "cond_channels must lie from 1 to 16384, not 0"),
        ("    depths:\n    - 1\n", "    depths:\n    - 1000000\n", "depths must lie from 1 to 64, not 1000000"),
        ("    channels:\n    - 8\n", "    channels:\n    - 7\n", "denoiser"),
        ("    attn_depths:\n    - false\n", "    attn_depths:\n", "describes a denoiser that cannot be built"),
        ("sigma_data: 0.5", "sigma_data: .nan", "denoiser.sigma_data must be a finite number"),
        ("sigma_data: 0.5", "sigma_data: 0.0", "denoiser.sigma_data must be more than 0"),
        ("frame_rate: 15.0", "frame_rate: 0.0", "frame_rate must be more than 0"),
        ("sigma_max: 5.0", "sigma_max: 0.001", "from less noise to more"),
        ("order: 1", "order: 3", "order must lie from 1 to 2, not 3"),
        ("num_steps_denoising: 3", "num_steps_denoising: 1000000", "must lie from 1 to 1000"),
        ("img_channels: 3", "img_channels: 12", "images of 12 channels, frames have 3"),
        ("patch_size: 1", "patch_size: 3", "patches of 3 do not divide 64 x 64"),
        ("provenance: {}", "provenance: {a: &a [1], b: [*a, *a]}", "it has aliases"),
    ],
)
def test_a_configuration_of_absurd_numbers(copy: Path, old: str, new: str, message: str) -> None:
    config = copy / "world.yaml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, 1))
    with pytest.raises(DiamondError, match=message) as error:
        load_world(copy)
    assert str(error.value).count("\n") == 0


def test_start_contexts_with_damaged_compressed_bytes(copy: Path) -> None:
    """``zlib.error`` is no error of zip files."""
    path = copy / "contexts.npz"
    good = path.read_bytes()
    for place in range(100, 400, 20):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        with pytest.raises(DiamondError, match="start contexts"):
            load_world(copy)


def test_start_contexts_of_the_former_name(copy: Path) -> None:
    (copy / "contexts.npz").rename(copy / "spawns.npz")
    read, expected = load_world(copy).contexts, tiny_world().contexts
    assert read is not None
    assert expected is not None
    assert np.array_equal(read.frames, expected.frames)


def test_spoilt_start_contexts(copy: Path) -> None:
    path = copy / "contexts.npz"
    contexts = tiny_world().contexts
    assert contexts is not None
    write_contexts(path, replace(contexts, actions=contexts.actions + 4))
    with pytest.raises(DiamondError, match="actions below 4"):
        load_world(copy)
    write_contexts(path, StartContexts(contexts.frames[:0], contexts.actions[:0]))
    with pytest.raises(DiamondError, match="does not fit its world"):
        load_world(copy)
    write_contexts(path, replace(contexts, actions=contexts.actions[:, :1]))
    with pytest.raises(DiamondError, match="no valid start contexts"):
        load_world(copy)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DiamondError, match="truncated or damaged"):
        load_world(copy)


def test_collected_contexts_are_real_varied_and_repeatable() -> None:
    game = atari_game("Breakout")
    first, again, other = (collect_contexts(game, 4, count=8, seed=seed) for seed in (1, 1, 2))
    assert first.frames.shape == (8, 4, 64, 64, 3)
    assert first.actions.shape == (8, 3)
    assert np.array_equal(first.frames, again.frames)
    assert np.array_equal(first.actions, again.actions)
    assert not np.array_equal(first.frames, other.frames)
    assert len({frames.tobytes() for frames in first.frames}) == 8
