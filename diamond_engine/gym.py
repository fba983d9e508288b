"""Dreams as Gymnasium environments, numpy in and out.

    gymnasium.make("diamond_engine:diamond/Breakout-v0", render_mode="rgb_array")
    gymnasium.make_vec("diamond_engine:diamond/Breakout-v0", num_envs=8)

Observations are frames uint8 ``(H, W, 3)`` RGB, rewards the signs of the game's (-1, 0 or 1), actions indices into its
minimal set, or in a first-person world vectors ``(A,)`` of zeros and ones. ``reset(seed=…, options=…)`` starts from
given real frames, with the options of ``WorldModelEnv.reset``. The same seed, device, dtype and actions give the same
frames as ``WorldModelEnv``.

Shapes: B environments, L context length, A entries of an action vector, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, Space
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from diamond_engine.errors import UsageError
from diamond_engine.frames import to_numpy
from diamond_engine.imagination import DreamState, WorldModelEnv
from diamond_engine.loading import load_world
from diamond_engine.world_model import Preset, World

HORIZON = 1000
"""Default number of steps after which a dream is truncated: few worlds stay sharp longer."""

METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}
Frames = NDArray[np.uint8]
Action = np.integer | NDArray[np.integer]


class DreamEnv(gymnasium.Env[Frames, Action]):
    """One dream. ``options`` of ``reset`` have no batch axis: frames ``(L, H, W, 3)``, actions ``(L-1,)``."""

    metadata = METADATA

    def __init__(
        self,
        world: str | Path | World,
        *,
        weights: str | Path | None = None,
        preset: str | Preset | None = None,
        device: str = "auto",
        dtype: str = "auto",
        horizon: int | None = HORIZON,
        render_mode: str | None = None,
    ) -> None:
        """``world`` and ``weights`` as in ``load_world``; ``preset``, ``device``, ``dtype`` and ``horizon`` (None: no
        limit) as in ``WorldModelEnv``.

        Raises ``DiamondError`` if the world cannot be loaded and ``UsageError`` for unknown names.
        """
        _check_render_mode(render_mode)
        seed = int(self.np_random.integers(2**31))
        opened = _opened(world, weights)
        self._dream = WorldModelEnv(opened, 1, device, preset, seed, dtype=dtype, horizon=horizon, autoreset=False)
        self.observation_space, self.action_space = _spaces(opened)
        self.metadata = {**self.metadata, "render_fps": opened.config.frame_rate}
        self.render_mode = render_mode
        self._frame: Frames | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Starts a dream from a drawn context or from ``options``: frame ``(H, W, 3)`` and info.

        Without a seed the randomness goes on from where it was. Raises ``UsageError`` for options that do not fit.
        """
        super().reset(seed=seed)
        batched = {name: np.asarray(value)[None] for name, value in (options or {}).items()}
        obs, _ = self._dream.reset(seed, batched)
        self._frame = to_numpy(obs[0])
        return self._frame, {}

    def step(self, action: Action) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Dreams the frame ``(H, W, 3)`` that the action leads to, its reward, end and truncation."""
        obs, rewards, ends, truncs, _ = self._dream.step(_to_tensor(np.asarray([action]), self._dream))
        self._frame = to_numpy(obs[0])
        return self._frame, float(rewards[0]), bool(ends[0]), bool(truncs[0]), {}

    def save_state(self) -> DreamState:
        """Where the dream is: ``restore_state`` goes on from there, as often as a planner likes.

        Raises ``UsageError`` before the first reset.
        """
        return self._dream.save_state()

    def restore_state(self, state: DreamState) -> Frames:
        """The frame ``(H, W, 3)`` from which the dream goes on."""
        self._frame = to_numpy(self._dream.restore_state(state)[0])
        return self._frame

    def render(self) -> Frames | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The newest frame ``(H, W, 3)`` if the render mode is ``rgb_array``."""
        if self.render_mode is None or self._frame is None:
            return None
        return self._frame.copy()


