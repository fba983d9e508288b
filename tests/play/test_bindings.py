"""Keys and gamepad controls, from pygame events to buttons and commands."""

from collections import Counter

import pygame
import pytest

from diamond_engine.actions import CsgoAction, KeyMap, csgo
from diamond_engine.games import ATARI_GAMES, Button, Game, atari_game, game_named
from diamond_engine.games.first_person import first_person_game
from play.actions import LEFT_CLICK, RIGHT_CLICK, ButtonActions, FirstPersonActions
from play.bindings import Keymap, WindowCommand
from play.genres import genre_of
from play.keymaps import DOOM, DOOM_TEXTS, FIRST_PERSON, JOYSTICK
from play.latch import Input, InputLatch
from play.view import Command

KEYS_OF_BUTTONS = {
    Button.UP: (pygame.K_w, pygame.K_UP),
    Button.DOWN: (pygame.K_s, pygame.K_DOWN),
    Button.LEFT: (pygame.K_a, pygame.K_LEFT),
    Button.RIGHT: (pygame.K_d, pygame.K_RIGHT),
    Button.FIRE: (pygame.K_SPACE,),
}


def key(code: int, down: bool = True) -> pygame.event.Event:
    return pygame.event.Event(pygame.KEYDOWN if down else pygame.KEYUP, key=code)


@pytest.mark.parametrize(("button", "code"), [(b, code) for b, codes in KEYS_OF_BUTTONS.items() for code in codes])
def test_keys_press_and_release_buttons(button: Button, code: int) -> None:
    latch = InputLatch()
    assert JOYSTICK.translate(key(code), latch, arrows_move=True) is None
    assert [latch.read(), latch.read()] == [Input((button,))] * 2
    JOYSTICK.translate(key(code, down=False), latch, arrows_move=False)
    assert latch.read() == Input()


@pytest.mark.parametrize("name", ATARI_GAMES)
def test_every_action_of_every_game_can_be_pressed(name: str) -> None:
    game = atari_game(name)
    reached = set()
    for mask in range(2 ** len(Button)):
        latch = InputLatch()
        for i, button in enumerate(Button):
            if mask >> i & 1:
                JOYSTICK.translate(key(KEYS_OF_BUTTONS[button][0]), latch, arrows_move=True)
        reached.add(ButtonActions(game).action(latch.read()))
    assert reached == set(range(len(game.actions)))


def test_arrows_are_controls_while_nobody_moves() -> None:
    latch = InputLatch()
    codes = (pygame.K_UP, pygame.K_DOWN, pygame.K_LEFT, pygame.K_RIGHT)
    commands = [JOYSTICK.translate(key(code), latch, arrows_move=False) for code in codes]
    assert commands == [
        Command.LONGER_HORIZON,
        Command.SHORTER_HORIZON,
        Command.SWITCH_SOURCE,
        Command.SWITCH_SOURCE,
    ]
    assert latch.read() == Input()


@pytest.mark.parametrize(
    ("code", "command"),
    [
        (pygame.K_m, Command.HAND_OVER),
        (pygame.K_RETURN, Command.RESET),
        (pygame.K_PERIOD, Command.PAUSE),
        (pygame.K_e, Command.SINGLE_STEP),
        (pygame.K_RIGHTBRACKET, Command.LONGER_HORIZON),
        (pygame.K_LEFTBRACKET, Command.SHORTER_HORIZON),
        (pygame.K_TAB, Command.SWITCH_SOURCE),
        (pygame.K_r, Command.RECORD),
        (pygame.K_F1, WindowCommand.HELP),
        (pygame.K_ESCAPE, WindowCommand.LEAVE),
        (pygame.K_q, None),
    ],
)
@pytest.mark.parametrize("arrows_move", [True, False])
def test_command_keys_mean_the_same_at_any_time(
    code: int, command: Command | WindowCommand | None, arrows_move: bool
) -> None:
    assert JOYSTICK.translate(key(code), InputLatch(), arrows_move) is command


