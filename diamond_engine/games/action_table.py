"""One table of actions for every action space of Gymnasium, and what a person presses for each.

``Discrete``: its actions. ``MultiBinary``, ``MultiDiscrete`` and ``Box``: every combination of what their entries can
be, of a ``Box`` the least, none and the most; where these are too many, one entry at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, cast

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space
from numpy.typing import NDArray

from diamond_engine.errors import UsageError
from diamond_engine.games.game import Button, Buttons

LARGEST = 64
"""Combinations beyond which one entry moves at a time."""
FREE_KEYS = "1234567890bcfghijklnopqtuvxyz"
"""Keys for what has no direction; the other letters are directions, or commands of the window."""
NO_KEY = "no key"
"""Of actions that no key is left for."""
UNREACHABLE = frozenset((NO_KEY,))
PAIRS = ((Button.LEFT, Button.RIGHT), (Button.DOWN, Button.UP))
"""What an axis is pushed by, to its least and to its most."""
JOYSTICK = re.compile("(UP|DOWN)?(LEFT|RIGHT)?(FIRE)?")
SYNONYMS: Mapping[str, str] = {"FORWARD": "UP", "BACKWARD": "DOWN", "BACK": "DOWN", "JUMP": "UP", "SHOOT": "FIRE"}
WITHOUT_MEANING = frozenset(("TURN", "MOVE", "GO", "PUSH", "TO", "THE", "ACCELERATE"))
IDLE_WORDS = frozenset(("NOOP", "NO", "OP", "STAY", "NOTHING", "NONE", "IDLE", "WAIT", "DO", "DONE"))
KEY_NAMES: Mapping[int | str, str] = {
    **{1073741906: Button.UP, 1073741905: Button.DOWN, 1073741904: Button.LEFT, 1073741903: Button.RIGHT},
    **{"w": Button.UP, "s": Button.DOWN, "a": Button.LEFT, "d": Button.RIGHT, " ": Button.FIRE},
}
"""pygame's arrow keys, and the keys of a joystick on a keyboard."""


@dataclass(frozen=True)
class ActionTable:
    """N actions."""

    names: tuple[str, ...]
    """Each different."""
    buttons: tuple[Buttons, ...]
    """What a person holds for each."""
    values: tuple[Any, ...]
    """What the environment is given."""


@dataclass(frozen=True)
class Level:
    """One value of an entry of an action."""

    value: float
    button: str = ""
    """What a person holds for it; nothing for the neutral one."""


def tabulated(space: Space[Any], meanings: Sequence[str] = ()) -> ActionTable:
    """The table of an action space; ``meanings`` names the actions of a ``Discrete`` one.

    Raises ``UsageError`` for another kind of space.
    """
    match space:
        case Discrete():
            return _named(space, meanings)
        case MultiBinary():
            keys = iter(FREE_KEYS)
            entries = [_entry((0, 1), keys) for _ in range(int(np.prod(space.shape)))]
        case MultiDiscrete():
            keys = iter(FREE_KEYS)
            counts, starts = (np.ravel(x).tolist() for x in (space.nvec, space.start))
            entries = [_entry(range(a, a + n), keys) for a, n in zip(starts, counts, strict=True)]
        case Box() if np.issubdtype(cast(Any, space.dtype), np.floating):
            entries = _axes(*(np.ravel(bound).tolist() for bound in (space.low, space.high)))
        case _:
            raise UsageError(f"actions of {space} cannot be played: use Discrete, MultiBinary, MultiDiscrete or Box")
    return _combined(entries, lambda values: np.asarray(values).reshape(space.shape or ()).astype(space.dtype))


def with_keys(table: ActionTable, keys: Mapping[Any, Any]) -> ActionTable:
    """The table with an environment's own keys: ``get_keys_to_action()``, as ``gymnasium.utils.play`` takes it."""
    buttons: list[Buttons] = [UNREACHABLE] * len(table.values)
    for held, action in keys.items():
        found = [i for i, value in enumerate(table.values) if np.array_equal(value, action)]
        parts = (held,) if isinstance(held, int) else tuple(held or ())
        if found and buttons[found[0]] is UNREACHABLE:
            buttons[found[0]] = frozenset(_key_name(part) for part in parts if part)
    if frozenset() not in buttons and buttons[0] is UNREACHABLE:
        buttons[0] = frozenset()
    return replace(table, buttons=tuple(buttons))


