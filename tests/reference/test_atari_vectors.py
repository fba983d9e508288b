"""Every group of the Atari reference vectors: networks, preconditioning, sampler, losses, returns."""

import pytest
import torch

from diamond_engine.checkpoints import load_strictly
from diamond_engine.diffusion import SamplerConfig, Segment, SigmaDistribution, denoiser_loss, sample
from diamond_engine.diffusion.denoiser import Denoiser
from diamond_engine.networks import ActorCritic, ActorCriticConfig, RewardEndModel, RewardEndModelConfig
from diamond_engine.networks.reward_end import RewardEndBatch, reward_end_loss
from diamond_engine.reinforcement import ActorCriticLossConfig, actor_critic_loss, lambda_returns
from tests.reference.vectors import (
    RecordedNoise,
    Vectors,
    assert_close,
    assert_gradient_close,
    assert_same_frames,
    tuples,
)

VECTORS = Vectors("atari")
SAMPLES = sorted(g for g in VECTORS.groups if g.startswith("atari_sample_"))
RETURNS = sorted(g for g in VECTORS.groups if g.startswith("lambda_returns_"))
COVERED = {
    "atari_precond",
    "atari_inner",
    "atari_denoise",
    "atari_loss",
    "atari_sample",
    "rew_end",
    "rew_end_loss",
    "actor_critic",
    "policy_loss",
    *SAMPLES,
    *RETURNS,
}


@pytest.fixture
def denoiser() -> Denoiser:
    return VECTORS.denoiser("denoiser", "atari_denoiser")


@pytest.fixture
def reward_end_model() -> RewardEndModel:
    cfg = tuples(VECTORS.meta["rew_end_model"])
    cfg["attn_depths"] = tuple(map(bool, cfg["attn_depths"]))
    model = RewardEndModel(RewardEndModelConfig(**cfg))
    load_strictly(model, VECTORS.components["reward_end"], "vectors")
    return model.eval()


def test_every_group_is_covered() -> None:
    assert set(VECTORS.groups) == COVERED


def test_preconditioning(denoiser: Denoiser) -> None:
    group = VECTORS.groups["atari_precond"]
    c = denoiser.conditioners(group["sigma"])
    for name in ("c_in", "c_out", "c_skip", "c_noise"):
        assert_close(getattr(c, name).flatten(), group[name])


@torch.no_grad()
def test_network(denoiser: Denoiser) -> None:
    g = VECTORS.groups["atari_inner"]
    assert_close(denoiser.inner_model(g["noisy"], g["c_noise"], None, g["obs"], g["act"]), g["out"])


@torch.no_grad()
def test_denoise(denoiser: Denoiser) -> None:
    inputs, group = VECTORS.groups["atari_inner"], VECTORS.groups["atari_denoise"]
    out = denoiser(inputs["noisy"], group["sigma"], inputs["obs"], inputs["act"])
    assert_same_frames(out, group["out"])


@pytest.mark.parametrize("group_name", SAMPLES)
@torch.no_grad()
def test_sampler(denoiser: Denoiser, group_name: str) -> None:
    group, inputs = VECTORS.groups[group_name], VECTORS.groups["atari_sample"]
    cfg = SamplerConfig(**VECTORS.meta[group_name])
    assert_close(torch.tensor(cfg.schedule()), group["sigmas"])
    noise = RecordedNoise(group)
    trajectory: list[torch.Tensor] = []
    out = sample(
        denoiser.given_actions(inputs["act"]),
        noise,
        tuple(group["out"].shape),
        inputs["obs"].flatten(1, 2),
        cfg,
        trajectory.append,
    )
    assert noise.left == 0
    assert_same_frames(out, group["out"])
    assert_same_frames(torch.stack(trajectory, dim=1), group["trajectory"])


def test_denoiser_loss(denoiser: Denoiser) -> None:
    g = VECTORS.groups["atari_loss"]
    noise = RecordedNoise(g)
    loss = denoiser_loss(denoiser, Segment(g["obs"], g["act"], g["mask"]), SigmaDistribution(), noise)
    assert_close(loss, g["loss"])
    loss.backward()
    assert noise.left == 0
    assert_gradient_close(denoiser.inner_model.conv_in.weight.grad, g["grad_conv_in"])


@torch.no_grad()
def test_reward_end_model(reward_end_model: RewardEndModel) -> None:
    g = VECTORS.groups["rew_end"]
    reward, end, state = reward_end_model(g["obs"], g["act"], g["next_obs"])
    assert_close(reward, g["logits_rew"])
    assert_close(end, g["logits_end"])
    assert_close(state[0], g["hx"])
    assert_close(state[1], g["cx"])
    reward, end, _ = reward_end_model(g["obs"][:, :1], g["act"][:, :1], g["next_obs"][:, :1], state)
    assert_close(reward, g["logits_rew_next"])
    assert_close(end, g["logits_end_next"])


def test_reward_end_loss(reward_end_model: RewardEndModel) -> None:
    g = VECTORS.groups["rew_end_loss"]
    next_obs = g["obs"][:, 1:].clone()
    for name, frame in g.items():
        if name.startswith("final_observation_"):
            row = int(name.rpartition("_")[2])
            next_obs[row, g["end"][row, :-1].argmax()] = frame
    batch = RewardEndBatch(
        g["obs"][:, :-1], g["act"][:, :-1], next_obs, g["rew"][:, :-1], g["end"][:, :-1], g["mask"][:, :-1]
    )
    losses = reward_end_loss(reward_end_model, batch)
    assert_close(losses.total, g["loss"])
    assert_close(losses.reward, g["loss_rew"])
    assert_close(losses.end, g["loss_end"])
    losses.total.backward()
    assert_gradient_close(reward_end_model.head[2].weight.grad, g["grad_head"])


@torch.no_grad()
def test_actor_critic() -> None:
    g = VECTORS.groups["actor_critic"]
    cfg = tuples(VECTORS.meta["actor_critic"])
    cfg["down"] = tuple(map(bool, cfg["down"]))
    network = ActorCritic(ActorCriticConfig(**cfg))
    load_strictly(network, VECTORS.components["actor_critic"], "vectors")
    logits, values, (hidden, cell) = network(g["obs"], (g["hx"], g["cx"]))
    assert_close(logits, g["logits"])
    assert_close(values, g["value"])
    assert_close(hidden, g["hx_out"])
    assert_close(cell, g["cx_out"])


@pytest.mark.parametrize("group_name", RETURNS)
def test_lambda_returns(group_name: str) -> None:
    g = VECTORS.groups[group_name]
    gamma, lambda_ = VECTORS.meta["lambda_returns"]["gamma"], float(group_name.rpartition("_")[2])
    assert_close(lambda_returns(g["rew"], g["end"], g["trunc"], g["val_bootstrap"], gamma, lambda_), g["out"])


def test_policy_loss() -> None:
    g = VECTORS.groups["policy_loss"]
    losses = actor_critic_loss(g["logits"], g["act"], g["value"], g["lambda_returns"], ActorCriticLossConfig())
    assert_close(losses.actions, g["loss_actions"])
    assert_close(losses.values, g["loss_values"])
    assert_close(losses.entropy, g["entropy"])
    assert_close(losses.total, g["loss_total"])
