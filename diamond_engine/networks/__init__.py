"""The networks of DIAMOND and IRIS as plain ``nn.Module``s, with the parameter names of published checkpoints."""

from diamond_engine.networks.actor_critic import ActorCritic, ActorCriticConfig
from diamond_engine.networks.denoiser import InnerModel, InnerModelConfig
from diamond_engine.networks.reward_end import RewardEndModel, RewardEndModelConfig
from diamond_engine.networks.token_transformer import TokenTransformer, TokenTransformerConfig
from diamond_engine.networks.tokenizer import Tokenizer, TokenizerConfig

__all__ = [
    "ActorCritic",
    "ActorCriticConfig",
    "InnerModel",
    "InnerModelConfig",
    "RewardEndModel",
    "RewardEndModelConfig",
    "TokenTransformer",
    "TokenTransformerConfig",
    "Tokenizer",
    "TokenizerConfig",
]
