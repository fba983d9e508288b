"""The authors' own code as a side of a comparison, imported from where a person has it (``src`` of their repository).

Its Atari branch is known: modules ``models`` and ``envs``, whose configurations are filled in by field name. Modules
that it imports but that are not installed, such as loggers, are replaced by empty ones.
Shapes: B dreams, L context length, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Generator, Iterator, MutableSequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.frames import from_numpy, to_numpy
from diamond_engine.worlds import DiffusionPreset, DiffusionWorld

MODULES = ("models.diffusion", "models.rew_end_model", "models.actor_critic", "envs.world_model_env")
MOST_ABSENT = 50
"""Modules that are replaced before giving up."""
WITHOUT_END = 2**31
"""Steps of a dream: both sides always do the same work."""


class _Nothing:
    """Whatever is asked of a module that is not there."""

    def __init__(self, *_: Any, **__: Any) -> None: ...


class _Absent(ModuleType):
    """Stands in for a module that is not installed."""

    __path__: MutableSequence[str] = []  # noqa: RUF012  # so that it may have submodules

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing


class AuthorsCode:
    """Their classes by name."""

    def __init__(self, source: Path) -> None:
        """``source``: the folder with ``models`` and ``envs``. Raises ``UsageError`` or ``DiamondError``."""
        if not (source / "models").is_dir() or not (source / "envs").is_dir():
            raise UsageError(f"{source} holds no models and envs: give the folder src of the authors' repository")
        self._source = source
        with _first_in_path(source):
            self._modules = [_imported(name) for name in MODULES]

    def of_name(self, name: str) -> Any:
        """A class of one of the modules."""
        for module in self._modules:
            if hasattr(module, name):
                return getattr(module, name)
        raise DiamondError(f"the code in {self._source} has no {name}")

    def configured(self, name: str, values: dict[str, Any]) -> Any:
        """A configuration with those of the values that it knows; lists for tuples, as theirs come from YAML."""
        kind = self.of_name(name)
        known = {field.name for field in dataclasses.fields(kind)}
        given = {
            key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if key in known
        }
        try:
            return kind(**given)
        except TypeError as error:
            raise DiamondError(f"the code in {self._source} is of another version: {error}") from error


class AuthorsGame:
    """A whole frame by the authors' code: their agent, their world model environment, and the frame's way back."""

    def __init__(
        self, code: AuthorsCode, world: DiffusionWorld, batch: int, preset: DiffusionPreset, device: torch.device
    ) -> None:
        """Networks of the world's sizes with random weights. Raises ``UsageError`` for worlds of two stages."""
        config = world.config
        inner, reward_end = config.denoiser.inner_model, config.reward_end
        if config.upsampler is not None or reward_end is None or config.actor_critic is None or inner.patch_size > 1:
            raise UsageError(f"{config.name} cannot be compared: the authors' code has Atari worlds without patches")
        size = {"img_size": config.frame_height, "num_actions": inner.num_actions}
        denoising = {**vars(config.denoiser), "inner_model": code.configured("InnerModelConfig", vars(inner))}
        self._denoiser = code.of_name("Denoiser")(code.configured("DenoiserConfig", denoising)).to(device).eval()
        judging = code.configured("RewEndModelConfig", {**vars(reward_end), **size})
        acting = code.configured("ActorCriticConfig", {**vars(config.actor_critic), **size})
        self._agent = code.of_name("ActorCritic")(acting).to(device).eval()
        sampler = code.configured("DiffusionSamplerConfig", vars(preset.dynamics))
        dreaming = {"horizon": WITHOUT_END, "num_batches_to_preload": 1, "diffusion_sampler": sampler}
        self._env = code.of_name("WorldModelEnv")(
            self._denoiser,
            code.of_name("RewEndModel")(judging).to(device).eval(),
            _Starts(world, batch),
            code.configured("WorldModelEnvConfig", dreaming),
        )
        self._env.reset_dead = lambda dead: None  # random weights end dreams all the time
        self._obs: Tensor = self._env.reset()[0]
        zeros = torch.zeros(batch, config.actor_critic.lstm_dim, device=device)
        self._state = zeros, zeros

    @torch.no_grad()
    def step(self) -> None:
        """One frame of every dream."""
        logits, _, self._state = self._agent.predict_act_value(self._obs, self._state)
        actions = torch.distributions.Categorical(logits=logits).sample()
        self._obs = self._env.step(actions)[0]
        to_numpy(self._obs)


class _Starts:
    """A world's start contexts as the authors' environment wants them: an endless loader of batches."""

    def __init__(self, world: DiffusionWorld, batch: int) -> None:
        self.batch_sampler = SimpleNamespace(batch_size=batch)
        assert world.contexts is not None
        chosen = world.contexts.take(torch.arange(batch).remainder(len(world.contexts)).numpy())
        between = torch.as_tensor(chosen.actions).long()
        obs = from_numpy(chosen.frames, torch.device("cpu"))
        self._batch = SimpleNamespace(obs=obs, act=torch.cat((between, torch.zeros_like(between[:, :1])), dim=1))

    def __iter__(self) -> Iterator[SimpleNamespace]:
        while True:
            yield self._batch


@contextmanager
def _first_in_path(source: Path) -> Generator[None]:
    sys.path.insert(0, str(source.absolute()))
    try:
        yield
    finally:
        sys.path.remove(str(source.absolute()))


def _imported(name: str) -> ModuleType:
    for _ in range(MOST_ABSENT):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name in name or error.name in sys.modules:
                raise DiamondError(f"cannot import the authors' {name}: {error}") from error
            sys.modules[error.name] = _Absent(error.name)
        except Exception as error:
            raise DiamondError(f"cannot import the authors' {name}: {error}") from error
    raise DiamondError(f"cannot import the authors' {name}: too many modules are missing")
