"""Policies: the recurrent agent, random actions, and their mix."""

import pytest
import torch
from torch import Tensor

from diamond_engine.agents import Agent, EpsilonPolicy, Policy, RandomPolicy
from diamond_engine.networks import ActorCritic, ActorCriticConfig
from diamond_engine.runtime import Runtime

RUNTIME = Runtime.choose("cpu", "float32")


@pytest.fixture
def network() -> ActorCritic:
    """A small actor-critic that prefers some actions (its output layers start at zero)."""
    torch.manual_seed(0)
    network = ActorCritic(ActorCriticConfig(num_actions=4, lstm_dim=8, img_size=16, channels=(4,), down=(True,)))
    torch.nn.init.normal_(network.actor_linear.weight, std=3)
    torch.nn.init.normal_(network.critic_linear.weight)
    return network


def frames(steps: int, batch: int = 8) -> Tensor:
    return torch.randn((steps, batch, 3, 16, 16), generator=torch.Generator().manual_seed(1))


def play(policy: Policy, obs: Tensor) -> Tensor:
    """Actions ``(T, B)``."""
    return torch.stack([policy.act(frame) for frame in obs])


class TestAgent:
    def test_acts(self, network: ActorCritic) -> None:
        agent = Agent(network, RUNTIME)
        actions = agent.act(frames(1)[0])
        assert actions.shape == agent.value.shape == (8,)
        assert actions.dtype == torch.int64
        assert set(actions.tolist()) <= set(range(4))

    def test_same_seed_same_actions(self, network: ActorCritic) -> None:
        one, same, other = (play(Agent(network, RUNTIME, seed), frames(10)) for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    @torch.no_grad()
    def test_is_the_recurrent_network(self, network: ActorCritic) -> None:
        agent = Agent(network, RUNTIME, greedy=True)
        state = network.initial_state(8)
        for frame in frames(4):
            logits, value, state = network(frame, state)
            assert torch.equal(agent.act(frame), logits.argmax(dim=1))
            torch.testing.assert_close(agent.value, value)

    def test_samples_its_policy(self, network: ActorCritic) -> None:
        agent = Agent(network, RUNTIME)
        obs = frames(1, 1)[0].expand(4000, -1, -1, -1)
        with torch.no_grad():
            logits, _, _ = network(obs[:1], network.initial_state(1))
        shares = agent.act(obs).bincount(minlength=4) / 4000
        torch.testing.assert_close(shares, logits[0].softmax(dim=0), atol=0.03, rtol=0)

    def test_forgets_where_the_mask_holds(self, network: ActorCritic) -> None:
        past, now = frames(3)[:2], frames(3)[2]
        values = {}
        mask = torch.tensor([True, False] * 4)
        for name in ("remembers", "forgets", "forgets some"):
            agent = Agent(network, RUNTIME)
            play(agent, past)
            if name != "remembers":
                agent.reset(mask if name == "forgets some" else None)
            agent.act(now)
            values[name] = agent.value
        fresh = Agent(network, RUNTIME)
        fresh.act(now)
        assert torch.equal(values["forgets"], fresh.value)
        assert (values["remembers"] != values["forgets"]).all()
        torch.testing.assert_close(values["forgets some"], torch.where(mask, values["forgets"], values["remembers"]))

    def test_follows_the_batch_size(self, network: ActorCritic) -> None:
        agent = Agent(network, RUNTIME)
        for batch in (3, 5, 1):
            assert agent.act(frames(1, batch)[0]).shape == (batch,)

    def test_leaves_the_network_as_it_is(self, network: ActorCritic) -> None:
        agent = Agent(network, Runtime.choose("cpu", "bfloat16"))
        agent.act(frames(1)[0])
        assert all(p.requires_grad and p.dtype == torch.float32 for p in network.parameters())


class TestRandomPolicy:
    def test_is_uniform_and_seeded(self) -> None:
        one, same, other = (RandomPolicy(4, seed).act(frames(1, 4000)[0]) for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
        assert ((one.bincount(minlength=4) / 4000 - 0.25).abs() < 0.03).all()


class Constant:
    """Always action 2; counts what it was told to forget."""

    def __init__(self) -> None:
        self.resets: list[Tensor | None] = []

    def act(self, obs: Tensor) -> Tensor:
        return torch.full((len(obs),), 2)

    def reset(self, mask: Tensor | None = None) -> None:
        self.resets.append(mask)


class TestEpsilonPolicy:
    @pytest.mark.parametrize(("epsilon", "share"), [(0.0, 1.0), (0.4, 0.7), (1.0, 0.25)])
    def test_is_random_with_probability_epsilon(self, epsilon: float, share: float) -> None:
        actions = EpsilonPolicy(Constant(), 4, epsilon).act(frames(1, 4000)[0])
        assert (actions == 2).float().mean().item() == pytest.approx(share, abs=0.03 if epsilon > 0 else 0)

    @pytest.mark.parametrize("epsilon", [0.3, 1.0])
    def test_holds_what_it_chose_at_random(self, epsilon: float) -> None:
        policy, obs = EpsilonPolicy(Constant(), 4, epsilon, hold=8), frames(1, 4000)[0]
        actions = torch.stack([policy.act(obs) for _ in range(60)])[30:]
        others = actions[:-1] != 2
        assert others.float().mean().item() == pytest.approx(0.75 * epsilon, abs=0.03)
        goes_on = actions[1:][others] == actions[:-1][others]
        started_alike = 0.25 / 8 if epsilon == 1 else 0.25 / 8 * 0.3 / 8 / (0.7 + 0.3 / 8)
        assert goes_on.float().mean().item() == pytest.approx(7 / 8 + started_alike, abs=0.01)

    def test_is_seeded(self) -> None:
        one, same, other = (play(EpsilonPolicy(Constant(), 4, 0.5, seed), frames(10)) for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    def test_passes_resets_on(self) -> None:
        inner, mask = Constant(), torch.tensor([True])
        policy = EpsilonPolicy(inner, 4, 0.5)
        policy.reset()
        policy.reset(mask)
        assert inner.resets == [None, mask]
