"""Actions that are vectors of zeros and ones: what keys and mouse mean to a first-person world."""

from diamond_engine.actions import csgo
from diamond_engine.actions.csgo import CsgoAction
from diamond_engine.actions.key_map import HandAction, KeyMap, stated_key_map

__all__ = ["CsgoAction", "HandAction", "KeyMap", "csgo", "stated_key_map"]
