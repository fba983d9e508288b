"""Learning from (imagined) experience: λ-returns, REINFORCE with a baseline, value and entropy losses (Section 3.2).

Shapes: B environments side by side, T steps, A actions.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class ActorCriticLossConfig:
    """Weights of the actor-critic's objective; the defaults are the paper's (Table 4)."""

    gamma: float = 0.985
    """Discount γ per step."""
    lambda_: float = 0.95
    """λ of the λ-returns: 0 is one-step bootstrapping, 1 Monte Carlo."""
    weight_value: float = 1.0
    """Weight of the value loss."""
    weight_entropy: float = 0.001
    """Weight η of the entropy bonus."""


@dataclass(frozen=True)
class ActorCriticLosses:
    """Scalars of one update; ``total`` is the one to differentiate."""

    total: Tensor
    actions: Tensor
    values: Tensor
    entropy: Tensor
    """Mean policy entropy in nats (not a loss)."""


def lambda_returns(
    rewards: Tensor, ends: Tensor, truncs: Tensor, bootstrap: Tensor, gamma: float, lambda_: float
) -> Tensor:
    """λ-returns Λ_t (Equation 14), rewards clipped to their sign. All ``(B, T)`` → ``(B, T)``.

    ``bootstrap[:, t]`` is the value of the observation that step t led to. No reward is carried back over an end;
    over a truncation only the bootstrap is.
    """
    ends, truncs = ends.to(rewards.dtype), truncs.to(rewards.dtype)
    one_step = (1 - truncs) * (1 - lambda_) + truncs
    returns = rewards.sign() + (1 - ends) * gamma * one_step * bootstrap
    carry = (1 - (ends + truncs).clamp(max=1)) * gamma * lambda_
    following = bootstrap[:, -1]
    steps: list[Tensor] = []
    for t in reversed(range(rewards.shape[1])):
        following = returns[:, t] + carry[:, t] * following
        steps.append(following)
    return torch.stack(steps[::-1], dim=1)


def actor_critic_loss(
    logits: Tensor, actions: Tensor, values: Tensor, returns: Tensor, cfg: ActorCriticLossConfig
) -> ActorCriticLosses:
    """REINFORCE with the value as baseline (Equation 16), value regression (15) and entropy (13).

    logits ``(B, T, A)``, actions ``(B, T)`` int64, values and returns ``(B, T)``.
    """
    log_probs = logits.log_softmax(dim=-1)
    returns = returns.detach()
    entropy = -(log_probs.exp() * log_probs).sum(dim=-1).mean()
    chosen = log_probs.gather(-1, actions[..., None]).squeeze(-1)
    loss_actions = (-chosen * (returns - values.detach())).mean()
    loss_values = cfg.weight_value * F.mse_loss(values, returns)
    total = loss_actions + loss_values - cfg.weight_entropy * entropy
    return ActorCriticLosses(total=total, actions=loss_actions, values=loss_values, entropy=entropy)