def test_gamepad_buttons_stick_and_cross() -> None:
    latch = InputLatch()
    JOYSTICK.translate(pygame.event.Event(pygame.JOYBUTTONDOWN, instance_id=0, button=0), latch, arrows_move=True)
    JOYSTICK.translate(
        pygame.event.Event(pygame.JOYAXISMOTION, instance_id=0, axis=0, value=-0.9), latch, arrows_move=True
    )
    JOYSTICK.translate(
        pygame.event.Event(pygame.JOYHATMOTION, instance_id=0, hat=0, value=(0, 1)), latch, arrows_move=True
    )
    assert set(latch.read().pressed) == {Button.FIRE, Button.LEFT, Button.UP}
    JOYSTICK.translate(pygame.event.Event(pygame.JOYBUTTONUP, instance_id=0, button=0), latch, arrows_move=True)
    JOYSTICK.translate(
        pygame.event.Event(pygame.JOYAXISMOTION, instance_id=0, axis=0, value=0.1), latch, arrows_move=True
    )
    JOYSTICK.translate(
        pygame.event.Event(pygame.JOYHATMOTION, instance_id=0, hat=0, value=(1, -1)), latch, arrows_move=True
    )
    latch.read()
    assert set(latch.read().pressed) == {Button.RIGHT, Button.DOWN}
    start = pygame.event.Event(pygame.JOYBUTTONDOWN, instance_id=0, button=7)
    assert JOYSTICK.translate(start, latch, arrows_move=True) is Command.PAUSE


@pytest.mark.parametrize("kind", [pygame.WINDOWFOCUSLOST, pygame.JOYDEVICEREMOVED])
def test_nothing_stays_pressed_when_the_keyboard_or_pad_goes_away(kind: int) -> None:
    latch = InputLatch()
    JOYSTICK.translate(key(pygame.K_d), latch, arrows_move=True)
    latch.read()
    JOYSTICK.translate(pygame.event.Event(kind, instance_id=0), latch, arrows_move=True)
    assert latch.read() == Input()


@pytest.mark.parametrize("keymap", [JOYSTICK, FIRST_PERSON, DOOM])
def test_no_control_has_two_meanings(keymap: Keymap) -> None:
    keys = [code for binding in keymap.bindings for code, _ in binding.keys]
    pad = [button for binding in keymap.bindings for button, _ in binding.pad]
    assert max(Counter(keys).values()) == max(Counter(pad).values()) == 1


def test_every_command_and_button_has_a_key() -> None:
    mouse = {WindowCommand.INSET, WindowCommand.MORE_SENSITIVE, WindowCommand.LESS_SENSITIVE}
    assert set(JOYSTICK.keys.values()) == {*Button, *Command, *WindowCommand} - mouse
    assert set(JOYSTICK.arrow_controls) == {pygame.K_UP, pygame.K_DOWN, pygame.K_LEFT, pygame.K_RIGHT}
    emulator = {Command.SWITCH_SOURCE}
    buttons = {*csgo.KEYS, *csgo.ARROW_MOTION}
    assert set(FIRST_PERSON.keys.values()) == buttons | {*Command, *WindowCommand} - emulator
    assert {*FIRST_PERSON.clicks.values()} == {*FIRST_PERSON.triggers.values()} == {LEFT_CLICK, RIGHT_CLICK}
    assert {cap.button for cap in FIRST_PERSON.keycaps} == set(csgo.KEYS)


def test_doom_has_the_same_controls_and_says_what_they_do_there() -> None:
    changed = [
        (there.text, here.text)
        for there, here in zip(FIRST_PERSON.bindings, DOOM.bindings, strict=True)
        if there != here
    ]
    assert dict(changed) == DOOM_TEXTS
    assert (DOOM.keys, DOOM.pad) == (FIRST_PERSON.keys, FIRST_PERSON.pad)
    assert genre_of(game_named("doom")).keymap is DOOM


