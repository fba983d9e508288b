"""Trains the actor-critic in any batched environment: in imagination (the paper) or in the real emulator.

A teacher policy can kickstart it (Schmitt et al., 2018): at first the policy is also trained on the teacher's actions
for the states that it visits itself. Their weight falls until only the returns count.

Shapes: B environments, T horizon, C channels, H height, W width, A actions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diamond_engine.agents import Policy
from diamond_engine.class_sampling import sample_class
from diamond_engine.environment import BatchedEnv, Info
from diamond_engine.networks.actor_critic import ActorCritic, LSTMCellState
from diamond_engine.reinforcement import ActorCriticLossConfig, actor_critic_loss, lambda_returns
from diamond_engine.runtime import Runtime
from training.components.optimisation import Optimiser, OptimiserConfig
from training.runs.procedure import Metrics
from training.runs.seeds import derived_seed

AVERAGED_EPISODES = 100


@dataclass(frozen=True)
class ActorCriticTrainingConfig:
    """Settings of the actor-critic's training; the defaults are the paper's (Table 4)."""

    horizon: int = 15
    """Steps T between updates (the imagination horizon)."""
    loss: ActorCriticLossConfig = field(default_factory=ActorCriticLossConfig)
    """Discounts and loss weights."""
    kickstart_updates: int = 0
    """Updates over which the weight of the teacher's actions falls linearly from 1 to 0."""
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(weight_decay=0.0, max_grad_norm=100.0))
    """Step size, clipping, decay."""


@dataclass(frozen=True)
class _Rollout:
    """T steps in B environments, all ``(B, T)`` but logits ``(B, T, A)``."""

    logits: Tensor
    values: Tensor
    actions: Tensor
    rewards: Tensor
    ends: Tensor
    truncs: Tensor
    bootstrap: Tensor
    """Value of the observation after each step; of the final observation if the environment was reset."""
    taught: Tensor | None
    """The teacher's actions, int64."""


