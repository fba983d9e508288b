"""The world model as an environment: reset from real contexts, step by diffusion (Algorithm 1, lines 22 to 32).

A world of two stages draws a small frame with its dynamics model and enlarges it with its upsampler (CS:GO).
Shapes: B environments, L context length, K full-resolution frames, C channels, A entries of an action vector, H height,
W width (h, w before upsampling).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond_engine.diffusion import sample
from diamond_engine.diffusion.denoiser import enlarge
from diamond_engine.environment import Info
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.frames import from_numpy
from diamond_engine.networks.reward_end import LSTMState
from diamond_engine.runtime import Runtime
from diamond_engine.spawns import Spawns
from diamond_engine.worlds import Preset, World, misfit

OnStage = Callable[[str, Tensor], None]
"""Is told which stage of the world model has drawn which frames ``(B, C, H, W)``."""


class ContextSource(Protocol):
    """Where imagined episodes start from."""

    def draw(self, count: int) -> Spawns:
        """``count`` real contexts."""
        ...


class SpawnSource:
    """Draws uniformly from given contexts; ``seed`` may be a generator to share."""

    def __init__(self, spawns: Spawns, seed: int | np.random.Generator) -> None:
        self.spawns = spawns
        self._rng = np.random.default_rng(seed)

    def draw(self, count: int) -> Spawns:
        """See ``ContextSource.draw``."""
        chosen = self._rng.integers(len(self.spawns), size=count)
        return self.spawns.take(chosen)


class WorldModelEnv:
    """B imagined games stepped together; one that ends is reset in the same step (unless ``autoreset`` is off).

    ``reset`` returns ``(obs, info)``; ``step(actions)`` returns ``(obs, reward, terminated, truncated, info)``: obs
    float ``(B, C, H, W)`` in [-1, 1], reward float ``(B,)`` in {-1, 0, 1}, terminated and truncated bool ``(B,)``. When
    some environment was reset, info holds ``final_obs`` ``(B, C, H, W)``, what the action led to, and ``context``
    ``(B, L-1, C, h, w)``, what the dynamics model saw before ``obs`` (both to be read only where it was reset). In a
    world of two stages info always holds ``low_res`` ``(B, C, h, w)``, ``obs`` before upsampling. The world's networks
    stay as they are: the environment works on copies.
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
        """``horizon`` truncates imagined episodes after so many steps; ``contexts`` replaces the world's spawns.

        Without ``autoreset`` a dream goes on from the frame that ended it until ``reset``. ``on_stage`` is called in
        every step with the name of each stage (``dynamics``, ``upsampler``) and the frames it drew. ``compile`` is
        that of ``Runtime.choose``, and like there a runtime may stand for the device's name. Raises ``UsageError``
        for an unknown device name, and for a preset that is unknown or lacks a sampler for the world's upsampler.
        """
        self.world = world
        self.num_envs = num_envs
        self.num_actions = world.config.denoiser.inner_model.num_actions or 0
        self.horizon = horizon
        self.autoreset = autoreset
        self._on_stage: OnStage = on_stage or (lambda stage, drawn: None)
        self.preset = preset if isinstance(preset, Preset) else world.config.preset(preset)
        if world.upsampler is not None and self.preset.upsampler is None:
            raise UsageError(f"{world.config.name} has an upsampler: the preset needs a sampler for it")
        self._place(Runtime.choose(device, dtype, compile=compile))
        self._contexts = contexts
        self._spawns = world.spawns
        self.seed(seed)
        self._frames = torch.zeros(0)
        self._full_res: Tensor | None = None
        self._actions = torch.zeros(0)
        self._state: LSTMState | None = None
        self._steps = torch.zeros(0)

    def seed(self, seed: int) -> None:
        """Restarts all randomness but that of ``contexts``: same seed, device, dtype and actions, same frames."""
        self._generator = self.runtime.generator(seed)
        self._rng = np.random.default_rng(seed)

    def run_on(self, runtime: Runtime) -> None:
        """Draws on by other kernels on the same device and in the same precision; the dreams go on as they are.

        Raises ``UsageError`` for another device or precision.
        """
        runtime.check_follows(self.runtime)
        if runtime.kernels is not self.runtime.kernels:
            self._place(runtime)

    def _place(self, runtime: Runtime) -> None:
        """Makes the copies of the world's networks that run there."""
        world, preset = self.world, self.preset
        self.runtime = runtime
        self._denoiser = runtime.for_frames(world.denoiser, preset.dynamics)
        self._upsampler = None
        if world.upsampler is not None and preset.upsampler is not None:
            self._upsampler = runtime.for_frames(world.upsampler, preset.upsampler)
        self._reward_end = None if world.reward_end is None else runtime.for_inference(world.reward_end)

    @torch.no_grad()
    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Tensor, Info]:
        """Starts all environments, from ``options`` or from drawn contexts.

        ``options``: ``spawn``, an index into the world's start contexts (or B of them); or else ``frames`` uint8
        ``(B, L, h, w, 3)``, oldest first, ``actions`` ``(B, L-1)`` or ``(B, L-1, A)`` between them, and, for an
        upsampler, ``full_res`` uint8 ``(B, K, H, W, 3)``; a world without start contexts draws its restarts from them.
        Raises ``UsageError`` for options that do not fit.
        """
        if seed is not None:
            self.seed(seed)
        start = self._chosen(options) if options else self._draw(self.num_envs)
        self._spawns = self.world.spawns or start
        self._frames, self._full_res, self._actions, self._state = self._begun(start)
        self._steps = torch.zeros(self.num_envs, dtype=torch.int64, device=self.runtime.device)
        return self._shown(), {"context": self._frames[:, :-1]} | self._low_res()

    @torch.no_grad()
    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Info]:
        """Takes actions ``(B,)``, indices, or ``(B, A)``, vectors of zeros and ones of any type; see the class."""
        if len(self._frames) != self.num_envs:
            raise UsageError("call reset() before step()")
        if actions.shape != self._actions[:, -1].shape:
            raise UsageError(f"actions must have shape {tuple(self._actions[:, -1].shape)}, not {tuple(actions.shape)}")
        self._actions[:, -1] = actions
        obs = frame = self._next_frame()
        self._on_stage("dynamics", frame)
        rewards, ends = self._judge(frame)
        self._frames = torch.cat((self._frames[:, 1:], frame[:, None]), dim=1)
        if self._full_res is not None:
            obs = self._enlarged(frame, self._full_res)
            self._on_stage("upsampler", obs)
            self._full_res = torch.cat((self._full_res[:, 1:], obs[:, None]), dim=1)
        self._actions = torch.cat((self._actions[:, 1:], torch.zeros_like(self._actions[:, :1])), dim=1)
        self._steps += 1
        truncs = torch.zeros_like(ends) if self.horizon is None else (self._steps >= self.horizon) & ~ends
        dead = ends | truncs
        info: Info = {}
        if self.autoreset and bool(dead.any()):
            self._restart(dead)
            info = {"final_obs": obs, "context": self._frames[:, :-1]}
        return self._shown(), rewards, ends, truncs, info | self._low_res()

    def _shown(self) -> Tensor:
        """The newest frame as it is to be seen, ``(B, C, H, W)``."""
        return (self._frames if self._full_res is None else self._full_res)[:, -1]

    def _low_res(self) -> Info:
        return {} if self._full_res is None else {"low_res": self._frames[:, -1]}

    def _next_frame(self) -> Tensor:
        """The dynamics model's next frame ``(B, C, h, w)``."""
        b, _, *image = self._frames.shape
        denoise = self._denoiser.given_actions(self._actions)
        return sample(denoise, self._noise, (b, *image), self._frames.flatten(1, 2), self.preset.dynamics)

    def _enlarged(self, frame: Tensor, full_res: Tensor) -> Tensor:
        """The upsampler's frame ``(B, C, H, W)`` given the small one ``(B, C, h, w)`` and those before it."""
        assert self._upsampler is not None
        assert self.preset.upsampler is not None
        b, _, *image = full_res.shape
        context = torch.cat((full_res.flatten(1, 2), enlarge(frame, self._upsampler.cfg.upsampling_factor or 1)), dim=1)
        return sample(self._upsampler.given_actions(None), self._noise, (b, *image), context, self.preset.upsampler)

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self.runtime.device)

    def _judge(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Samples rewards and ends ``(B,)`` of the transition to ``obs``; none without a reward/end model."""
        if self._reward_end is None:
            zeros = torch.zeros(self.num_envs, device=self.runtime.device)
            return zeros, zeros.bool()
        reward_logits, end_logits, self._state = self._reward_end(
            self._frames[:, -1:], self._actions[:, -1:], obs[:, None], self._state
        )
        reward_class, end_class = (
            torch.multinomial(logits[:, 0].float().softmax(-1), 1, generator=self._generator).squeeze(1)
            for logits in (reward_logits, end_logits)
        )
        return reward_class.float() - 1, end_class.bool()

    def _warm(self, frames: Tensor, actions: Tensor) -> LSTMState | None:
        if self._reward_end is None:
            return None
        return self._reward_end(frames[:, :-1], actions[:, :-1], frames[:, 1:])[2]

    def _begun(self, start: Spawns) -> tuple[Tensor, Tensor | None, Tensor, LSTMState | None]:
        """What is known at a start: frames, full-resolution frames, actions (the next still 0), LSTM state."""
        device = self.runtime.device
        frames, full_res = from_numpy(start.frames, device), None
        if self._upsampler is not None:
            if start.full_res is None:
                raise DiamondError(f"{self.world.config.name} starts from contexts with full-resolution frames only")
            full_res = from_numpy(start.full_res, device)
        dtype = torch.float32 if self.world.config.action_shape else torch.int64
        between = torch.as_tensor(np.ascontiguousarray(start.actions), device=device).to(dtype)
        blank = between.new_zeros((len(between), 1, *self.world.config.action_shape))
        actions = torch.cat((between, blank), dim=1)
        return frames, full_res, actions, self._warm(frames, actions)

    def _restart(self, dead: Tensor) -> None:
        frames, full_res, actions, state = self._begun(self._draw(int(dead.sum())))
        self._frames[dead], self._actions[dead], self._steps[dead] = frames, actions, 0
        if full_res is not None and self._full_res is not None:
            self._full_res[dead] = full_res
        if state is not None and self._state is not None:
            for old, new in zip(self._state, state, strict=True):
                old[:, dead] = new

    def _draw(self, count: int) -> Spawns:
        if self._contexts is not None:
            return self._contexts.draw(count)
        if self._spawns is None:
            raise DiamondError(f"{self.world.config.name} has no start contexts: pass frames and actions to reset()")
        return SpawnSource(self._spawns, self._rng).draw(count)

    def _chosen(self, options: dict[str, Any]) -> Spawns:
        if options.keys() == {"spawn"}:
            return self._numbered(np.asarray(options["spawn"]))
        names = ["frames", "actions"] if self._upsampler is None else ["frames", "actions", "full_res"]
        if options.keys() != {*names}:
            raise UsageError(f"options of reset() are spawn, or {', '.join(names)}; not {', '.join(map(str, options))}")
        start = Spawns(**{name: np.asarray(value) for name, value in options.items()})
        problem = misfit(start, self.world.config)
        if problem is None and len(start) != self.num_envs:
            problem = f"it needs {self.num_envs} contexts, found {len(start)}"
        if problem is not None:
            raise UsageError(f"options of reset() do not fit: {problem}")
        return start

    def _numbered(self, spawn: NDArray[np.integer]) -> Spawns:
        spawns = self.world.spawns
        count = 0 if spawns is None else len(spawns)
        fits = spawn.shape in ((), (self.num_envs,)) and spawn.dtype.kind in "iu"
        if spawns is None or not fits or not np.isin(spawn, range(count)).all():
            name = self.world.config.name
            raise UsageError(f"options['spawn'] must be an index or {self.num_envs}; {name} has {count} start contexts")
        return spawns.take(np.broadcast_to(spawn, self.num_envs))
