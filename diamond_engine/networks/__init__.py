"""The four networks of the paper as plain ``nn.Module``s, with the parameter names of the published checkpoints."""

from diamond_engine.networks.actor_critic import ActorCritic, ActorCriticConfig
from diamond_engine.networks.denoiser import InnerModel, InnerModelConfig
from diamond_engine.networks.reward_end import RewardEndModel, RewardEndModelConfig

__all__ = [
    "ActorCritic",
    "ActorCriticConfig",
    "InnerModel",
    "InnerModelConfig",
    "RewardEndModel",
    "RewardEndModelConfig",
]
