"""The reward and termination model R_ψ (Section 3.1 and Appendix C of the paper): CNN, LSTM, MLP head.

Shapes: B batch, T time, C image channels, H height, W width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond_engine.networks.actor_critic import ActorCriticConfig, ActorCriticEncoder
from diamond_engine.networks.blocks import Downsample, ResBlock, ResBlocks, conv3x3

REWARD_CLASSES = 3
END_CLASSES = 2

LSTMState = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class RewardEndModelConfig:
    """Architecture of ``RewardEndModel``; the defaults are the Atari model of the paper (Table 2)."""

    num_actions: int
    """Size of the discrete action set."""
    lstm_dim: int = 512
    """Hidden size of the LSTM."""
    img_channels: int = 3
    """Channels of one image."""
    img_size: int = 64
    """Height and width of an image in pixels."""
    cond_channels: int = 128
    """Size of the action embedding that conditions every block."""
    depths: tuple[int, ...] = (2, 2, 2, 2)
    """Residual blocks per level."""
    channels: tuple[int, ...] = (32, 32, 32, 32)
    """Channels per level."""
    attn_depths: tuple[bool, ...] = (False, False, False, False)
    """Which levels have self-attention after every block."""
    pooled: bool = False
    """Encode with the actor-critic's small CNN instead of the paper's. ``channels`` are then its levels, each halved by
    a max pool, ``cond_channels`` are appended to its features, and ``depths`` and ``attn_depths`` are ignored."""


class RewardEndEncoder(nn.Module):
    """Residual CNN over an image pair: ``(B, 2C, H, W), (B, D)`` → ``(B, F)``. Maps are halved levels − 1 times.

    Unlike in the U-Net no residual branch starts at zero: there is no skip from input to output to preserve, and a
    first linear encoder hardly tells one frame from another (docs/training-notes.md).
    """

    def __init__(self, cfg: RewardEndModelConfig) -> None:
        super().__init__()
        self.conv_in = conv3x3(2 * cfg.img_channels, cfg.channels[0])
        blocks: list[ResBlocks] = []
        for i, depth in enumerate(cfg.depths):
            outer, inner = cfg.channels[max(0, i - 1)], cfg.channels[i]
            blocks.append(
                ResBlocks([outer] + [inner] * (depth - 1), [inner] * depth, cfg.cond_channels, cfg.attn_depths[i])
            )
        self.num_features = cfg.channels[-1] * (cfg.img_size // 2 ** (len(cfg.depths) - 1)) ** 2
        deepest = [cfg.channels[-1]] * 2
        blocks.append(ResBlocks(deepest, deepest, cfg.cond_channels, attention=True))
        self.blocks = nn.ModuleList(blocks)
        self.downsamples = nn.ModuleList([nn.Identity(), *(Downsample(c) for c in cfg.channels[:-1]), nn.Identity()])
        for module in self.modules():
            if isinstance(module, ResBlock):
                module.conv2.reset_parameters()

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block, down in zip(self.blocks, self.downsamples, strict=True):
            x, _ = block(down(x), cond)
        return x.flatten(1)


class PooledEncoder(nn.Module):
    """The actor-critic's CNN over an image pair, action embedding appended: ``(B, 2C, H, W), (B, D)`` → ``(B, F)``.

    Not the paper's: it learns objects of 2 pixels (a ball, a digit) in a tenth of the updates, which matters without a
    GPU (docs/training-notes.md).
    """

    def __init__(self, cfg: RewardEndModelConfig) -> None:
        super().__init__()
        levels = ActorCriticConfig(
            num_actions=cfg.num_actions,
            img_channels=2 * cfg.img_channels,
            channels=cfg.channels,
            down=(True,) * len(cfg.channels),
        )
        self.cnn = ActorCriticEncoder(levels)
        size = cfg.img_size // 2 ** len(cfg.channels)
        self.num_features = cfg.channels[-1] * size**2 + cfg.cond_channels

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        return torch.cat((self.cnn(x).flatten(1), cond), dim=1)


class RewardEndModel(nn.Module):
    """Predicts the sign of the reward and the end of the episode for every transition of a sequence.

    ``forward(obs, act, next_obs, state)``: obs and next_obs ``(B, T, C, H, W)`` in [-1, 1], act ``(B, T)`` int64,
    state the LSTM's (h, c), each ``(1, B, lstm_dim)``, or None for zeros. Returns reward logits ``(B, T, 3)`` for
    −1, 0, +1, end logits ``(B, T, 2)``, and the new state.
    """

    def __init__(self, cfg: RewardEndModelConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.encoder = PooledEncoder(cfg) if cfg.pooled else RewardEndEncoder(cfg)
        self.act_emb = nn.Embedding(cfg.num_actions, cfg.cond_channels)
        self.lstm = nn.LSTM(self.encoder.num_features, cfg.lstm_dim, batch_first=True)
        self.head = nn.Sequential(
            nn.Linear(cfg.lstm_dim, cfg.lstm_dim),
            nn.SiLU(),
            nn.Linear(cfg.lstm_dim, REWARD_CLASSES + END_CLASSES, bias=False),
        )

    def forward(
        self, obs: Tensor, act: Tensor, next_obs: Tensor, state: LSTMState | None = None
    ) -> tuple[Tensor, Tensor, LSTMState]:
        b, t = act.shape
        pair = torch.cat((obs, next_obs), dim=2).flatten(0, 1).to(self.act_emb.weight.dtype)
        features = self.encoder(pair, self.act_emb(act.flatten()))
        y, new_state = self.lstm(features.reshape(b, t, -1), state)
        logits = self.head(y)
        return logits[..., :REWARD_CLASSES], logits[..., REWARD_CLASSES:], new_state


@dataclass(frozen=True)
class RewardEndBatch:
    """Transitions to learn from; a transition leads from ``obs[:, t]`` through ``act[:, t]`` to ``next_obs[:, t]``."""

    obs: Tensor
    """Frames, float ``(B, T, C, H, W)`` in [-1, 1]."""
    act: Tensor
    """Actions, int64 ``(B, T)``."""
    next_obs: Tensor
    """What each action led to: the true final frame where the episode ended."""
    rewards: Tensor
    """Rewards ``(B, T)``; only their sign is learnt."""
    ends: Tensor
    """Whether the episode ended with the transition, ``(B, T)``."""
    mask: Tensor
    """False for padding, bool ``(B, T)``."""
    mean_count: Tensor | None = None
    """Number of transitions to divide by, a scalar, if these are a part of a batch; None: count all but padding."""


@dataclass(frozen=True)
class RewardEndLosses:
    """Scalars; ``total`` is the one to differentiate."""

    total: Tensor
    reward: Tensor
    end: Tensor


def reward_end_loss(model: RewardEndModel, batch: RewardEndBatch) -> RewardEndLosses:
    """Cross-entropies of reward signs and ends over unmasked transitions (Section 3.1)."""
    reward_logits, end_logits, _ = model(batch.obs, batch.act, batch.next_obs)
    mask = batch.mask
    count = mask.sum() if batch.mean_count is None else batch.mean_count
    signs = batch.rewards[mask].sign().long() + 1
    reward = F.cross_entropy(reward_logits[mask].float(), signs, reduction="sum") / count
    end = F.cross_entropy(end_logits[mask].float(), batch.ends[mask].long(), reduction="sum") / count
    return RewardEndLosses(total=reward + end, reward=reward, end=end)
