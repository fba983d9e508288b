"""The update every trainer makes: what decays, how it warms up, what the average of the weights is."""

import pytest
import torch
from torch import nn

from diamond_engine.diffusion import Denoiser
from diamond_engine.networks import ActorCritic
from tests.conftest import tiny_config
from tests.training.trainers import RUNTIME
from training.components.optimisation import Ema, Optimiser, OptimiserConfig, parameter_groups


def _names_by_decay(network: nn.Module) -> dict[float, set[str]]:
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = parameter_groups(network, 0.01)
    return {group["weight_decay"]: {names[id(p)] for p in group["params"]} for group in groups}


def test_only_weights_of_layers_decay() -> None:
    decayed, exempt = _names_by_decay(Denoiser(tiny_config("Breakout").denoiser)).values()
    assert "inner_model.conv_in.weight" in decayed
    assert "inner_model.cond_proj.0.weight" in decayed
    assert {"inner_model.conv_in.bias", "inner_model.act_emb.0.weight", "inner_model.norm_out.norm.weight"} <= exempt
    assert all(name.endswith(".weight") for name in decayed)


def test_lstm_weights_decay_and_its_biases_do_not() -> None:
    config = tiny_config("Breakout").actor_critic
    assert config is not None
    groups = _names_by_decay(ActorCritic(config))
    assert {"lstm.weight_ih", "lstm.weight_hh"} <= groups[0.01]
    assert {"lstm.bias_ih", "lstm.bias_hh"} <= groups[0.0]


def test_every_parameter_is_in_one_group() -> None:
    network = Denoiser(tiny_config("Breakout").denoiser)
    names = _names_by_decay(network)
    assert names[0.01] | names[0.0] == {name for name, _ in network.named_parameters()}
    assert not names[0.01] & names[0.0]


def test_step_size_rises_linearly_then_stays() -> None:
    """Adam's step on a constant gradient is the step size."""
    network = nn.Linear(1, 1, bias=False)
    cfg = OptimiserConfig(learning_rate=0.1, weight_decay=0.0, warmup_steps=4, max_grad_norm=1e9)
    optimiser = Optimiser(network, cfg, RUNTIME)
    steps = []
    for _ in range(6):
        before = network.weight.item()
        optimiser.update(lambda: (network.weight.sum(), {}))
        steps.append(before - network.weight.item())
    assert steps == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1], rel=1e-3)
    assert optimiser.updates == 6


def test_gradients_are_clipped() -> None:
    network = nn.Linear(1, 1, bias=False)
    optimiser = Optimiser(network, OptimiserConfig(max_grad_norm=0.5), RUNTIME)
    metrics = optimiser.update(lambda: (8 * network.weight.sum(), {}))
    assert float(metrics["grad_norm"]) == pytest.approx(8)
    assert network.weight.grad is not None
    assert network.weight.grad.item() == pytest.approx(0.5, rel=1e-4)


def test_average_follows_the_weights_and_is_lent_to_the_network() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    ema = Ema(network, decay=0.5)
    nn.init.ones_(network.weight)
    ema.update()
    with ema.applied():
        assert network.weight.item() == pytest.approx(1 - 2 / 11)  # young averages forget faster than 0.5
    assert network.weight.item() == 1
    for _ in range(50):
        ema.update()
    with ema.applied():
        assert network.weight.item() == pytest.approx(1)


def test_no_average_lends_the_weights_themselves() -> None:
    network = nn.Linear(1, 1)
    ema = Ema(network, decay=0.0)
    kept = network.weight.clone()
    ema.update()
    with ema.applied():
        assert torch.equal(network.weight, kept)
