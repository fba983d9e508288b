"""Policies that play: a trained actor-critic, random actions, or a mix of the two.

An agent without a world is a folder of ``agent.yaml`` and ``actor_critic.safetensors``.
Shapes: B environments, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from diamond_engine.checkpoints import built, read_component, write_component
from diamond_engine.class_sampling import sample_class
from diamond_engine.configs import read_config, to_yaml
from diamond_engine.errors import DiamondError
from diamond_engine.files import write_text
from diamond_engine.networks.actor_critic import ActorCritic, ActorCriticConfig, LSTMCellState
from diamond_engine.runtime import Runtime

FORMAT = 1


class Policy(Protocol):
    """Chooses actions for a batch of environments. It may keep a recurrent state."""

    def act(self, obs: Tensor) -> Tensor:
        """Observations ``(B, C, H, W)`` in [-1, 1] → actions int64 ``(B,)``."""
        ...

    def reset(self, mask: Tensor | None = None) -> None:
        """Forgets the past of the environments where mask ``(B,)`` holds (all by default)."""
        ...


class Agent:
    """A trained actor-critic that keeps its recurrent state. The batch size is that of the observations."""

    def __init__(self, network: ActorCritic, runtime: Runtime, seed: int = 0, greedy: bool = False) -> None:
        self._original = network
        self.network = runtime.for_inference(network)
        self.runtime = runtime
        self.greedy = greedy
        self.num_actions = network.cfg.num_actions
        self.value = torch.zeros(0)
        """Value estimates ``(B,)`` of the observations last acted on."""
        self._generator = runtime.generator(seed)
        self._state: LSTMCellState | None = None

    @torch.no_grad()
    def act(self, obs: Tensor) -> Tensor:
        """Samples actions ``(B,)`` from the policy (its mode where ``greedy``) and advances the state."""
        obs = obs.to(self.runtime.device, memory_format=torch.channels_last)
        if self._state is None or len(self._state[0]) != len(obs):
            self._state = self.network.initial_state(len(obs))
        logits, self.value, self._state = self.network(obs, self._state)
        if self.greedy:
            return logits.argmax(dim=1)
        return sample_class(logits, self._generator)

    def run_on(self, runtime: Runtime) -> None:
        """Switches to other kernels on the same device and in the same precision. The recurrent state is kept.

        Raises ``UsageError`` for another device or precision.
        """
        runtime.check_follows(self.runtime)
        self.network = runtime.for_inference(self._original)
        self.runtime = runtime

    def reset(self, mask: Tensor | None = None) -> None:
        """See ``Policy.reset``."""
        if mask is None or self._state is None:
            self._state = None
            return
        keep = (~mask.to(self.runtime.device))[:, None]
        hidden, cell = self._state
        self._state = (hidden * keep, cell * keep)


class RandomPolicy:
    """Uniformly random actions."""

    def __init__(self, num_actions: int, seed: int = 0) -> None:
        self.num_actions = num_actions
        self._generator = torch.Generator().manual_seed(seed)

    def act(self, obs: Tensor) -> Tensor:
        """See ``Policy.act``."""
        return torch.randint(self.num_actions, (len(obs),), generator=self._generator)

    def reset(self, mask: Tensor | None = None) -> None:
        """Does nothing: random actions have no state."""


class EpsilonPolicy:
    """Follows a policy but acts at random in a share ε of the steps of every environment.

    A random action is held for ``hold`` steps on average (geometrically distributed), as a person holds a key. With 1 a
    new one is drawn at every step.
    """

    def __init__(self, policy: Policy, num_actions: int, epsilon: float, seed: int = 0, hold: float = 1.0) -> None:
        self.policy = policy
        self._random = RandomPolicy(num_actions, seed)
        self._generator = torch.Generator().manual_seed(seed + 1)
        self._starts = epsilon / hold / (1 - epsilon + epsilon / hold)  # the share of random steps is ε for any hold
        self._goes_on = 1 - 1 / hold
        self._held = torch.zeros(0, dtype=torch.int64)
        self._holding = torch.zeros(0, dtype=torch.bool)

    def act(self, obs: Tensor) -> Tensor:
        """See ``Policy.act``."""
        actions, noise = self.policy.act(obs).cpu(), self._random.act(obs)
        if len(self._held) != len(obs):
            self._held, self._holding = noise, torch.zeros(len(obs), dtype=torch.bool)
        goes_on = self._holding & (torch.rand(len(obs), generator=self._generator) < self._goes_on)
        starts = torch.rand(len(obs), generator=self._generator) < self._starts
        self._held = torch.where(goes_on, self._held, noise)
        self._holding = goes_on | starts
        return torch.where(self._holding, self._held, actions)

    def reset(self, mask: Tensor | None = None) -> None:
        """See ``Policy.reset``."""
        self.policy.reset(mask)


@dataclass(frozen=True)
class AgentConfig:
    """What ``agent.yaml`` holds."""

    game: str
    """Atari game whose action set the agent plays."""
    actor_critic: ActorCriticConfig
    """Architecture."""
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])
    """How it was trained: updates, seconds, hardware, date."""
    format: int = FORMAT
    """Version of this file."""


def write_agent(folder: Path, game: str, network: ActorCritic, provenance: dict[str, Any]) -> None:
    """Writes an agent folder in float32. ``agent.yaml`` comes last: a half-written folder is not taken for an agent."""
    write_component(folder / "actor_critic.safetensors", network, torch.float32)
    write_text(folder / "agent.yaml", to_yaml(AgentConfig(game, network.cfg, provenance)))


def read_agent(folder: Path) -> tuple[AgentConfig, ActorCritic]:
    """Loads an agent folder (on the CPU), checking every key and shape.

    Raises ``DiamondError`` saying what is missing or damaged.
    """
    config = read_config(AgentConfig, folder / "agent.yaml")
    if config.format != FORMAT:
        raise DiamondError(f"{folder} is an agent of format {config.format}; this version reads format {FORMAT}")
    states = {"actor_critic": read_component(folder / "actor_critic.safetensors")}
    return config, built(ActorCritic, config.actor_critic, "actor_critic", states, str(folder))
