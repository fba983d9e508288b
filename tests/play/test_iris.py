"""A world of IRIS is played like any other: dreamed, beside the real game, recorded and replayed."""

from pathlib import Path

from play.options import Options
from play.replay import options_of
from play.sources import Start
from play.stage import LoadedWorld
from play.view import Origin


def test_every_source_plays(token_world_folder: Path) -> None:
    options = Options(
        world="atari/Breakout", weights=str(token_world_folder), device="cpu", dtype="float32", compile=False
    )
    loaded = LoadedWorld.load(options, progress=lambda line: None)
    assert (loaded.header.preset, loaded.header.steps) == ("quality", 0)
    frames = {}
    for origin, opened in loaded.sources.items():
        source = opened(loaded.runtime)
        source.reset(Start(3))
        frames[origin] = [source.step(action).frame for action in (1, 2, 3)]
        source.close()
    assert frames[Origin.DREAM][0].shape == frames[Origin.EMULATOR][0].shape == (64, 64, 3)
    again = LoadedWorld.load(options_of(loaded.header), progress=lambda line: None).sources[Origin.DREAM](
        loaded.runtime
    )
    again.reset(Start(3))
    for frame, action in zip(frames[Origin.DREAM], (1, 2, 3), strict=True):
        assert (again.step(action).frame == frame).all()
