"""The replay of Algorithm 1: a folder of episodes, the last of which may still grow."""

from __future__ import annotations

from pathlib import Path

from diamond_engine.episodes import Episode, EpisodeFolder, episode_name, write_episode
from diamond_engine.errors import DiamondError


class Replay(EpisodeFolder):
    """Whole episodes and possibly, as the last file, an unfinished one, which is rewritten as it grows."""

    def __init__(self, folder: Path, cache_bytes: int) -> None:
        super().__init__(folder, cache_bytes)
        self._growing = False

    def put(self, episode: Episode, *, whole: bool) -> None:
        """Files an episode, which replaces an unfinished one. Unless ``whole`` it is itself unfinished."""
        if self._growing:
            self._replace_last(episode)
        else:
            self.append(episode)
        self._growing = not whole

    def _replace_last(self, episode: Episode) -> None:
        path = self.paths[-1]
        write_episode(path, episode)
        self.lengths[-1] = len(episode)
        self._events.pop(path, None)
        outdated = self._cache.pop(path, None)
        if outdated is not None:
            self._cached_bytes -= outdated.frames.nbytes

    def cut_back(self, whole: int) -> None:
        """Keeps only the first ``whole`` episodes: those filed after a checkpoint are collected again.

        Raises ``DiamondError`` if there are fewer.
        """
        kept = {self.folder / episode_name(number) for number in range(whole)}
        if missing := kept.difference(self.paths):
            raise DiamondError(f"{self.folder} lacks {len(missing)} of the {whole} episodes of its run: put them back")
        for path in (*set(self.paths) - kept, *self.folder.glob(".episode_*.part")):
            path.unlink()
        self.refresh()
        self._growing = False
