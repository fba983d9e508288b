"""The latch: what is held, and taps shorter than a frame."""

from diamond_engine.actions import Button
from play.latch import InputLatch


def test_a_held_button_is_read_every_time() -> None:
    latch = InputLatch()
    latch.press("d", Button.RIGHT)
    assert [latch.read(), latch.read()] == [{Button.RIGHT}, {Button.RIGHT}]
    latch.release("d")
    assert latch.read() == frozenset()


def test_a_tap_shorter_than_a_frame_is_read_once() -> None:
    latch = InputLatch()
    latch.press("space", Button.FIRE)
    latch.release("space")
    assert [latch.read(), latch.read()] == [{Button.FIRE}, frozenset()]


def test_two_switches_of_one_button_hold_it_until_both_are_up() -> None:
    latch = InputLatch()
    latch.press("a", Button.LEFT)
    latch.press("left", Button.LEFT)
    latch.read()
    latch.release("a")
    assert latch.read() == {Button.LEFT}
    latch.release("left")
    assert latch.read() == frozenset()


def test_a_switch_that_changes_its_button_lets_go_of_the_old_one() -> None:
    latch = InputLatch()
    latch.press("stick", Button.LEFT)
    latch.read()
    latch.press("stick", Button.RIGHT)
    assert latch.read() == {Button.RIGHT}


def test_letting_go_of_everything_keeps_unread_taps() -> None:
    latch = InputLatch()
    latch.press("w", Button.UP)
    latch.release_all()
    assert [latch.read(), latch.read()] == [{Button.UP}, frozenset()]
