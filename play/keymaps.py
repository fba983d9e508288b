"""The keymaps: a joystick with five buttons, and a first-person one with keys and mouse."""

from __future__ import annotations

from dataclasses import replace

import pygame

from diamond_engine.actions import KeyMap, csgo
from diamond_engine.actions.key_map import ARROW_MOTION, LEFT_CLICK, RIGHT_CLICK
from diamond_engine.games import Button, Game
from play.bindings import LEFT_TRIGGER, RIGHT_TRIGGER, Binding, Directions, Keycap, Keymap, WindowCommand
from play.view import Command

NAMES_SHOWN = 6
"""Actions by name in a line of the help, at most."""
PAUSE = Binding("pause, go on", ((pygame.K_PERIOD, Command.PAUSE),), "Period ( . )", ((7, Command.PAUSE),), "Start")
SINGLE_STEP = Binding(
    "play a single step", ((pygame.K_e, Command.SINGLE_STEP),), "E", ((5, Command.SINGLE_STEP),), "RB"
)
FULL_SCREEN = Binding("full screen and back", ((pygame.K_F11, WindowCommand.FULL_SCREEN),), "F11")
HELP = Binding("show or hide this help", ((pygame.K_F1, WindowCommand.HELP),), "F1")
HAND_OVER = Binding(
    "hand control to the agent and back", ((pygame.K_m, Command.HAND_OVER),), "M", ((3, Command.HAND_OVER),), "Y"
)
RESET = Binding(
    "start a new episode",
    tuple((key, Command.RESET) for key in (pygame.K_RETURN, pygame.K_KP_ENTER)),
    "Enter",
    ((6, Command.RESET),),
    "Back",
)
HORIZON_KEYS = ((pygame.K_RIGHTBRACKET, Command.LONGER_HORIZON), (pygame.K_LEFTBRACKET, Command.SHORTER_HORIZON))

JOYSTICK = Keymap(
    bindings=(
        Binding(
            "move",
            (
                (pygame.K_w, Button.UP),
                (pygame.K_a, Button.LEFT),
                (pygame.K_s, Button.DOWN),
                (pygame.K_d, Button.RIGHT),
                (pygame.K_UP, Button.UP),
                (pygame.K_LEFT, Button.LEFT),
                (pygame.K_DOWN, Button.DOWN),
                (pygame.K_RIGHT, Button.RIGHT),
            ),
            "W A S D, or the arrows",
            pad_shown="stick, cross",
        ),
        Binding("fire", ((pygame.K_SPACE, Button.FIRE),), "Space", ((0, Button.FIRE), (2, Button.FIRE)), "A, X"),
        HAND_OVER,
        RESET,
        PAUSE,
        SINGLE_STEP,
        Binding(
            "longer or shorter dreams (horizon)",
            HORIZON_KEYS,
            "] and [, or Up and Down while you do not play",
            arrows=((pygame.K_UP, Command.LONGER_HORIZON), (pygame.K_DOWN, Command.SHORTER_HORIZON)),
        ),
        Binding(
            "switch between dream and real emulator",
            ((pygame.K_TAB, Command.SWITCH_SOURCE),),
            "Tab, or Left and Right while you do not play",
            ((4, Command.SWITCH_SOURCE),),
            "LB",
            arrows=((pygame.K_LEFT, Command.SWITCH_SOURCE), (pygame.K_RIGHT, Command.SWITCH_SOURCE)),
        ),
        Binding(
            "start or stop recording",
            ((pygame.K_r, Command.RECORD), (pygame.K_F9, Command.RECORD)),
            "R, F9",
        ),
        FULL_SCREEN,
        HELP,
        Binding("quit", ((pygame.K_ESCAPE, WindowCommand.LEAVE),), "Esc"),
    ),
    stick=Directions(Button.LEFT, Button.RIGHT, Button.UP, Button.DOWN),
    cross=Directions(Button.LEFT, Button.RIGHT, Button.UP, Button.DOWN),
)
"""For Atari games."""

