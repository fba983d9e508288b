"""Dreams as Gymnasium environments, numpy in and out.

    gymnasium.make("diamond_engine:diamond/Breakout-v0", render_mode="rgb_array")
    gymnasium.make_vec("diamond_engine:diamond/Breakout-v0", num_envs=8)

Observations are frames uint8 ``(H, W, 3)`` RGB, rewards the signs of the game's (-1, 0 or 1), actions indices into its
minimal set. ``reset(seed=…, options={"frames": …, "actions": …})`` starts from given real frames. The same seed,
device, dtype and actions give the same frames as ``WorldModelEnv``.

Shapes: B environments, L context length, H height, W width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, Space
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from diamond_engine.errors import UsageError
from diamond_engine.frames import to_numpy
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.worlds import Preset, World, load_world

HORIZON = 1000
"""Steps after which a dream is truncated unless another ``horizon`` is asked for: few worlds stay sharp longer."""

METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}
Frames = NDArray[np.uint8]


class DreamEnv(gymnasium.Env[Frames, np.int64]):
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

        Raises ``DiamondError`` where the world cannot be loaded and ``UsageError`` for what does not exist.
        """
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

    def step(self, action: np.int64) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Dreams the frame ``(H, W, 3)`` that the action leads to, its reward, end and truncation."""
        obs, rewards, ends, truncs, _ = self._dream.step(_to_tensor(np.asarray([action]), self._dream))
        self._frame = to_numpy(obs[0])
        return self._frame, float(rewards[0]), bool(ends[0]), bool(truncs[0]), {}

    def render(self) -> Frames | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The newest frame ``(H, W, 3)`` if the render mode is ``rgb_array``."""
        if self.render_mode is None or self._frame is None:
            return None
        return self._frame.copy()


class DreamVectorEnv(VectorEnv[Frames, NDArray[np.int64], NDArray[Any]]):
    """B dreams in one batch; one that ends starts anew in the same step (``AutoresetMode.SAME_STEP``).

    Where that happened ``info["_final_obs"]`` ``(B,)`` is true and ``info["final_obs"]`` ``(B, H, W, 3)`` holds the
    frame that the action led to. All randomness comes from one generator for the whole batch: a seed gives the same B
    dreams again, but dream i depends on B and on when the others end.
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
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frames, dict[str, Any]]:
        """Starts all dreams from drawn contexts or from ``options``: frames ``(B, H, W, 3)`` and info.

        ``options``: ``frames`` uint8 ``(B, L, H, W, 3)``, oldest first, and ``actions`` ``(B, L-1)`` between them.
        Without a seed the randomness goes on from where it was. Raises ``UsageError`` for options that do not fit and
        for a list of seeds.
        """
        if isinstance(seed, (list, tuple, np.ndarray)):
            raise UsageError("the dreams of a batch share one source of randomness: give one seed, not a list")
        super().reset(seed=seed)
        obs, _ = self._dreams.reset(seed, options)
        self._frames = to_numpy(obs)
        return self._frames, {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Frames, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Takes actions ``(B,)``: next frames ``(B, H, W, 3)``, rewards, ends and truncations ``(B,)``, and info."""
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
        return self._frames, rewards.double().cpu().numpy(), ends.cpu().numpy(), truncs.cpu().numpy(), infos

    def render(self) -> tuple[Frames, ...] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The newest frame ``(H, W, 3)`` of every dream if the render mode is ``rgb_array``."""
        if self.render_mode is None or self._frames is None:
            return None
        return tuple(self._frames.copy())


def _opened(world: str | Path | World, weights: str | Path | None) -> World:
    return world if isinstance(world, World) else load_world(world, weights=weights)


def _spaces(world: World) -> tuple[Space[Frames], Space[np.int64]]:
    shape = (world.config.frame_height, world.config.frame_width, 3)
    return cast(Space[Frames], Box(0, 255, shape, np.uint8)), Discrete(len(world.game.actions))


def _to_tensor(actions: NDArray[np.int64], dreams: WorldModelEnv) -> torch.Tensor:
    """Actions ``(B,)`` as a tensor on the dreams' device."""
    if actions.shape != (dreams.num_envs,) or not np.isin(actions, range(dreams.num_actions)).all():
        game = dreams.world.game.name
        raise UsageError(f"{game} takes {dreams.num_envs} actions from 0 to {dreams.num_actions - 1}, not {actions}")
    return torch.as_tensor(actions, dtype=torch.int64, device=dreams.runtime.device)
