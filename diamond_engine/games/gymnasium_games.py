"""Any Gymnasium environment as a game: its pictures, area-resized, and a table of its actions.

A picture is the observation where that is one (uint8, grey or RGB), else the environment's ``rgb_array`` rendering. An
environment may name the actions of its ``Discrete`` space by ``get_action_meanings()`` or an enumeration ``actions``,
and say by ``get_keys_to_action()`` which keys are theirs. Shapes: H height, W width.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from enum import IntEnum
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import gettempdir
from typing import Any, cast

import cv2
import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Space
from numpy.typing import NDArray

from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games.action_table import ActionTable, tabulated, with_keys
from diamond_engine.games.game import Game
from diamond_engine.games.own import PREFIX, own_game

SMALLEST_PICTURE = 16
"""Pixels of a side; smaller arrays of bytes are no pictures."""
PACKAGES = {"MiniGrid": "minigrid", "BabyAI": "minigrid"}
"""Packages that register their environments only as they are imported, by the beginning of the ids."""
PLACE_OF_SCREENS = "XDG_RUNTIME_DIR", gettempdir()
"""Where pygame's environments look for a screen, also to draw without one; where it is not set they print an error."""
RATES = (1.0, 60.0)
USUAL_RATE = 15.0
Frame = NDArray[np.uint8]
Environment = gymnasium.Env[Any, Any]


class Pictures(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose observations are its pictures ``(H, W, 3)``."""

    def __init__(self, env: Environment, height: int, width: int) -> None:
        super().__init__(env)
        self._shape = height, width
        self._observed = is_picture(env.observation_space)
        self.observation_space = Box(0, 255, (height, width, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """See ``gymnasium.Env.reset``."""
        obs, _ = self.env.reset(seed=seed, options=options)
        return self._picture(obs), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """See ``gymnasium.Env.step``; what it tells besides is left out."""
        obs, reward, terminated, truncated, _ = self.env.step(action)
        return self._picture(obs), reward, terminated, truncated, {}

    def _picture(self, obs: Any) -> Frame:
        return resized(np.asarray(obs if self._observed else self.env.render(), dtype=np.uint8), *self._shape)


def resized(image: Frame, height: int, width: int) -> Frame:
    """A picture uint8, ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)``, as ``(height, width, 3)`` RGB, by area."""
    coloured = np.broadcast_to(image.reshape(*image.shape[:2], -1), (*image.shape[:2], 3))
    return cast(Frame, cv2.resize(np.ascontiguousarray(coloured), (width, height), interpolation=cv2.INTER_AREA))


def is_picture(space: Space[Any]) -> bool:
    """Whether observations are pictures: uint8 ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)``."""
    if not isinstance(space, Box) or cast(Any, space).dtype != np.uint8 or len(space.shape) not in (2, 3):
        return False
    return min(space.shape[:2]) >= SMALLEST_PICTURE and space.shape[2:] in ((), (1,), (3,))


def make_environment(id: str) -> Environment:
    """Makes an environment that can show itself, by its id: ``CartPole-v1``, or ``module:Env-v0`` of one's own.

    Raises ``UsageError`` where there is none or it has no pictures, ``DiamondError`` where it fails.
    """
    importable_from_here()
    os.environ.setdefault(*PLACE_OF_SCREENS)
    try:
        spec = _spec(id)
    except gymnasium.error.Error as error:
        raise UsageError(f"there is no Gymnasium environment {id!r}: {_line(error)}") from error
    with failures_of(id):
        try:
            env = gymnasium.make(spec, disable_env_checker=True)
        except gymnasium.error.DependencyNotInstalled as error:
            raise UsageError(f"{id} needs what is not installed: {_line(error)}") from error
        if is_picture(env.observation_space):
            return env
        modes: list[str] = env.metadata.get("render_modes", [])
        env.close()
        if "rgb_array" not in modes:
            raise UsageError(f"{id} has no pictures: its observations are none, and it does not render to rgb_array")
        return gymnasium.make(spec, disable_env_checker=True, render_mode="rgb_array")


@cache
def described(id: str) -> tuple[Game, ActionTable]:
    """An environment as a game, and what its actions stand for. Raises as ``make_environment`` does."""
    env = make_environment(id)
    with failures_of(id):
        inner = cast(Any, env.unwrapped)
        table = tabulated(env.action_space, _meanings(inner))
        if hasattr(inner, "get_keys_to_action"):
            table = with_keys(table, inner.get_keys_to_action())
        rate = float(env.metadata.get("render_fps") or USUAL_RATE)
        env.close()
    slowest, fastest = RATES
    game = own_game(PREFIX + id, table.names, table.buttons)
    return replace(game, frame_rate=min(max(rate, slowest), fastest)), table


def _meanings(env: Any) -> tuple[str, ...]:
    if hasattr(env, "get_action_meanings"):
        return tuple(map(str, env.get_action_meanings()))
    actions = getattr(env, "actions", None)
    if isinstance(actions, type) and issubclass(actions, IntEnum):
        return tuple(action.name for action in actions)
    return ()


def _spec(id: str) -> EnvSpec:
    """The environment that Gymnasium knows, or that a module registers as it is imported."""
    module, _, name = id.rpartition(":")
    module = module or PACKAGES.get(name.partition("-")[0], "")
    if module:
        imported(module)
    return gymnasium.spec(name)


def importable_from_here() -> None:
    """Lets modules in the current folder be imported, as Python does where it is started by ``python``."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def imported(module: str) -> Any:
    """A module of a person's own. Raises ``UsageError`` where there is none, ``DiamondError`` where it fails."""
    importable_from_here()
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] and error.name != module:
            raise DiamondError(f"{module} cannot be imported: {_line(error)}") from error
        where = f"pip install {module}" if module in PACKAGES.values() else "it must lie in this folder or be installed"
        raise UsageError(f"there is no module {module!r} here: {where}") from error
    except Exception as error:
        raise DiamondError(f"{module} cannot be imported: {_line(error)}") from error


@contextmanager
def failures_of(name: str) -> Generator[None]:
    """Turns whatever a person's own code raises into a ``DiamondError`` of one line."""
    try:
        yield
    except (DiamondError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise DiamondError(f"{name} fails: {_line(error)}") from error


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
