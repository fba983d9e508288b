"""From plain videos to a world, by the commands of docs/own-game.md."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.first_person.recordings import write_video

PAGE = Path(__file__).parents[3] / "docs" / "own-game.md"
SMALLER = {
    "diamond-train csgo": "--set dynamics.updates=2 --set upsampler.updates=1 --set contexts=2",
    "diamond-play csgo": "--headless --frames 3",
}
"""Options added to commands that would take minutes, or open a window."""


def blocks(language: str) -> list[str]:
    """Code in a language, of the page's part about videos."""
    part = PAGE.read_text(encoding="utf-8").partition("\n### From plain videos and a log\n")[2]
    return re.findall(rf"```{language}\n(.*?)```", part, re.DOTALL)


@pytest.mark.slow
def test_videos_and_a_log_become_a_world(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name, suffix in (("play", "csv"), ("more", "jsonl")):
        write_video(videos / f"{name}.mp4")
        (log,) = blocks({"csv": "csv", "jsonl": "json"}[suffix])
        (videos / f"{name}.{suffix}").write_text(log)
    (commands,) = blocks("sh")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for line in commands.splitlines():
        command = line.partition("#")[0].strip()
        more = next((options for start, options in SMALLER.items() if command.startswith(start)), "")
        result = subprocess.run(
            f"{command} {more}", shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{command}: {result.stderr}"
    assert (tmp_path / "runs" / "mine" / "world" / "upsampler.safetensors").exists()
