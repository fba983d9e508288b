"""A world of IRIS is a world like any other: it is filed, loaded, dreamed in, and refused where it does not fit."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from diamond_engine import WorldModelEnv, load_world
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games import atari_game
from diamond_engine.gym import DreamVectorEnv
from diamond_engine.loading import read_published_world
from diamond_engine.runtime import Runtime, TokenStep
from diamond_engine.token_worlds import TokenPreset, TokenWorld, TokenWorldConfig
from diamond_engine.worlds import DiffusionPreset, write_world
from tests.conftest import tiny_token_world
from tests.diamond_engine.published import SHAPES

CPU = {"device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def world() -> TokenWorld:
    return tiny_token_world()


def likeliest(logits: Tensor) -> Tensor:
    return logits.argmax(dim=1)


def step_of(world: TokenWorld) -> TokenStep:
    return TokenStep(world.tokenizer, world.transformer, likeliest, lambda stage, frame: None)


def test_a_folder_gives_the_world_back(world: TokenWorld, token_world_folder: Path) -> None:
    names = {"tokenizer.safetensors", "transformer.safetensors", "contexts.npz", "world.yaml"}
    assert {path.name for path in token_world_folder.iterdir()} == names
    read = load_world(token_world_folder)
    assert isinstance(read, TokenWorld)
    assert read.config == world.config
    for name, network in world.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(read.networks[name].state_dict()[key], value)


def test_dreams_are_batched_repeatable_and_end(world: TokenWorld) -> None:
    env = WorldModelEnv(world, 3, horizon=8, **CPU)
    obs, info = env.reset(seed=1)
    assert (obs.shape, info["context"].shape) == ((3, 3, 64, 64), (3, 3, 3, 64, 64))
    first = [env.step(torch.tensor([0, 1, 2])) for _ in range(9)]  # past the end of the cache
    rewards = torch.stack([step[1] for step in first])
    assert rewards.min() >= -1
    assert rewards.max() <= 1
    assert sum(int(step[2].sum() + step[3].sum()) for step in first) >= 3
    env.reset(seed=1)
    for obs, *results, _ in first:
        again = env.step(torch.tensor([0, 1, 2]))
        assert torch.equal(again[0], obs)
        assert all(torch.equal(one, other) for one, other in zip(again[1:4], results, strict=True))
    assert obs.abs().max() <= 1


@torch.no_grad()
def test_a_dream_that_starts_anew_beside_others_changes_none(world: TokenWorld) -> None:
    assert world.contexts is not None
    step, actions = step_of(world), torch.tensor([1, 2])
    beside = step.begin(world.contexts.take(np.array([0, 1])))
    alone = step.begin(world.contexts.take(np.array([0])))
    for memory in (beside, alone):
        memory.actions[:, -1] = actions[: len(memory.actions)]
        step.draw(memory)
    anew = step.begin(world.contexts.take(np.array([2])))
    beside.begin(torch.tensor([False, True]), step.begin(world.contexts.take(np.array([2]))))
    assert len(set(beside.cache.sizes.tolist())) == 2
    for _ in range(5):  # the older dream forgets all but its newest frame before the other does
        for memory, given in ((beside, actions), (alone, actions[:1]), (anew, actions[1:])):
            memory.actions[:, -1] = given
            step.draw(memory)
        assert torch.equal(beside.tokens, torch.cat((alone.tokens, anew.tokens)))
        torch.testing.assert_close(beside.shown, torch.cat((alone.shown, anew.shown)))


def test_a_saved_dream_and_its_copy_go_on_alike(world: TokenWorld) -> None:
    """Past the end of the transformer's memory, whose keys and values are part of the state."""
    env, actions = WorldModelEnv(world, 3, seed=0, **CPU), torch.tensor([1, 2, 3])
    env.reset()
    env.step(actions)
    state, copy = env.save_state(), deepcopy(env)
    steps = 2 * world.config.transformer.max_blocks
    first, copied = (torch.stack([one.step(actions)[0] for _ in range(steps)]) for one in (env, copy))
    env.restore_state(state)
    again = torch.stack([env.step(actions)[0] for _ in range(steps)])
    assert torch.equal(first, copied)
    assert torch.equal(first, again)