class DreamVectorEnv(VectorEnv[Frames, NDArray[np.integer], NDArray[Any]]):
    """B dreams in one batch; one that ends starts anew in the same step (``AutoresetMode.SAME_STEP``).

    For these, ``info["_final_obs"]`` ``(B,)`` is true and ``info["final_obs"]`` ``(B, H, W, 3)`` holds the frame that
    the action led to. By one seed all randomness comes from one generator: it gives the same B dreams again, but dream
    i depends on B and on when the others end. By a list of B seeds every dream has its own, and dream i is that of
    a batch of one with this seed, but for what a larger batch rounds otherwise.

    Gymnasium's ``RecordEpisodeStatistics`` counts the steps of such environments right from version 1.4 on.
    """

    metadata = METADATA | {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        world: str | Path | World,
        num_envs: int = 1,
        *,
        weights: str | Path | None = None,
        preset: str | Preset | None = None,
        device: str = "auto",
        dtype: str = "auto",
        horizon: int | None = HORIZON,
        render_mode: str | None = None,
    ) -> None:
        """See ``DreamEnv``."""
        _check_render_mode(render_mode)
        seed = int(self.np_random.integers(2**31))
        opened = _opened(world, weights)
        self._dreams = WorldModelEnv(opened, num_envs, device, preset, seed, dtype=dtype, horizon=horizon)
        self.num_envs = num_envs
        frame, action = self.single_observation_space, self.single_action_space = _spaces(opened)
        self.observation_space, self.action_space = batch_space(frame, num_envs), batch_space(action, num_envs)
        self.metadata = {**self.metadata, "render_fps": opened.config.frame_rate}
        self.render_mode = render_mode
        self._frames: Frames | None = None

    def reset(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frames, dict[str, Any]]:
        """Starts all dreams from drawn contexts or from ``options``: frames ``(B, H, W, 3)`` and info.

        ``options``: those of ``WorldModelEnv.reset``, such as ``reset_mask`` for a part of them. ``seed``: one for the
        batch, or a list with one for each dream (None: goes on). Without it the randomness goes on from where it was.
        Raises ``UsageError`` for options and seeds that do not fit.
        """
        if isinstance(seed, np.ndarray):
            seed = cast(list[int], seed.tolist())
        if not isinstance(seed, Sequence):
            super().reset(seed=seed)
        obs, _ = self._dreams.reset(seed, options)
        self._frames = to_numpy(obs)
        return self._frames, {}

    def step(
        self, actions: NDArray[np.integer]
    ) -> tuple[Frames, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Takes actions ``(B,)`` or ``(B, A)``: frames ``(B, H, W, 3)``, rewards, ends, truncations ``(B,)``, info."""
        obs, rewards, ends, truncs, info = self._dreams.step(_to_tensor(np.asarray(actions), self._dreams))
        self._frames = to_numpy(obs)
        over = (ends | truncs).cpu().numpy()
        infos: dict[str, Any] = {}
        if "final_obs" in info:
            infos = {
                "final_obs": to_numpy(info["final_obs"]),
                "_final_obs": over,
                "final_info": {},
                "_final_info": over.copy(),
            }
        return self._frames, rewards.cpu().double().numpy(), ends.cpu().numpy(), truncs.cpu().numpy(), infos

    def save_state(self) -> DreamState:
        """See ``DreamEnv.save_state``; of all dreams."""
        return self._dreams.save_state()

    def restore_state(self, state: DreamState) -> Frames:
        """The frames ``(B, H, W, 3)`` from which the dreams go on."""
        self._frames = to_numpy(self._dreams.restore_state(state))
        return self._frames

    def render(self) -> tuple[Frames, ...] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The newest frame ``(H, W, 3)`` of every dream if the render mode is ``rgb_array``."""
        if self.render_mode is None or self._frames is None:
            return None
        return tuple(self._frames.copy())


def _check_render_mode(mode: str | None) -> None:
    if mode not in (None, *METADATA["render_modes"]):
        raise UsageError(f"render_mode must be rgb_array or None, not {mode!r} ('diamond-play' opens a window)")


def _opened(world: str | Path | World, weights: str | Path | None) -> World:
    return world if isinstance(world, World) else load_world(world, weights=weights)


def _spaces(world: World) -> tuple[Space[Frames], Space[Any]]:
    config = world.config
    frames = cast(Space[Frames], Box(0, 255, (config.frame_height, config.frame_width, 3), np.uint8))
    return frames, MultiBinary(config.action_shape[0]) if config.action_shape else Discrete(len(world.game.actions))


def _to_tensor(actions: NDArray[np.integer], dreams: WorldModelEnv) -> torch.Tensor:
    """Actions ``(B,)`` or ``(B, A)`` as a tensor on the dreams' device."""
    config, count = dreams.world.config, dreams.num_envs
    values = 2 if config.action_shape else dreams.num_actions
    if actions.shape != (count, *config.action_shape) or not np.isin(actions, range(values)).all():
        kind = f"vectors of {dreams.num_actions}" if config.action_shape else "actions"
        raise UsageError(f"{config.name} takes {count} {kind} from 0 to {values - 1}, not {actions.tolist()}")
    return torch.as_tensor(actions, dtype=torch.int64, device=dreams.runtime.device)