def _key_name(key: int | str) -> str:
    letter = chr(key) if isinstance(key, int) and key < 128 else key
    return KEY_NAMES.get(letter.lower() if isinstance(letter, str) else letter, str(letter))


def _named(space: Discrete, meanings: Sequence[str]) -> ActionTable:
    """The actions of a ``Discrete`` space: by the directions that they are named for, else by number."""
    count, start = int(space.n), int(space.start)
    fitting = len(meanings) == count and len(set(meanings)) == count
    names = tuple(meanings) if fitting else tuple(str(i) for i in range(count))
    if not fitting and count == 2:
        buttons: list[Buttons | None] = [frozenset((Button.LEFT,)), frozenset((Button.RIGHT,))]
    else:
        buttons = [_held(name) for name in names] if fitting else [None] * count
    keys = iter(FREE_KEYS if fitting else "0" + FREE_KEYS.replace("0", ""))
    taken: list[Buttons] = []
    for held in buttons:
        taken.append(frozenset((next(keys, NO_KEY),)) if held is None or held in taken else held)
    return ActionTable(names, tuple(taken), tuple(range(start, start + count)))


def _held(name: str) -> Buttons | None:
    """What an action's name says that is held, such as ``turn left`` or ``UPRIGHTFIRE``; None where it says nothing."""
    found: list[str] = re.findall("[A-Z]+", name.upper().replace("N'T", ""))
    words = [SYNONYMS.get(word, word) for word in found]
    if words and IDLE_WORDS.issuperset(words[:1]):
        return frozenset()
    matches = [JOYSTICK.fullmatch(word) for word in words if word not in WITHOUT_MEANING]
    if not matches or not all(matches):
        return None
    return frozenset(button for match in matches if match for button in match.groups() if button)


def _entry(values: Iterable[float], keys: Iterator[str]) -> list[Level]:
    """An entry whose first value is the neutral one."""
    first, *others = values
    return [Level(first), *(Level(value, next(keys, NO_KEY)) for value in others)]


def _axes(low: Sequence[float], high: Sequence[float]) -> list[list[Level]]:
    """Entries of a ``Box``: those that go two ways get opposite directions, others what is left."""
    free: list[str] = [Button.UP, Button.DOWN, Button.FIRE, *FREE_KEYS, Button.LEFT, Button.RIGHT]
    entries: list[list[Level]] = []
    for bounds in zip(low, high, strict=True):
        least, most = (float(bound if np.isfinite(bound) else np.sign(bound)) for bound in bounds)
        neutral = min(max(0.0, least), most)
        ways = [value for value in (least, most) if value != neutral]
        pair = next((pair for pair in PAIRS if len(ways) == 2 and set(pair) <= set(free)), None)
        keys = pair or (*free[: len(ways)], NO_KEY, NO_KEY)
        free = [key for key in free if key not in keys]
        entries.append([Level(neutral), *(Level(way, key) for way, key in zip(ways, keys, strict=False))])
    return entries


def _combined(entries: list[list[Level]], value: Callable[[list[float]], NDArray[Any]]) -> ActionTable:
    """All combinations of the entries' levels, the neutral one first."""
    chosen = list(product(*entries)) if np.prod([len(levels) for levels in entries]) <= LARGEST else _single(entries)
    buttons = [tuple(level.button for level in levels if level.button) for levels in chosen]
    names = ["+".join(held).lower() or "nothing" for held in buttons]
    return ActionTable(
        names=tuple(name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names)),
        buttons=tuple(map(frozenset, buttons)),
        values=tuple(value([level.value for level in levels]) for levels in chosen),
    )


def _single(entries: list[list[Level]]) -> list[tuple[Level, ...]]:
    neutral = tuple(levels[0] for levels in entries)
    moves = ((i, level) for i, levels in enumerate(entries) for level in levels[1:])
    return [neutral, *((*neutral[:i], level, *neutral[i + 1 :]) for i, level in moves)]
