"""The latch: what is held, taps shorter than a frame, and all motion between two steps."""

from diamond_engine.games import Button
from play.latch import Input, InputLatch


def test_a_held_button_is_read_every_time() -> None:
    latch = InputLatch()
    latch.press("d", Button.RIGHT)
    assert [latch.read(), latch.read()] == [Input((Button.RIGHT,))] * 2
    latch.release("d")
    assert latch.read() == Input()


def test_a_tap_shorter_than_a_frame_is_read_once() -> None:
    latch = InputLatch()
    latch.press("space", Button.FIRE)
    latch.release("space")
    assert [latch.read(), latch.read()] == [Input((Button.FIRE,)), Input()]


def test_two_switches_of_one_button_hold_it_until_both_are_up() -> None:
    latch = InputLatch()
    latch.press("a", Button.LEFT)
    latch.press("left", Button.LEFT)
    latch.read()
    latch.release("a")
    assert latch.read() == Input((Button.LEFT,))
    latch.release("left")
    assert latch.read() == Input()


def test_a_switch_that_changes_its_button_lets_go_of_the_old_one() -> None:
    latch = InputLatch()
    latch.press("stick", Button.LEFT)
    latch.read()
    latch.press("stick", Button.RIGHT)
    assert latch.read() == Input((Button.RIGHT,))


def test_letting_go_of_everything_keeps_unread_taps() -> None:
    latch = InputLatch()
    latch.press("w", Button.UP)
    latch.release_all()
    assert [latch.read(), latch.read()] == [Input((Button.UP,)), Input()]


def test_buttons_are_read_in_the_order_pressed() -> None:
    latch = InputLatch()
    for button in ("w", "a", "space", "1"):
        latch.press(f"key {button}", button)
    latch.release("key w")
    latch.press("key w", "w")
    latch.release("key space")
    assert latch.read().pressed == ("a", "space", "1", "w")
    latch.press("key a", "a")  # it never went up
    assert latch.read().pressed == ("a", "1", "w")


def test_motion_adds_up_until_it_is_read() -> None:
    latch = InputLatch()
    for _ in range(100):
        latch.move(3.5, -1.0)
    assert [latch.read().motion, latch.read().motion] == [(350.0, -100.0), (0.0, 0.0)]


def test_a_tilted_stick_moves_every_step() -> None:
    latch = InputLatch()
    latch.tilt("x", 30.0, 0.0)
    latch.tilt("y", 0.0, -10.0)
    latch.move(2.0, 0.0)
    assert [latch.read().motion, latch.read().motion] == [(32.0, -10.0), (30.0, -10.0)]
    latch.tilt("x", 0.0, 0.0)
    assert latch.read().motion == (0.0, -10.0)
    latch.release_all()
    assert latch.read().motion == (0.0, 0.0)
