"""The settings of Algorithm 1, typed; the defaults are the paper's (Tables 2 to 4)."""

from __future__ import annotations

from dataclasses import dataclass, field

from diamond_engine.diffusion import DenoiserConfig
from diamond_engine.networks import ActorCriticConfig, RewardEndModelConfig
from training.algorithm.dreams import ImaginationConfig
from training.algorithm.experience import CollectionConfig
from training.components.actor_critic import ActorCriticTrainingConfig
from training.components.denoiser import DenoiserTrainingConfig
from training.components.reward_end import RewardEndTrainingConfig


@dataclass(frozen=True)
class Updates:
    """Number of updates of a component."""

    first: int
    """Updates in the first epoch."""
    per_epoch: int = 400
    """Updates in every further epoch."""

    def by(self, epoch: int) -> int:
        """Total number of updates by the end of an epoch; the first epoch is 1."""
        return self.first + self.per_epoch * (epoch - 1)


@dataclass(frozen=True)
class UpdatesConfig:
    """Numbers of updates of each component; the defaults are the paper's (Table 4)."""

    denoiser: Updates = field(default_factory=lambda: Updates(first=10_000))
    """The diffusion model D_θ."""
    reward_end: Updates = field(default_factory=lambda: Updates(first=10_000))
    """The reward/end model R_ψ."""
    actor_critic: Updates = field(default_factory=lambda: Updates(first=5_000))
    """Policy and value π_ϕ, V_ϕ."""


@dataclass(frozen=True)
class TestConfig:
    """Test games: whole real games, which a lost life does not end. The paper plays 100 at the end."""

    every: int = 20
    """Epochs between tests."""
    games: int = 4
    """Games of a test."""
    final_games: int = 100
    """Games after the last epoch, whose mean is the result."""
    max_steps: int = 27_000
    """Actions after which a game is stopped; the emulator's own limit is the default."""


@dataclass(frozen=True)
class NetworksConfig:
    """Architectures; the defaults are the paper's (Table 2)."""

    denoiser: DenoiserConfig
    """The diffusion model."""
    reward_end: RewardEndModelConfig
    """The reward/end model."""
    actor_critic: ActorCriticConfig
    """The agent."""


@dataclass(frozen=True)
class AlgorithmConfig:
    """All settings of Algorithm 1 except game and seed; the defaults are the paper's (Table 4)."""

    networks: NetworksConfig
    """Architectures."""
    collection: CollectionConfig = field(default_factory=CollectionConfig)
    """Collection of experience."""
    updates: UpdatesConfig = field(default_factory=UpdatesConfig)
    """Numbers of updates of each component."""
    denoiser: DenoiserTrainingConfig = field(default_factory=DenoiserTrainingConfig)
    """Training of the diffusion model."""
    reward_end: RewardEndTrainingConfig = field(default_factory=RewardEndTrainingConfig)
    """Training of the reward/end model."""
    actor_critic: ActorCriticTrainingConfig = field(default_factory=ActorCriticTrainingConfig)
    """Training of the agent."""
    imagination: ImaginationConfig = field(default_factory=ImaginationConfig)
    """Imagination."""
    final_epochs: int = 50
    """Epochs without collection at the end."""
    test: TestConfig = field(default_factory=TestConfig)
    """Tests of the agent."""
    checkpoint_minutes: float = 5.0
    """Seconds between checkpoints; one is also written when the run stops."""
