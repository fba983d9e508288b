"""The recurrent actor-critic π_ϕ, V_ϕ (Section 3.2 and Appendix C of the paper).

Shapes: B batch, C image channels, H height, W width, A actions.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from diamond_engine.networks.blocks import GroupNorm, conv1x1, conv3x3

LSTMCellState = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ActorCriticConfig:
    """Architecture of ``ActorCritic``; the defaults are the Atari model of the paper (Table 2)."""

    num_actions: int
    """Size A of the discrete action set."""
    lstm_dim: int = 512
    """Hidden size of the LSTM cell."""
    img_channels: int = 3
    """Channels of one image."""
    img_size: int = 64
    """Height and width of an image in pixels."""
    channels: tuple[int, ...] = (32, 32, 64, 64)
    """Channels per level."""
    down: tuple[bool, ...] = (True, True, True, True)
    """Which levels end with a 2×2 max pool."""


class SmallResBlock(nn.Module):
    """Group norm → SiLU → 3×3 convolution, plus a (projected) skip. ``(B, Cin, H, W)`` → ``(B, Cout, H, W)``."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.f = nn.Sequential(GroupNorm(in_channels), nn.SiLU(inplace=True), conv3x3(in_channels, out_channels))
        self.skip_projection = nn.Identity() if in_channels == out_channels else conv1x1(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip_projection(x) + self.f(x)


class ActorCriticEncoder(nn.Module):
    """``(B, C, H, W)`` → ``(B, C', H/2^k, W/2^k)`` with k the number of pooled levels."""

    def __init__(self, cfg: ActorCriticConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv3x3(cfg.img_channels, cfg.channels[0])]
        for i, channels in enumerate(cfg.channels):
            layers.append(SmallResBlock(cfg.channels[max(0, i - 1)], channels))
            if cfg.down[i]:
                layers.append(nn.MaxPool2d(2))
        self.encoder = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


class ActorCritic(nn.Module):
    """Policy and value from one recurrent trunk.

    ``forward(obs, state)``: obs ``(B, C, H, W)`` in [-1, 1], state the LSTM cell's (h, c), each ``(B, lstm_dim)``.
    Returns policy logits ``(B, A)``, values ``(B,)`` and the new state. ``encode`` and ``recur`` are its two
    parts, so that the features of a whole sequence can be computed in one batch.
    """

    def __init__(self, cfg: ActorCriticConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.encoder = ActorCriticEncoder(cfg)
        feature_size = cfg.img_size // 2 ** sum(cfg.down)
        self.lstm = nn.LSTMCell(cfg.channels[-1] * feature_size**2, cfg.lstm_dim)
        self.critic_linear = nn.Linear(cfg.lstm_dim, 1)
        self.actor_linear = nn.Linear(cfg.lstm_dim, cfg.num_actions)
        nn.init.zeros_(self.critic_linear.weight)
        nn.init.zeros_(self.actor_linear.weight)

    def initial_state(self, batch_size: int) -> LSTMCellState:
        """A zero state on the network's device, each half ``(B, lstm_dim)``."""
        zeros = self.actor_linear.weight.new_zeros(batch_size, self.cfg.lstm_dim)
        return zeros, zeros.clone()

    def encode(self, obs: Tensor) -> Tensor:
        """``(B, C, H, W)`` → features ``(B, F)``."""
        return self.encoder(obs.to(self.actor_linear.weight.dtype)).flatten(1)

    def recur(self, features: Tensor, state: LSTMCellState) -> tuple[Tensor, Tensor, LSTMCellState]:
        """One step of the LSTM: features ``(B, F)``, state → logits ``(B, A)``, values ``(B,)``, new state."""
        h, c = self.lstm(features, state)
        return self.actor_linear(h), self.critic_linear(h).squeeze(1), (h, c)

    def forward(self, obs: Tensor, state: LSTMCellState) -> tuple[Tensor, Tensor, LSTMCellState]:
        return self.recur(self.encode(obs), state)
