"""A diffusion world model as a game: networks, diffusion, imagination, action spaces, episodes.

The public names are imported on first use, so that a command's help, which needs no network, starts at once.
Importing the package registers ``diamond/<Game>-v0`` in Gymnasium.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from diamond_engine.registration import register_worlds

if TYPE_CHECKING:
    from diamond_engine.imagination import WorldModelEnv
    from diamond_engine.loading import load_agent, load_world
    from diamond_engine.world_model import World

__all__ = ["World", "WorldModelEnv", "load_agent", "load_world"]

_HOMES = {"World": "world_model", "WorldModelEnv": "imagination", "load_agent": "loading", "load_world": "loading"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


register_worlds()
