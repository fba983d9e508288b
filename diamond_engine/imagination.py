"""The world model as an environment: reset from real contexts, step as its kind does (Algorithm 1, lines 22 to 32).

A world of two stages draws a small frame with its dynamics model and enlarges it with its upsampler (CS:GO).
Shapes: B environments, L context length, K full-resolution frames, C channels, A entries of an action vector, H height,
W width (h, w before upsampling).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond_engine.contexts import StartContexts
from diamond_engine.environment import Info
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.runtime import FrameStep, Memory, OnStage, Runtime
from diamond_engine.world_model import Preset, World, misfit


class ContextSource(Protocol):
    """A source of start contexts."""

    def draw(self, count: int) -> StartContexts:
        """Draws ``count`` contexts."""
        ...


class UniformContexts:
    """Draws uniformly from given contexts. ``seed`` may be a shared generator."""

    def __init__(self, contexts: StartContexts, seed: int | np.random.Generator) -> None:
        self.contexts = contexts
        self._rng = np.random.default_rng(seed)

    def draw(self, count: int) -> StartContexts:
        """See ``ContextSource.draw``."""
        chosen = self._rng.integers(len(self.contexts), size=count)
        return self.contexts.take(chosen)


@dataclass(frozen=True)
class DreamState:
    """Where B dreams are, and all randomness to come: what ``WorldModelEnv.restore_state`` goes on from."""

    memory: Memory
    """What they are made of."""
    steps: Tensor
    """Since each began ``(B,)``."""
    noise: Tensor
    """States ``(G, …)`` of the generators of noise, rewards and ends: one, or one for each dream."""
    draws: tuple[Mapping[str, Any], ...]
    """States of as many generators that choose start contexts."""
    contexts: StartContexts | None
    """What dreams start anew from."""


class WorldModelEnv:
    """B imagined games stepped together; a game that ends is reset in the same step (unless ``autoreset`` is off).

    ``reset`` returns ``(obs, info)``; ``step(actions)`` returns ``(obs, reward, terminated, truncated, info)``: obs
    float ``(B, C, H, W)`` in [-1, 1], reward float ``(B,)`` in {-1, 0, 1}, terminated and truncated bool ``(B,)``. When
    some environment was reset, info holds ``final_obs`` ``(B, C, H, W)``, what the action led to, and ``context``
    ``(B, L-1, C, h, w)``, what the dynamics model saw before ``obs`` (both are valid only for reset environments). In a
    world of two stages info always holds ``low_res`` ``(B, C, h, w)``, ``obs`` before upsampling. The environment works
    on copies of the world's networks.
    """

    def __init__(
        self,
        world: World,
        num_envs: int = 8,
        device: str | Runtime = "auto",
        preset: str | Preset | None = None,
        seed: int = 0,
        *,
        dtype: str = "auto",
        horizon: int | None = None,
        contexts: ContextSource | None = None,
        autoreset: bool = True,
        on_stage: OnStage | None = None,
        compile: bool = True,
    ) -> None:
        """``horizon`` truncates imagined episodes after so many steps; ``contexts`` replaces the world's own.

        Without ``autoreset`` a dream goes on from the frame that ended it until ``reset``. ``on_stage`` is called in
        every step with the name of each stage (``dynamics``, ``upsampler``) and the frames it drew; where the runtime
        records whole frames there is one stage, ``frame``. ``compile`` is that of ``Runtime.choose``; a runtime
        may be given instead of a device name. Raises ``UsageError`` for an unknown device name, for no environment, and
        for a preset that is unknown or lacks a sampler for the world's upsampler.
        """
        if num_envs < 1:
            raise UsageError(f"num_envs must be at least 1, not {num_envs}")
        self.world = world
        self.num_envs = num_envs
        self.num_actions = world.config.num_actions
        self.horizon = horizon
        self.autoreset = autoreset
        self._on_stage: OnStage = on_stage or (lambda stage, drawn: None)
        self.preset = preset if isinstance(preset, Preset) else world.config.preset(preset)
        self._memory: Memory | None = None
        self._advance: Callable[[], None] | None = None
        self.runtime = Runtime.choose(device, dtype, compile=compile)
        self._shared = self.runtime.generator(seed)
        self._sources = [self._shared]
        self._rngs = [np.random.default_rng(seed)]
        self._frame = self._placed()
        self._source = contexts
        self._contexts = world.contexts
        self._steps = torch.zeros(0)

    def save_state(self) -> DreamState:
        """Where all dreams are now. Raises ``UsageError`` before the first reset."""
        if self._memory is None:
            raise UsageError("call reset() before save_state()")
        return DreamState(deepcopy(self._memory), self._steps.clone(), *self._randomness(), self._contexts)

    def restore_state(self, state: DreamState) -> Tensor:
        """Goes on from a saved state of as many dreams of this world, as often as one likes; returns ``obs``."""
        if self._memory is None:
            self._memory = deepcopy(state.memory)
        else:
            for mine, saved in zip(self._memory.tensors, state.memory.tensors, strict=True):
                mine.copy_(saved)
        self._steps, self._contexts = state.steps.clone(), state.contexts
        self._randomise(state.noise, state.draws)
        return self._memory.shown.clone()

    def _randomness(self) -> tuple[Tensor, tuple[Mapping[str, Any], ...]]:
        """The states of all generators, for ``_randomise``."""
        draws: tuple[Mapping[str, Any], ...] = tuple(dict(rng.bit_generator.state) for rng in self._rngs)
        return torch.stack([source.get_state() for source in self._sources]), draws

    def _randomise(self, noise: Tensor, draws: Sequence[Mapping[str, Any]]) -> None:
        self._use(self._sources if len(noise) == len(self._sources) else self._new_sources(len(noise)))
        for source, state in zip(self._sources, noise, strict=True):
            source.set_state(state.clone())  # torch reads from the beginning of a view
        self._rngs = [np.random.default_rng(0) for _ in draws]
        for rng, state in zip(self._rngs, draws, strict=True):
            rng.bit_generator.state = dict(state)

    def _new_sources(self, count: int) -> list[torch.Generator]:
        return [self._shared] if count == 1 else [self.runtime.generator(0) for _ in range(count)]

    def _use(self, sources: Sequence[torch.Generator]) -> None:
        """Draws from these from now on. ``_frame`` knows the list; what was recorded knows the generator in it."""
        if len(sources) != len(self._sources):
            self._advance = None
        self._sources[:] = sources

    def __getstate__(self) -> dict[str, Any]:
        """For copies and other processes: all but ``on_stage``, and the way to draw is built anew."""
        return {
            "made": {
                "world": self.world,
                "num_envs": self.num_envs,
                "device": str(self.runtime.device),
                "preset": self.preset,
                "dtype": self.runtime.dtype_name,
                "horizon": self.horizon,
                "contexts": self._source,
                "autoreset": self.autoreset,
                "compile": self.runtime.kernels is not None,
            },
            "randomness": self._randomness(),
            "state": None if self._memory is None else self.save_state(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """See ``__getstate__``."""
        self.__init__(**state["made"])
        self._randomise(*state["randomness"])
        if state["state"] is not None:
            self.restore_state(state["state"])

    def __deepcopy__(self, memo: dict[int, Any]) -> WorldModelEnv:
        """A copy whose dreams go their own way from here; it shares the world."""
        copied = WorldModelEnv.__new__(WorldModelEnv)
        copied.__setstate__(self.__getstate__())
        return copied

    def seed(self, seed: int | Sequence[int | None]) -> None:
        """Restarts all randomness but that of ``contexts``. Same seed, device, dtype and actions, same frames.

        By a list of B seeds every dream gets its own: it depends neither on the others nor on B, but for what a batch
        of another size rounds otherwise. A dream whose seed is None goes on from where it was. On a GPU such dreams are
        drawn kernel by kernel, not as a recorded whole. Raises ``UsageError`` for another list.
        """
        if isinstance(seed, Sequence):
            self._seed_each(seed)
        else:
            self._use([self._shared])
            self._shared.manual_seed(seed)
            self._rngs = [np.random.default_rng(seed)]

    def _seed_each(self, seeds: Sequence[int | None]) -> None:
        if len(seeds) != self.num_envs or not all(seed is None or seed >= 0 for seed in seeds):
            raise UsageError(f"seed must be a number, or a list of {self.num_envs} of at least 0 or None, not {seeds}")
        if len(self._sources) != self.num_envs:
            begun = [int(first) for first in self._rngs[0].integers(2**31, size=self.num_envs)]
            self._use(self._new_sources(self.num_envs))
            self._rngs = [np.random.default_rng(first) for first in begun]
            for source, first in zip(self._sources, begun, strict=True):
                source.manual_seed(first)
        for i, seed in enumerate(seeds):
            if seed is not None:
                self._sources[i].manual_seed(seed)
                self._rngs[i] = np.random.default_rng(seed)

    def run_on(self, runtime: Runtime) -> None:
        """Switches to other kernels on the same device and in the same precision. The dreams continue.

        Raises ``UsageError`` for another device or precision.
        """
        runtime.check_follows(self.runtime)
        if runtime.kernels is not self.runtime.kernels:
            self.runtime, self._advance = runtime, None
            self._frame = self._placed()

    def _placed(self) -> FrameStep[Any]:
        return self.world.frame_step(self.runtime, self.preset, self._sources, self._on_stage)

    @torch.no_grad()
    def reset(
        self, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Tensor, Info]:
        """Starts all environments, from ``options`` or from drawn contexts.

        ``options``: ``context``, an index into the world's start contexts (or B of them); or else ``frames`` uint8
        ``(B, L, h, w, 3)``, oldest first, ``actions`` ``(B, L-1)`` or ``(B, L-1, A)`` between them, and, for an
        upsampler, ``full_res`` uint8 ``(B, K, H, W, 3)``; a world without start contexts draws its restarts from them.
        With ``reset_mask``, bool ``(B,)``, only those start anew for which it holds, and B is their number. ``seed`` as
        in ``seed()``, a list also of those that go on. Raises ``UsageError`` for options and seeds that do not fit.
        """
        given = dict(options or {})
        mask = self._masked(given.pop("reset_mask", None))
        if isinstance(seed, Sequence):
            seed = [each if i >= self.num_envs or mask[i] else None for i, each in enumerate(seed)]
        if seed is not None:
            self.seed(seed)
        start = self._chosen(given, int(mask.sum())) if given else self._draw(mask)
        self._contexts = self.world.contexts or start
        begun = self._begun(start)
        memory = self._memory or begun
        if memory is begun:
            self._memory = memory
            self._steps = torch.zeros(self.num_envs, dtype=torch.int64, device=self.runtime.device)
        else:
            memory.begin(mask, begun)
            self._steps[mask] = 0
        return memory.shown.clone(), {"context": memory.frames[:, :-1].clone()} | self._low_res(memory)

    @torch.no_grad()
    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Info]:
        """Takes actions ``(B,)``, indices, or ``(B, A)``, vectors of zeros and ones of any type; see the class."""
        memory = self._memory
        if memory is None:
            raise UsageError("call reset() before step()")
        if actions.shape != memory.actions[:, -1].shape:
            wanted = tuple(memory.actions[:, -1].shape)
            raise UsageError(f"actions must have shape {wanted}, not {tuple(actions.shape)}")
        memory.actions[:, -1] = actions
        self._draw_frame(memory)
        obs, rewards, ends = memory.shown.clone(), memory.rewards.clone(), memory.ends.clone()
        self._steps += 1
        truncs = torch.zeros_like(ends) if self.horizon is None else (self._steps >= self.horizon) & ~ends
        dead = ends | truncs
        info: Info = {}
        if self.autoreset and bool(dead.any()):
            info["final_obs"] = obs
            memory.begin(dead, self._begun(self._draw(dead)))
            self._steps[dead] = 0
            info["context"], obs = memory.frames[:, :-1].clone(), memory.shown.clone()
        return obs, rewards, ends, truncs, info | self._low_res(memory)

    def _draw_frame(self, memory: Memory) -> None:
        with self.runtime.without_autocast():  # an agent that learns in dreams is in its own
            if self._advance is None:
                frame = self._frame
                self._advance = lambda: frame.draw(memory)
                if frame.recordable and len(self._sources) == 1:
                    self._advance = self.runtime.recorded(self._advance, memory.tensors, self._shared)
            self._advance()
        if self.runtime.records and self._frame.recordable:
            self._on_stage("frame", memory.shown)

    def _begun(self, start: StartContexts) -> Memory:
        with self.runtime.without_autocast():
            return self._frame.begin(start)

    def _low_res(self, memory: Memory) -> Info:
        return {} if memory.low_res is None else {"low_res": memory.low_res.clone()}

    def _draw(self, where: Tensor) -> StartContexts:
        """Contexts for the dreams where mask ``(B,)`` holds."""
        if self._source is not None:
            return self._source.draw(int(where.sum()))
        if self._contexts is None:
            raise DiamondError(f"{self.world.config.name} has no start contexts: pass frames and actions to reset()")
        if len(self._rngs) == 1:
            return UniformContexts(self._contexts, self._rngs[0]).draw(int(where.sum()))
        rngs = [self._rngs[i] for i in np.flatnonzero(where.cpu().numpy())]
        return self._contexts.take(np.concatenate([rng.integers(len(self._contexts), size=1) for rng in rngs]))

    def _masked(self, mask: Any) -> Tensor:
        """Which dreams a reset is of; all of them unless something else was asked for."""
        asked = np.ones(self.num_envs, dtype=np.bool_) if mask is None else np.asarray(mask)
        if asked.shape != (self.num_envs,) or asked.dtype != np.bool_ or not asked.any():
            raise UsageError(f"options['reset_mask'] must be {self.num_envs} booleans, one of them true, not {mask}")
        if self._memory is None and not asked.all():
            raise UsageError("the first reset is of all dreams: leave options['reset_mask'] out")
        return torch.as_tensor(asked, device=self.runtime.device)

    def _chosen(self, options: dict[str, Any], wanted: int) -> StartContexts:
        if options.keys() == {"context"}:
            return self._numbered(np.asarray(options["context"]), wanted)
        names = ["frames", "actions", *(["full_res"] if self.world.config.full_res_length else [])]
        if options.keys() != {*names}:
            raise UsageError(f"options of reset(): context, or {', '.join(names)}; not {', '.join(map(str, options))}")
        start = StartContexts(**{name: np.asarray(value) for name, value in options.items()})
        problem = misfit(start, self.world.config)
        if problem is None and len(start) != wanted:
            problem = f"it needs {wanted} contexts, found {len(start)}"
        if problem is not None:
            raise UsageError(f"options of reset() do not fit: {problem}")
        return start

    def _numbered(self, context: NDArray[np.integer], wanted: int) -> StartContexts:
        contexts = self.world.contexts
        count = 0 if contexts is None else len(contexts)
        fits = context.shape in ((), (wanted,)) and context.dtype.kind in "iu"
        if contexts is None or not fits or not np.isin(context, range(count)).all():
            name = self.world.config.name
            raise UsageError(f"options['context'] must be an index or {wanted}; {name} has {count} contexts")
        return contexts.take(np.broadcast_to(context, wanted))