class ActorCriticTrainer:
    """Rolls the policy out for a horizon, then makes one update.

    The environments continue from update to update. With ``fresh`` (Algorithm 1, ``update_actor_critic``) they
    restart at each, so that only weights and random states are carried over and a resumed run is exact.
    """

    def __init__(
        self,
        network: ActorCritic,
        env: BatchedEnv,
        cfg: ActorCriticTrainingConfig,
        runtime: Runtime,
        seed: int,
        export: Callable[[Path, ActorCritic, dict[str, Any]], None],
        scores: Callable[[], Sequence[float]] = tuple,
        teacher: Policy | None = None,
        fresh: bool = False,
    ) -> None:
        """``scores`` returns the scores of the games finished so far, if the environment counts them."""
        runtime.for_training(network)
        self.network = network
        self.env = env
        self.cfg = cfg
        self.optimiser = Optimiser(network, cfg.optimiser, runtime)
        self.runtime = runtime
        self._seed = seed
        self._export = export
        self._scores = scores
        self._teacher = teacher
        self._fresh = fresh
        self._actions = runtime.generator(derived_seed(seed, "actions"))
        self._obs: Tensor | None = None
        self._state = network.initial_state(env.num_envs)
        self._recent_returns: deque[float] = deque(maxlen=AVERAGED_EPISODES)
        self._returns = torch.zeros(env.num_envs, device=runtime.device)

    def update(self) -> Metrics:
        """One rollout of T steps in B environments and one gradient step."""
        if self._obs is None or self._fresh:
            self._start()  # outside autocast, which would cache casts of the weights without gradients
        return self.optimiser.update(self._loss)

    def _start(self) -> None:
        self._obs, info = self.env.reset(seed=derived_seed(self._seed, "environments", self.optimiser.updates))
        self._state = self.network.initial_state(self.env.num_envs)
        if self._teacher is not None:
            self._teacher.reset()
        if "context" in info:
            self._state = self._warm(info["context"], self._state)

    def _loss(self) -> tuple[Tensor, Metrics]:
        rollout = self._roll_out()
        cfg = self.cfg.loss
        returns = lambda_returns(
            rollout.rewards, rollout.ends, rollout.truncs, rollout.bootstrap, cfg.gamma, cfg.lambda_
        )
        losses = actor_critic_loss(rollout.logits, rollout.actions, rollout.values, returns, cfg)
        total, taught = self._kickstart(losses.total, rollout)
        return total, {
            "loss_actions": losses.actions.detach(),
            "loss_values": losses.values.detach(),
            "entropy": losses.entropy.detach(),
            "value": rollout.values.detach().mean(),
            "reward": rollout.rewards.mean(),
            **taught,
            **self._averages(),
        }

    def _kickstart(self, total: Tensor, rollout: _Rollout) -> tuple[Tensor, Metrics]:
        if rollout.taught is None:
            return total, {}
        weight = 1 - self.optimiser.updates / self.cfg.kickstart_updates
        loss = F.cross_entropy(rollout.logits.flatten(0, 1), rollout.taught.flatten())
        return total + weight * loss, {"loss_teacher": loss.detach()}

    def _roll_out(self) -> _Rollout:
        assert self._obs is not None
        obs, state = self._obs, (self._state[0].detach(), self._state[1].detach())
        steps: list[tuple[Tensor, ...]] = []
        final_values: list[Tensor | None] = []
        taught: list[Tensor] = []
        teacher = self._teacher if self.optimiser.updates < self.cfg.kickstart_updates else None
        for _ in range(self.cfg.horizon):
            if teacher is not None:
                taught.append(teacher.act(obs).to(obs.device))
            logits, values, state = self.network(obs, state)
            logits, values = logits.float(), values.float()
            actions = sample_class(logits.detach(), self._actions)
            obs, rewards, ends, truncs, info = self.env.step(actions)
            final_values.append(None)
            if "final_obs" in info:
                final_values[-1] = self._value(info["final_obs"], state)
                state = self._after_reset(state, ends | truncs, info)
                if teacher is not None:
                    teacher.reset(ends | truncs)
            if not self._fresh:
                self._count(rewards, ends | truncs)
            steps.append((logits, values, actions, rewards, ends, truncs))
        self._obs, self._state = obs, state
        logits, values, actions, rewards, ends, truncs = (torch.stack(x, dim=1) for x in zip(*steps, strict=True))
        following = [*values.detach()[:, 1:].unbind(1), self._value(obs, state)]
        final = [f if v is None else v for f, v in zip(following, final_values, strict=True)]
        bootstrap = torch.where(ends | truncs, torch.stack(final, dim=1), torch.stack(following, dim=1))
        advice = torch.stack(taught, dim=1) if taught else None
        return _Rollout(logits, values, actions, rewards, ends, truncs, bootstrap, advice)

    @torch.no_grad()
    def _value(self, obs: Tensor, state: LSTMCellState) -> Tensor:
        return self.network(obs, state)[1].float()

    @torch.no_grad()
    def _warm(self, context: Tensor, state: LSTMCellState) -> LSTMCellState:
        for frame in context.unbind(1):
            _, _, state = self.network(frame, state)
        return state

    def _after_reset(self, state: LSTMCellState, dead: Tensor, info: Info) -> LSTMCellState:
        fresh = self.network.initial_state(self.env.num_envs)
        if "context" in info:
            fresh = self._warm(info["context"], fresh)
        hidden, cell = (
            torch.where(dead[:, None], new.to(old.dtype), old) for new, old in zip(fresh, state, strict=True)
        )
        return hidden, cell

    def _count(self, rewards: Tensor, dead: Tensor) -> None:
        self._returns += rewards
        if dead.any():
            self._recent_returns.extend(self._returns[dead].tolist())
            self._returns[dead] = 0

    def _averages(self) -> Metrics:
        recent = {"episode_return": self._recent_returns, "game_score": self._scores()[-AVERAGED_EPISODES:]}
        return {name: torch.tensor(sum(values) / len(values)) for name, values in recent.items() if values}

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser and random state; the environments restart on resume."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "actions": self._actions.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self._actions.set_state(state["actions"])

    def export(self, folder: Path, provenance: dict[str, Any]) -> None:
        """Writes the actor-critic into an agent's or a world's folder."""
        self._export(folder, self.network, provenance)
