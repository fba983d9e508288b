"""A person's own policy: a function of their module, ``module:function``, which is shown frames and says actions.

Shapes: B games, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.frames import to_numpy
from diamond_engine.games import Game
from diamond_engine.games.gymnasium_games import failures_of, imported


class CalledPolicy:
    """Asks the function in every game: a frame uint8 ``(H, W, 3)`` in, the index or the name of an action out."""

    def __init__(self, name: str, game: Game) -> None:
        """Raises ``UsageError`` where there is no such function, ``DiamondError`` where its module fails."""
        module, _, function = name.partition(":")
        found: Callable[[Any], Any] | None = getattr(imported(module), function, None)
        if not callable(found):
            raise UsageError(f"{module} has no function {function!r}: --policy is one's own as 'module:function'")
        self.label = name
        """As it was named."""
        self._function, self._game = found, game

    def act(self, obs: Tensor) -> Tensor:
        """See ``Policy.act``. Raises ``DiamondError`` where the function fails or says what is no action."""
        return torch.tensor([self._chosen(frame) for frame in to_numpy(obs)])

    def reset(self, mask: Tensor | None = None) -> None:
        """A function remembers what it likes."""

    def _chosen(self, frame: Any) -> int:
        with failures_of(self.label):
            action = self._function(frame)
        actions = self._game.actions
        if isinstance(action, str) and action in actions:
            return actions.index(action)
        if isinstance(action, str) or action not in range(len(actions)):
            raise DiamondError(f"{self.label} says {action!r}: {self._game.title} has {', '.join(actions)}")
        return int(action)
