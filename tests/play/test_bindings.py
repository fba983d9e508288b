"""Keys and gamepad controls, from pygame events to buttons and commands."""

from collections import Counter

import pygame
import pytest

from diamond_engine.actions import ATARI_GAMES, Button, atari_game
from play.bindings import ARROW_CONTROLS, BINDINGS, WindowCommand, translate
from play.latch import InputLatch
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
    assert translate(key(code), latch, arrows_move=True) is None
    assert [latch.read(), latch.read()] == [{button}, {button}]
    translate(key(code, down=False), latch, arrows_move=False)
    assert latch.read() == frozenset()


@pytest.mark.parametrize("name", ATARI_GAMES)
def test_every_action_of_every_game_can_be_pressed(name: str) -> None:
    game = atari_game(name)
    reached = set()
    for mask in range(2 ** len(Button)):
        latch = InputLatch()
        for i, button in enumerate(Button):
            if mask >> i & 1:
                translate(key(KEYS_OF_BUTTONS[button][0]), latch, arrows_move=True)
        reached.add(game.action(latch.read()))
    assert reached == set(range(len(game.actions)))


def test_arrows_are_controls_while_nobody_moves() -> None:
    latch = InputLatch()
    codes = (pygame.K_UP, pygame.K_DOWN, pygame.K_LEFT, pygame.K_RIGHT)
    commands = [translate(key(code), latch, arrows_move=False) for code in codes]
    assert commands == [
        Command.LONGER_HORIZON,
        Command.SHORTER_HORIZON,
        Command.SWITCH_SOURCE,
        Command.SWITCH_SOURCE,
    ]
    assert latch.read() == frozenset()


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
        (pygame.K_ESCAPE, WindowCommand.QUIT),
        (pygame.K_q, None),
    ],
)
@pytest.mark.parametrize("arrows_move", [True, False])
def test_command_keys_mean_the_same_at_any_time(
    code: int, command: Command | WindowCommand | None, arrows_move: bool
) -> None:
    assert translate(key(code), InputLatch(), arrows_move) is command


def test_gamepad_buttons_stick_and_cross() -> None:
    latch = InputLatch()
    translate(pygame.event.Event(pygame.JOYBUTTONDOWN, instance_id=0, button=0), latch, arrows_move=True)
    translate(pygame.event.Event(pygame.JOYAXISMOTION, instance_id=0, axis=0, value=-0.9), latch, arrows_move=True)
    translate(pygame.event.Event(pygame.JOYHATMOTION, instance_id=0, hat=0, value=(0, 1)), latch, arrows_move=True)
    assert latch.read() == {Button.FIRE, Button.LEFT, Button.UP}
    translate(pygame.event.Event(pygame.JOYBUTTONUP, instance_id=0, button=0), latch, arrows_move=True)
    translate(pygame.event.Event(pygame.JOYAXISMOTION, instance_id=0, axis=0, value=0.1), latch, arrows_move=True)
    translate(pygame.event.Event(pygame.JOYHATMOTION, instance_id=0, hat=0, value=(1, -1)), latch, arrows_move=True)
    latch.read()
    assert latch.read() == {Button.RIGHT, Button.DOWN}
    start = pygame.event.Event(pygame.JOYBUTTONDOWN, instance_id=0, button=7)
    assert translate(start, latch, arrows_move=True) is Command.PAUSE


@pytest.mark.parametrize("kind", [pygame.WINDOWFOCUSLOST, pygame.JOYDEVICEREMOVED])
def test_nothing_stays_pressed_when_the_keyboard_or_pad_goes_away(kind: int) -> None:
    latch = InputLatch()
    translate(key(pygame.K_d), latch, arrows_move=True)
    latch.read()
    translate(pygame.event.Event(kind, instance_id=0), latch, arrows_move=True)
    assert latch.read() == frozenset()


def test_no_control_has_two_meanings_and_every_command_has_a_key() -> None:
    keys = [code for binding in BINDINGS for code, _ in binding.keys]
    pad = [button for binding in BINDINGS for button, _ in binding.pad]
    assert max(Counter(keys).values()) == max(Counter(pad).values()) == 1
    meanings = {meaning for binding in BINDINGS for _, meaning in binding.keys}
    assert meanings == {*Button, *Command, *WindowCommand}
    assert set(ARROW_CONTROLS) == {pygame.K_UP, pygame.K_DOWN, pygame.K_LEFT, pygame.K_RIGHT}
