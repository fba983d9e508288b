"""Trains the actor-critic in any batched environment: in imagination (the paper) or in the real emulator.

Shapes: B environments, T horizon, C channels, H height, W width, A actions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diamond_engine.environment import BatchedEnv, StepInfo
from diamond_engine.networks.actor_critic import ActorCritic, LSTMCellState
from diamond_engine.reinforcement import ActorCriticLossConfig, actor_critic_loss, lambda_returns
from diamond_engine.runtime import Runtime
from training.optimisation import Metrics, Optimiser, OptimiserConfig


@dataclass(frozen=True)
class ActorCriticTrainingConfig:
    """How the actor-critic learns; the defaults are the paper's (Table 4)."""

    horizon: int = 15
    """Steps T between updates (the imagination horizon)."""
    loss: ActorCriticLossConfig = field(default_factory=ActorCriticLossConfig)
    """Discounts and loss weights."""
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(weight_decay=0.0, max_grad_norm=100.0))
    """Step size, clipping, decay."""


class ActorCriticTrainer:
    """Rolls the policy out for a horizon, then makes one update on what happened; the state carries over."""

    def __init__(
        self,
        network: ActorCritic,
        env: BatchedEnv,
        cfg: ActorCriticTrainingConfig,
        runtime: Runtime,
        export: Callable[[Path, ActorCritic, dict[str, Any]], None],
    ) -> None:
        self.network = runtime.for_training(network)
        self.env = env
        self.cfg = cfg
        self.optimiser = Optimiser(network, cfg.optimiser, runtime)
        self.runtime = runtime
        self._export = export
        self._obs: Tensor | None = None
        self._state = network.initial_state(env.num_envs)
        self._recent_returns: deque[float] = deque(maxlen=100)
        self._returns = torch.zeros(env.num_envs, device=runtime.device)

    def update(self) -> Metrics:
        """One rollout of T steps in B environments and one gradient step."""
        return self.optimiser.update(self._loss)

    def _loss(self) -> tuple[Tensor, Metrics]:
        obs = self.env.reset() if self._obs is None else self._obs
        state = tuple(half.detach() for half in self._state)
        steps: list[tuple[Tensor, ...]] = []
        final_values: list[Tensor | None] = []
        for _ in range(self.cfg.horizon):
            logits, values, state = self.network(obs, state)
            logits, values = logits.float(), values.float()
            actions = torch.distributions.Categorical(logits=logits.detach()).sample()
            obs, rewards, ends, truncs, info = self.env.step(actions)
            final_values.append(None)
            if info is not None:
                final_values[-1] = self._value(info.final_observation, state)
                state = self._after_reset(state, ends | truncs, info)
            self._count(rewards, ends | truncs)
            steps.append((logits, values, actions, rewards, ends, truncs))
        self._obs, self._state = obs, state

        logits, values, actions, rewards, ends, truncs = (torch.stack(x, dim=1) for x in zip(*steps, strict=True))
        following = [*values.detach()[:, 1:].unbind(1), self._value(obs, state)]
        bootstrap = torch.stack([f if v is None else v for f, v in zip(following, final_values, strict=True)], dim=1)
        bootstrap = torch.where(ends | truncs, bootstrap, torch.stack(following, dim=1))
        cfg = self.cfg.loss
        returns = lambda_returns(rewards, ends, truncs, bootstrap, cfg.gamma, cfg.lambda_)
        losses = actor_critic_loss(logits, actions, values, returns, cfg)
        return losses.total, self._metrics(losses.actions, losses.values, losses.entropy, values)

    @torch.no_grad()
    def _value(self, obs: Tensor, state: LSTMCellState) -> Tensor:
        return self.network(obs, state)[1].float()

    @torch.no_grad()
    def _warm(self, context: Tensor, state: LSTMCellState) -> LSTMCellState:
        for frame in context.unbind(1):
            _, _, state = self.network(frame, state)
        return state

    def _after_reset(self, state: LSTMCellState, dead: Tensor, info: StepInfo) -> LSTMCellState:
        fresh = self.network.initial_state(self.env.num_envs)
        if info.context is not None:
            fresh = self._warm(info.context, fresh)
        hidden, cell = (torch.where(dead[:, None], new.to(old.dtype), old) for new, old in zip(fresh, state, strict=True))
        return hidden, cell

    def _count(self, rewards: Tensor, dead: Tensor) -> None:
        self._returns += rewards
        if dead.any():
            self._recent_returns.extend(self._returns[dead].tolist())
            self._returns[dead] = 0

    def _metrics(self, actions: Tensor, values: Tensor, entropy: Tensor, value: Tensor) -> Metrics:
        recent = list(self._recent_returns) or [0.0]
        return {
            "loss_actions": actions.detach(),
            "loss_values": values.detach(),
            "entropy": entropy.detach(),
            "value": value.detach().mean(),
            "episode_return": torch.tensor(sum(recent) / len(recent)),
        }

    def state_dict(self) -> dict[str, Any]:
        """Network and optimiser; the environments start anew on resume."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])

    def export(self, folder: Path, provenance: dict[str, Any]) -> None:
        """Writes the actor-critic into a world folder."""
        self._export(folder, self.network, provenance)