def test_nothing_is_judged_where_nobody_asks(world: TokenWorld) -> None:
    env = WorldModelEnv(world.unjudged(), 2, **CPU)
    env.reset(seed=0)
    for _ in range(3):
        _, rewards, ends, *_ = env.step(torch.tensor([0, 1]))
        assert not rewards.any()
        assert not ends.any()


def test_gymnasium(world: TokenWorld) -> None:
    envs = DreamVectorEnv(world, 2, **CPU)
    frames, _ = envs.reset(seed=0)
    assert frames.shape == (2, 64, 64, 3)
    assert envs.step(np.array([0, 3]))[0].dtype == np.uint8


def test_a_published_checkpoint_dreams(tmp_path: Path, world: TokenWorld) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = json.loads(SHAPES.with_name("checkpoint_iris_breakout.json").read_text())
    torch.save(
        {key: 0.02 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}, tmp_path / "i.pt"
    )
    published = read_published_world(tmp_path / "i.pt", atari_game("Breakout"), world.contexts)
    env = WorldModelEnv(published, 1, **CPU)
    env.reset(seed=0)
    assert env.step(torch.tensor([1]))[0].isfinite().all()
    with pytest.raises(DiamondError, match="game of 4 actions, Pong has 6"):
        read_published_world(tmp_path / "i.pt", atari_game("Pong"))


def test_presets(world: TokenWorld) -> None:
    assert world.config.network_calls(TokenPreset()) == 17
    with pytest.raises(UsageError, match="no denoising steps"):
        world.config.preset(None).with_steps(3)
    with pytest.raises(UsageError, match="a sampler of diffusion does not draw"):
        WorldModelEnv(world, 1, preset=DiffusionPreset(), **CPU)
    cold = WorldModelEnv(world, 2, preset=TokenPreset(temperature=1e-4), **CPU)
    frames = [[cold.reset(seed, {"context": 0})[0], cold.step(torch.tensor([1, 1]))[0]][1] for seed in (1, 2)]
    assert torch.equal(frames[0], frames[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: replace(c, context_frames=7), "contexts of 7 frames, the transformer sees 6"),
        (lambda c: replace(c, transformer=replace(c.transformer, vocabulary=31)), "for other tokens"),
        (lambda c: replace(c, transformer=replace(c.transformer, num_actions=3)), "3 actions, Breakout has 4"),
        (lambda c: replace(c, default_preset="slow"), "no preset slow"),
        (lambda c: replace(c, presets={"quality": TokenPreset(0.0)}), "temperature is more than 0"),
        (lambda c: replace(c, kind="vq"), "kind 'vq': this version knows diamond and iris"),
    ],
)
def test_worlds_that_cannot_be(
    world: TokenWorld, tmp_path: Path, change: Callable[[TokenWorldConfig], TokenWorldConfig], message: str
) -> None:
    write_world(tmp_path, replace(world, config=change(world.config)))
    with pytest.raises(DiamondError, match=message):
        load_world(tmp_path)


@torch.no_grad()
def test_bfloat16_draws_nearly_the_same(world: TokenWorld) -> None:
    assert world.contexts is not None
    runtime = Runtime.choose("cpu", "bfloat16", compile=False)
    tokenizer, transformer = runtime.for_inference(world.tokenizer), runtime.for_inference(world.transformer)
    low = TokenStep(tokenizer, transformer, likeliest, lambda stage, frame: None)
    start = world.contexts.take(np.array([0, 1, 2, 3]))
    tokens, exact = low.begin(start).tokens, step_of(world).begin(start).tokens
    assert (tokens == exact).float().mean() > 0.9