FIRST_PERSON_HAND_OVER = replace(HAND_OVER, text="let the recorded player play, take over")
SENSITIVITY = Binding(
    "mouse more or less sensitive",
    (
        (pygame.K_PLUS, WindowCommand.MORE_SENSITIVE),
        (pygame.K_EQUALS, WindowCommand.MORE_SENSITIVE),  # the key of + on keyboards where + needs Shift
        (pygame.K_MINUS, WindowCommand.LESS_SENSITIVE),
        (pygame.K_KP_PLUS, WindowCommand.MORE_SENSITIVE),
        (pygame.K_KP_MINUS, WindowCommand.LESS_SENSITIVE),
    ),
    "+ and -",
)
FIRST_PERSON = Keymap(
    bindings=(
        Binding(
            "walk",
            ((pygame.K_w, "w"), (pygame.K_a, "a"), (pygame.K_s, "s"), (pygame.K_d, "d")),
            "W A S D",
            pad_shown="left stick",
        ),
        Binding(
            "look around",
            (
                (pygame.K_LEFT, "left"),
                (pygame.K_RIGHT, "right"),
                (pygame.K_UP, "up"),
                (pygame.K_DOWN, "down"),
            ),
            "mouse (a click captures it), or the arrows",
            pad_shown="right stick",
        ),
        Binding("fire; second function, such as aim", (), "left and right mouse button", pad_shown="RT, LT"),
        Binding("jump", ((pygame.K_SPACE, "space"),), "Space", ((0, "space"),), "A"),
        Binding("crouch", ((pygame.K_LCTRL, "left ctrl"),), "left Ctrl", ((1, "left ctrl"),), "B"),
        Binding("walk silently", ((pygame.K_LSHIFT, "left shift"),), "left Shift", ((4, "left shift"),), "LB"),
        Binding("reload", ((pygame.K_r, "r"),), "R", ((2, "r"),), "X"),
        Binding(
            "take a weapon",
            ((pygame.K_1, "1"), (pygame.K_2, "2"), (pygame.K_3, "3")),
            "1 2 3",
            pad_shown="cross: left, up, right",
        ),
        FIRST_PERSON_HAND_OVER,
        replace(RESET, text="go to the next context"),
        PAUSE,
        SINGLE_STEP,
        SENSITIVITY,
        Binding("longer or shorter dreams (horizon)", HORIZON_KEYS, "] and ["),
        Binding("start or stop recording", ((pygame.K_F9, Command.RECORD),), "F9"),
        Binding("show the frame before upsampling", ((pygame.K_F2, WindowCommand.INSET),), "F2"),
        FULL_SCREEN,
        HELP,
        Binding("free the mouse; once more: quit", ((pygame.K_ESCAPE, WindowCommand.LEAVE),), "Esc"),
    ),
    stick=Directions("a", "d", "w", "s"),
    cross=Directions("1", "3", "2", ""),
    triggers={RIGHT_TRIGGER: LEFT_CLICK, LEFT_TRIGGER: RIGHT_CLICK},
    clicks={pygame.BUTTON_LEFT: LEFT_CLICK, pygame.BUTTON_RIGHT: RIGHT_CLICK},
    keycaps=(
        Keycap("1", "1", 0.75, 0),
        Keycap("2", "2", 1.75, 0),
        Keycap("3", "3", 2.75, 0),
        Keycap("w", "W", 2.25, 1),
        Keycap("r", "R", 4.25, 1),
        Keycap("a", "A", 1.5, 2),
        Keycap("s", "S", 2.5, 2),
        Keycap("d", "D", 3.5, 2),
        Keycap("left shift", "Shift", 0, 2, 1.4),
        Keycap("left ctrl", "Ctrl", 0, 3, 1.4),
        Keycap("space", "Space", 1.5, 3, 3.75),
    ),
)
"""For worlds that take the vectors of CS:GO; the lines before ``FIRST_PERSON_HAND_OVER`` are of its keys."""