@pytest.mark.parametrize("name", [*csgo.KEYS, *csgo.ARROW_MOTION])
def test_every_key_of_a_first_person_world_reaches_the_vector(name: str) -> None:
    latch, space = InputLatch(), FirstPersonActions()
    code = next(code for code, meaning in FIRST_PERSON.keys.items() if meaning == name)
    FIRST_PERSON.translate(key(code), latch, arrows_move=True)
    assert space.action(latch.read()) == tuple(csgo.encode(CsgoAction(keys=(name,))).tolist())


KEY_MAPS = {
    "keys and mouse": KeyMap(("a", "d", "e", "left ctrl", "tab"), ("left click",), mouse_x=(5.0, 60.0)),
    "keys alone": KeyMap(("left", "right", "up", "m", "1")),
    "mouse alone": KeyMap(mouse_x=(5.0, 60.0), mouse_y=(5.0,)),
}


@pytest.mark.parametrize("key_map", KEY_MAPS.values(), ids=KEY_MAPS)
def test_a_key_map_of_ones_own_is_what_can_be_pressed(key_map: KeyMap) -> None:
    genre = genre_of(first_person_game("mine", key_map=key_map))
    for name in (*key_map.keys, *key_map.arrows):
        latch = InputLatch()
        code = next(code for code, meaning in genre.keymap.keys.items() if meaning == name)
        genre.keymap.translate(key(code), latch, arrows_move=True)
        assert genre.actions.action(latch.read()) == tuple(key_map.encode(CsgoAction(keys=(name,))).tolist())
    keys = [code for binding in genre.keymap.bindings for code, _ in binding.keys]
    assert len(keys) == len(set(keys))
    assert (Command.HAND_OVER in genre.keymap.keys.values()) == ("m" not in key_map.keys)
    assert (WindowCommand.MORE_SENSITIVE in genre.keymap.keys.values()) == bool(key_map.mouse_x)
    assert bool(genre.keymap.clicks) == bool(key_map.buttons or key_map.mouse_x)
    assert {cap.button for cap in genre.keymap.keycaps} == set(key_map.keys)
    clicked = genre.actions.action(Input((LEFT_CLICK, RIGHT_CLICK, "r"), (60.0, 0.0)))
    assert genre.actions.gesture(clicked).pressed == {*key_map.buttons}, "what the game lacks is left out"
    assert genre.actions.gesture(clicked).motion == (60.0 if key_map.mouse_x else 0.0, 0.0)


def test_sticks_and_triggers_walk_look_and_click() -> None:
    latch = InputLatch()

    def tilt(axis: int, value: float) -> None:
        event = pygame.event.Event(pygame.JOYAXISMOTION, instance_id=0, axis=axis, value=value)
        assert FIRST_PERSON.translate(event, latch, arrows_move=True) is None

    for axis, value in ((0, 0.9), (1, -0.9), (3, 1.0), (4, -0.5), (5, 0.4), (2, -1.0)):
        tilt(axis, value)
    for _ in range(2):  # a stick held to a side turns the view in every step
        assert latch.read() == Input(("d", "w", LEFT_CLICK), (60.0, -25.0))
    for axis, value in ((0, 0.1), (1, 0.0), (3, 0.1), (4, 0.0), (5, -1.0), (2, 0.8)):
        tilt(axis, value)
    assert latch.read() == Input((RIGHT_CLICK,))


def test_keys_of_ones_own_game_take_the_place_of_commands() -> None:
    held = map(frozenset, ((), ("LEFT",), ("1",), ("m",), ("1", "m")))
    game = Game("own", ("stay", "left", "jump", "shout", "both"), tuple(held), title="own")
    genre = genre_of(game)
    keys = genre.keymap.keys
    assert (keys[pygame.K_1], keys[pygame.K_m], keys[pygame.K_LEFT]) == ("1", "m", Button.LEFT)
    assert Command.HAND_OVER not in keys.values(), "M is the game's"
    assert Command.RESET in keys.values()
    own = genre.keymap.bindings[2]
    assert (own.text, own.shown) == ("jump, shout", "1 M")
    actions = ButtonActions(game)
    assert (actions.idle, actions.action(Input(("1", "m"))), actions.gesture(3).words) == (0, 4, "shout")
    assert genre_of(atari_game("Breakout")).keymap is JOYSTICK
