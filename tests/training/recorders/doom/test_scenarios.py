"""ViZDoom's health_gathering: what the keys do, what a medkit does, and how the scripted player gathers."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from diamond_engine.actions import CsgoAction, csgo
from tests.training.trainers import run
from training.recorders.doom.episode import episode_path, read_facts
from training.recorders.doom.game import Doom, View
from training.recorders.doom.gatherer import FLICKS, USELESS_KEYS, Gatherer
from training.recorders.doom.recorder import Recorder
from training.recorders.doom.scenarios import HURT
from training.recorders.doom.style import Style

NAME = "health_gathering"
FRAMES = 400
STYLE = Style(wander=0.5, scenario=NAME)


@pytest.fixture(scope="module")
def game() -> Iterator[Doom]:
    with Doom(seed=3, scenario=NAME) as game:
        yield game


@pytest.fixture(scope="module")
def gathering(game: Doom) -> list[View]:
    """What a player sees that goes from medkit to medkit."""
    player, view = Gatherer(np.random.default_rng(0), wander=0.0), game.spawn(*game.start, seed=1)
    views = [view]
    for _ in range(FRAMES):
        view = game.step(csgo.decode(csgo.encode(player.act(view))))
        views.append(view)
    return views


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doom")
    Recorder(folder, seed=5, style=STYLE, frames=FRAMES).record(1)
    return folder


def after(game: Doom, action: CsgoAction, frames: int = 8) -> View:
    view = game.spawn(*game.start, seed=1)
    for _ in range(frames):
        view = game.step(action)
    return view


@pytest.mark.parametrize(
    "action",
    [
        *(CsgoAction((key,)) for key in USELESS_KEYS),
        CsgoAction(mouse_y=100.0),
        CsgoAction(left_click=True, right_click=True),
    ],
    ids=str,
)
def test_what_the_room_has_no_use_for_does_nothing(game: Doom, action: CsgoAction) -> None:
    assert np.array_equal(after(game, action).frame, after(game, CsgoAction()).frame)


@pytest.mark.parametrize("action", [*(CsgoAction((key,)) for key in "wasd"), CsgoAction(mouse_x=30.0)], ids=str)
def test_walking_and_turning_show(game: Doom, action: CsgoAction) -> None:
    assert np.abs(after(game, action).frame.astype(int) - after(game, CsgoAction()).frame).mean() > 3


def test_shift_runs(game: Doom) -> None:
    walked, run_ = (after(game, CsgoAction(keys)).x - game.start[0] for keys in (("w",), ("w", "left shift")))
    assert run_ > 1.8 * walked > 0


def test_a_player_gathers_and_every_pickup_shows(gathering: list[View]) -> None:
    counts = np.array([view.pickups for view in gathering])
    tint = np.array([view.frame[..., 2].min() for view in gathering])  # without a flash something is not red at all
    picked = np.flatnonzero(np.diff(counts)) + 1
    assert len(picked) > FRAMES / 40
    rest = np.setdiff1d(np.arange(len(tint)), picked[:, None] + np.arange(6))
    assert tint[picked].min() > 40 > tint[rest].max()


def test_nobody_dies_and_everybody_needs_medkits(gathering: list[View]) -> None:
    assert not any(view.dead for view in gathering)
    assert max(view.health for view in gathering[2:]) <= HURT + 25


def test_a_recording_tells_its_pickups(recorded: Path) -> None:
    path = episode_path(recorded, 1)
    facts = read_facts(path)
    with h5py.File(path) as file:
        told = [np.asarray(file[f"frame_{i}_helperarr"]) for i in range(FRAMES)]
        assert file.attrs["game"] == "freedoom2.wad health_gathering"
    assert facts.style == STYLE
    assert np.sum(told, axis=0).tolist() == [facts.pickups, 0]
    assert facts.pickups > 3
    assert len(facts.places_seen) > 10


def test_it_is_the_same_again_for_the_same_seed(recorded: Path, tmp_path: Path) -> None:
    Recorder(tmp_path, seed=5, style=STYLE, frames=FRAMES).record(1)
    assert episode_path(tmp_path, 1).read_bytes() == episode_path(recorded, 1).read_bytes()


def test_everything_is_pressed(gathering: list[View]) -> None:
    player = Gatherer(np.random.default_rng(1), wander=0.5)
    pressed = np.sum([csgo.encode(player.act(view)) for view in 25 * gathering], axis=0)
    beyond = {f"mouse x {counts:+d}" for counts in (-1000, -500, 500, 1000)}
    assert {name for name, count in zip(csgo.NAMES, pressed, strict=True) if count == 0} == beyond
    turns = dict(zip(csgo.NAMES, pressed, strict=True))
    assert all(turns[f"mouse x {counts:+d}"] > 0.001 * len(gathering) for counts in FLICKS)


def test_an_unknown_scenario_is_one_line(tmp_path: Path) -> None:
    code, said = run("record", "doom", "--scenario", "doom2", "--out", tmp_path / "out", "--episodes", "1")
    assert (code, said) == (2, "error: unknown --scenario 'doom2': use health_gathering\n")
    assert not (tmp_path / "out").exists()