DOOM_TEXTS = {
    "fire; second function, such as aim": "fire (right button: nothing)",
    "walk silently": "run",
    "reload": "open a door",
    "take a weapon": "take shotgun, pistol, fist",
}
DOOM = replace(
    FIRST_PERSON,
    bindings=tuple(replace(line, text=DOOM_TEXTS.get(line.text, line.text)) for line in FIRST_PERSON.bindings),
)
"""The same with the meanings the keys had in the recordings of Doom (``training.recorders.doom.controls``)."""
NAMED = {"doom": DOOM}
"""Of the games whose keys mean something else than those of CS:GO."""


SHIFTS = ("ctrl", "shift", "alt")
CODES = {
    **{"space": pygame.K_SPACE, "tab": pygame.K_TAB},
    **dict(zip(ARROW_MOTION, (pygame.K_LEFT, pygame.K_RIGHT, pygame.K_UP, pygame.K_DOWN), strict=True)),
    **dict(zip((f"left {name}" for name in SHIFTS), (pygame.K_LCTRL, pygame.K_LSHIFT, pygame.K_LALT), strict=True)),
    **dict(zip((f"right {name}" for name in SHIFTS), (pygame.K_RCTRL, pygame.K_RSHIFT, pygame.K_RALT), strict=True)),
}
"""Keys whose names are longer than a letter or digit."""
KEYCAPS_IN_A_ROW = 10


def first_person_keys(game: Game, key_map: KeyMap) -> Keymap:
    """The keymap of a first-person game; keys of its own replace commands of the window on the same keys."""
    if key_map == csgo.KEY_MAP:
        return NAMED.get(game.name, FIRST_PERSON)
    own = tuple((CODES.get(name) or ord(name), name) for name in (*key_map.keys, *key_map.arrows))
    taken = {code for code, _ in own}
    turns, clicks = bool(key_map.mouse_x or key_map.mouse_y), key_map.buttons
    shown = (*key_map.keys, *(["mouse (a click captures it), or the arrows"] if turns else []), *clicks)
    first = FIRST_PERSON.bindings.index(FIRST_PERSON_HAND_OVER)
    others = tuple(
        replace(line, keys=tuple(pair for pair in line.keys if pair[0] not in taken))
        for line in FIRST_PERSON.bindings[first:]
        if turns or line != SENSITIVITY
    )
    caps = tuple(
        Keycap(name, name.replace("left ", "l ").replace("right ", "r "), i % KEYCAPS_IN_A_ROW, i // KEYCAPS_IN_A_ROW)
        for i, name in enumerate(key_map.keys)
    )
    return replace(
        FIRST_PERSON,
        bindings=(Binding("play", own, ", ".join(shown), pad_shown="sticks, triggers"), *others),
        clicks=FIRST_PERSON.clicks if turns or clicks else {},
        keycaps=caps,
    )


def joystick_of(game: Game) -> Keymap:
    """The joystick's keymap with the game's own keys added; these replace commands of the window on the same keys."""
    if not game.keys:
        return JOYSTICK
    codes = {ord(key) for key in game.keys}
    said = {next(iter(held)): name for name, held in zip(game.actions, game.buttons, strict=True) if len(held) == 1}
    names = list(dict.fromkeys(said.get(key, key) for key in game.keys))
    text = ", ".join(names) if len(names) <= NAMES_SHOWN else f"{', '.join(names[:NAMES_SHOWN])}, …"
    own = Binding(text, tuple((ord(key), key) for key in game.keys), " ".join(game.keys).upper())
    move, fire, *others = (
        replace(line, keys=tuple(pair for pair in line.keys if pair[0] not in codes)) for line in JOYSTICK.bindings
    )
    return replace(JOYSTICK, bindings=(move, fire, own, *others))
