"""Excerpts around events: what is cut, and the command."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from diamond_engine.episodes import EpisodeFolder
from diamond_engine.errors import UsageError
from diamond_engine.games import atari_game
from training.cli import app
from training.data.episodes import GameEpisodes
from training.data.excerpts import ORIGIN, Excerpts
from training.data.scripted.events import KINDS, find_events
from training.data.scripted.readers import READERS

BREAKOUT = atari_game("Breakout")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real episodes of the scripted player."""
    folder = tmp_path_factory.mktemp("collected") / "data"
    result = run("collect", "Breakout", "--out", folder, "--steps", 300, "--policy", "tracker", "--num-envs", 2)
    assert result.exit_code == 0, result.stderr
    return folder


def test_every_return_becomes_an_episode_around_it(collected: Path, tmp_path: Path) -> None:
    command = ("excerpt", "Breakout", "--data", collected, "--out", tmp_path, "--event", "paddle return")
    result = run(*command)
    assert result.exit_code == 0, result.stderr
    whole, cut = EpisodeFolder(collected), EpisodeFolder(tmp_path)
    frames = {path.name: whole[i].all_frames for i, path in enumerate(whole.paths)}
    returns = [
        event
        for i in range(len(whole))
        for event in find_events(READERS["Breakout"], KINDS["Breakout"], whole[i])
        if event.kind == "paddle return" and 5 <= event.frame <= len(whole[i]) - 3
    ]
    assert len(cut) == len(returns) > 3
    for i in range(len(cut)):
        name, _, frame = str(cut[i].attributes[ORIGIN]).rpartition(" frame ")
        around = frames[Path(name).name][int(frame) - 5 : int(frame) + 4]
        assert np.array_equal(cut[i].all_frames, around)
        assert cut[i].attributes["policy"] == "tracker around a paddle return"
    assert run(*command).stderr.endswith(f"0 excerpts added: {tmp_path} holds {len(returns)} episodes\n")
    assert GameEpisodes(tmp_path, BREAKOUT).facts()["steps"] == 8 * len(returns)


def test_events_at_the_edge_of_an_episode_are_left_out(collected: Path) -> None:
    folder = EpisodeFolder(collected)
    long = Excerpts(BREAKOUT, ["paddle return"], before=len(folder[0]) + 1, after=1)
    assert list(long.of(folder[0], "episode_000000.h5")) == []


@pytest.mark.parametrize(
    ("game", "kind", "said"),
    [
        ("Alien", "paddle return", "nothing reads the events of Alien"),
        ("Pong", "brick hit", "unknown event 'brick hit'"),
    ],
)
def test_what_no_reader_knows_is_refused(game: str, kind: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Excerpts(atari_game(game), [kind], 5, 3)


def test_excerpts_are_not_cut_again(collected: Path) -> None:
    result = run("excerpt", "Breakout", "--data", collected, "--out", collected, "--event", "paddle return")
    assert isinstance(result.exception, UsageError)
    assert "another --out" in str(result.exception)
