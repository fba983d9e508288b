"""Small Gymnasium environments of every kind of action space, registered as ``own/…``."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

SIDE, STEP = 64, 4


class Square(gymnasium.Env[Any, Any]):
    """A square that moves by its action; its observations are pictures."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = Box(0, 255, (SIDE, SIDE, 3), np.uint8)
    action_space: gymnasium.Space[Any] = Discrete(5)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.place = np.zeros(2, dtype=np.int64)
        self.actions_taken: list[Any] = []

    def get_action_meanings(self) -> list[str]:
        return ["stay", "up", "down", "left", "right"]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.np_random.integers(0, SIDE - 8, 2)
        return self.observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place = np.clip(self.place + self.motion(action), 0, SIDE - 8)
        return self.observation(), float(self.place[1] == 0), bool(self.place[1] == SIDE - 8), False, {}

    def motion(self, action: Any) -> Any:
        return STEP * np.array(((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)))[int(action)]

    def observation(self) -> Any:
        return self.render()

    def render(self) -> Any:
        frame = np.full((SIDE, SIDE, 3), (40, 90, 60), np.uint8)
        row, column = self.place
        frame[row : row + 8, column : column + 8] = (230, 70, 60)
        return frame


class Rendered(Square):
    """The same, told in numbers; its picture has to be rendered, with keys of its own."""

    observation_space = Dict(place=Box(0, SIDE, (2,), np.float64))
    action_space = Discrete(3)

    def get_action_meanings(self) -> list[str]:
        return []

    def get_keys_to_action(self) -> dict[Any, int]:
        return {"z": 1, (ord("x"), ord("z")): 2}

    def observation(self) -> Any:
        return {"place": self.place.astype(np.float64)}


class Switches(Square):
    """``MultiBinary``: left and right at once."""

    action_space = MultiBinary(2)

    def motion(self, action: Any) -> Any:
        assert action.shape == (2,)
        assert action.dtype == np.int8
        return STEP * np.array((0, int(action[1]) - int(action[0])))


class Dials(Square):
    """``MultiDiscrete``: 0, 1, 2 of a row and a column."""

    action_space = MultiDiscrete([3, 3])

    def motion(self, action: Any) -> Any:
        assert action.shape == (2,)
        return STEP * (np.asarray(action) - 1)


class Axes(Square):
    """``Box``: a force on either axis."""

    action_space = Box(-2.0, 2.0, (2,), np.float32)

    def motion(self, action: Any) -> Any:
        assert action.dtype == np.float32
        return np.round(STEP * action[::-1] / 2).astype(np.int64)


class Grey(Square):
    """Pictures of one colour and another size."""

    observation_space = Box(0, 255, (40, 30), np.uint8)

    def observation(self) -> Any:
        return np.full((40, 30), 7, np.uint8)


class Blind(Square):
    """Nothing to be seen."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}
    observation_space = Box(0, 1, (2,), np.float64)


class Broken(Square):
    """Raises as it is stepped."""

    def step(self, action: Any) -> Any:
        raise RuntimeError("out of\norder")


class Asleep(Square):
    """Listens to no action at first, as Space Invaders does."""

    sleep = 40

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.steps = 0
        return super().reset(seed=seed)

    def motion(self, action: Any) -> Any:
        self.steps += 1
        return super().motion(action) if self.steps > self.sleep else 0


class Deaf(Asleep):
    """Listens to none."""

    sleep = 10**9


KINDS = (Square, Rendered, Switches, Dials, Axes, Grey, Blind, Broken)
for kind in KINDS:
    gymnasium.register(f"{kind.__name__}-v0", entry_point=kind, max_episode_steps=30)
for kind in (Asleep, Deaf):
    gymnasium.register(f"{kind.__name__}-v0", entry_point=kind)
MODULE = __name__
"""Their ids are ``MODULE:Square-v0`` and so on."""
