"""Actions that are vectors of zeros and ones: what keys and mouse mean to a first-person world."""

from diamond_engine.actions import csgo
from diamond_engine.actions.csgo import CsgoAction

__all__ = ["CsgoAction", "csgo"]
