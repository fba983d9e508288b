"""A campaign of damaged files through everything that reads one: ``python -m tests.damaged_files --inputs 10000``.

A good file of every kind is made once. Input n is one of them, damaged at random (by the seed and n): bytes, numbers,
lengths, text, or, where checksums would only find that, what is inside of an archive. It must be read as if nothing
were wrong, and then be of use, or end in the project's own error: nothing else, no hang, and memory in bounds.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import shutil
import signal
import sys
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import numpy as np
import torch

from diamond_engine import WorldModelEnv, load_world
from diamond_engine.agents import read_agent, write_agent
from diamond_engine.checkpoints import built, read_component, read_published
from diamond_engine.configs import defaults, plain, to_yaml
from diamond_engine.contexts import read_spawn_folders
from diamond_engine.diffusion import Denoiser
from diamond_engine.episodes import Episode, SegmentSampler, read_episode, write_episode
from diamond_engine.errors import DiamondError
from diamond_engine.games import atari_game
from diamond_engine.networks import TokenTransformer
from diamond_engine.token_worlds import TokenWorldConfig
from diamond_engine.world_model import WorldConfig
from diamond_engine.worlds import DiffusionWorldConfig, read_fitting_contexts, write_world
from play.recording import EpisodeLog, Header, Recording, read_recording, write_recording
from play.sources import Start
from play.view import Origin
from tests.conftest import collect_random, make_first_person_world, tiny_token_world, tiny_world
from tests.diamond_engine.published import write_published_csgo
from tests.training.first_person.recordings import write_recording as write_csgo_recording
from tests.training.first_person.recordings import write_video
from training.components.denoiser import DenoiserTrainingConfig
from training.data.episodes import GameEpisodes
from training.data.minari_datasets import MAIN_FILE, METADATA, MinariDataset, export_dataset
from training.evaluation.scores.suite import read_suite
from training.first_person.footage import Prepared
from training.first_person.prepare import prepare_one
from training.first_person.recordings import open_recording
from training.first_person.shards import Entry, Manifest, write_manifest
from training.first_person.sources import find
from training.first_person.videos import frames_at, read_log
from training.runs.checkpoints import Checkpoints
from training.runs.facts import check_continues, read_provenance
from training.runs.metrics import MetricsLog
from training.runs.progress import make_console
from training.runs.run import Run
from training.runs.settings import configured
from weights import WeightsError
from weights.checksums import check_checksums, write_checksums

HANGS_AFTER = 60
"""Seconds in which one input must be read."""
MOST_MEMORY = 2**30
"""Bytes that the whole campaign may hold, libraries included."""
FRAMES_READ = 300
ABSURD = (
    b"-1",
    b"0",
    b"1e309",
    b"99999999999",
    b"nan",
    b"-.inf",
    b"[]",
    b"{}",
    b"null",
    b"''",
    b"*a",
    b"&a [*a]",
    b"3.5",
)
INTEGERS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00010000, 0x01000000)
NUMBER = re.compile(rb"-?\d+(\.\d+)?(e[+-]?\d+)?")
TEXT = {".yaml", ".json", ".jsonl", ".csv", ""}


@dataclass(frozen=True)
class Kind:
    """One kind of file and how the project reads it."""

    name: str
    good: Path
    """A folder that holds a good one, and what belongs to it."""
    damaged: str
    """The file of it that is damaged."""
    use: Callable[[Path], object]
    """Reads it, from a copy of the folder, and does something with it."""


def kinds(folder: Path) -> list[Kind]:
    """Makes a good file of every kind in a folder."""
    return [*_worlds(folder), *_episodes(folder), *_first_person(folder), *_texts(folder), *_recordings(folder)]


def _worlds(folder: Path) -> Iterator[Kind]:
    atari, first_person = folder / "Breakout", folder / "doom"
    world = tiny_world()
    write_world(atari, world)
    write_world(first_person, make_first_person_world())
    write_checksums(atari)
    for name, at in (("Atari", atari), ("first-person", first_person)):
        config = load_world(at).config
        yield Kind(f"{name} world.yaml", at, "world.yaml", _dream)
        yield Kind(f"{name} weights", at, "denoiser.safetensors", partial(_read_weights, config))
        yield Kind(f"{name} start contexts", at, "contexts.npz", partial(_read_contexts, config))
    tokens = folder / "iris"
    write_world(tokens, tiny_token_world())
    yield Kind("world.yaml of IRIS", tokens, "world.yaml", _dream)
    yield Kind("weights of IRIS", tokens, "transformer.safetensors", partial(_read_tokens, load_world(tokens).config))
    yield Kind("checksums", atari, "SHA256SUMS", check_checksums)
    assert world.actor_critic is not None
    write_agent(folder / "agent", "Breakout", world.actor_critic, {"updates": 3})
    for name in ("agent.yaml", "actor_critic.safetensors"):
        yield Kind(f"agent's {name}", folder / "agent", name, read_agent)
    write_published_csgo(folder / "published", make_first_person_world())
    yield Kind("published checkpoint", folder / "published", "csgo/model/csgo.pt", _read_checkpoint)
    for name in ("low_res", "next_act"):
        yield Kind(f"published {name}.npy", folder / "published", f"csgo/spawn/0/{name}.npy", _read_spawn_folders)


def _read_weights(config: DiffusionWorldConfig, folder: Path) -> None:
    states = {"denoiser": read_component(folder / "denoiser.safetensors")}
    built(Denoiser, config.denoiser, "denoiser", states, "the folder")


def _read_tokens(config: TokenWorldConfig, folder: Path) -> None:
    states = {"transformer": read_component(folder / "transformer.safetensors")}
    built(TokenTransformer, config.transformer, "transformer", states, "the folder")


def _read_contexts(config: WorldConfig, folder: Path) -> None:
    read_fitting_contexts(folder / "contexts.npz", config)


def _read_checkpoint(folder: Path) -> None:
    read_published(folder / "csgo/model/csgo.pt")


def _read_spawn_folders(folder: Path) -> None:
    read_spawn_folders(folder / "csgo/spawn")


def _dream(folder: Path) -> None:
    world = load_world(folder)
    env = WorldModelEnv(world, 1, "cpu", dtype="float32")
    if world.contexts is not None:
        env.reset(0)
        env.step(torch.zeros((1, *world.config.action_shape), dtype=torch.int64))


def _episodes(folder: Path) -> Iterator[Kind]:
    collect_random(folder / "episodes", steps=120)
    for path in sorted((folder / "episodes").glob("*.h5"))[1:]:
        path.unlink()
    name = next((folder / "episodes").glob("*.h5")).name
    yield Kind("episode", folder / "episodes", name, _learn)
    yield Kind("episode once more", folder / "episodes", name, _learn)
    export_dataset(folder / "episodes", folder / "minari" / "random-v0", make_console())
    for file in (METADATA, MAIN_FILE):
        yield Kind(f"Minari's {file}", folder / "minari", f"random-v0/data/{file}", _read_minari)


def _learn(folder: Path) -> None:
    episodes = GameEpisodes(folder, atari_game("Breakout")).episodes
    episodes.events()
    sampler = SegmentSampler(episodes, 5, (1.0,), event_share=0.5)
    sampler.draw(np.random.default_rng(0), 4, torch.device("cpu"))
    for path in episodes.paths:
        read_episode(path)


def _read_minari(folder: Path) -> None:
    for _ in MinariDataset(str(folder / "random-v0")).episodes():
        pass


def _first_person(folder: Path) -> Iterator[Kind]:
    recording = folder / "recording" / "hdf5_game_1.hdf5"
    write_csgo_recording(recording, seed=0, frames=4)
    yield Kind("recording", recording.parent, recording.name, _read_recordings)
    yield Kind("recording in memory", recording.parent, recording.name, _read_recordings_in_memory)
    own = folder / "own"
    frames = np.zeros((6, 30, 40, 3), np.uint8)
    nothing = np.zeros(6, np.float32)
    actions = np.zeros((6, 51), np.uint8)
    write_episode(own / "episode_000000.h5", Episode(frames, actions, nothing, nothing > 0, nothing > 0, frames[0]))
    yield Kind("own recording", own, "episode_000000.h5", _read_recordings)
    tars = folder / "tars"
    tars.mkdir()
    with tarfile.open(tars / "some.tar", "w") as tar:
        for number in range(2):
            tar.add(recording, f"hdf5_game_{number}.hdf5")
    yield Kind("tar", tars, "some.tar", _read_tars)
    prepared = folder / "prepared"
    entry = prepare_one(prepared, "episode_000000.h5", find([own]).places["episode_000000.h5"], full_res=True)
    assert isinstance(entry, Entry)
    write_manifest(prepared, Manifest((entry,), {}, (), 0))
    for name in ("manifest.json", "shards/episode_000000.h5.npy", "full_res/episode_000000.h5.npy"):
        yield Kind(f"prepared {name}", prepared, name, _read_prepared)
    (folder / "video").mkdir()
    write_video(folder / "video" / "play.mp4", frames=12)
    yield Kind("video", folder / "video", "play.mp4", _read_video)


def _read_recordings(folder: Path) -> None:
    for path in folder.iterdir():
        _read_all(path)


def _read_recordings_in_memory(folder: Path) -> None:
    for path in folder.iterdir():
        _read_all(path.read_bytes())


def _read_all(source: Path | bytes) -> None:
    recording = open_recording(source, "recording")
    recording.offsets()
    recording.events()
    stop = min(recording.length, FRAMES_READ)
    recording.frames(0, stop)
    recording.actions(0, stop)


def _read_tars(folder: Path) -> None:
    for places in find([folder]).places.values():
        for place in places:
            _read_all(place.read())


def _read_prepared(folder: Path) -> None:
    footage = Prepared(folder)
    for number, clip in enumerate(footage.clips):
        stop = min(clip.frames, FRAMES_READ)
        footage.low_res(number, 0, stop)
        footage.full_res(number, 0, stop)
        footage.actions(number, 0, stop)


def _read_video(folder: Path) -> None:
    for _ in islice(frames_at(folder / "play.mp4", 16.0), FRAMES_READ):
        pass


def _texts(folder: Path) -> Iterator[Kind]:
    logs = folder / "logs"
    logs.mkdir()
    rows = [(0.0, "w", 0, 0, 0, 0), (0.41, "w+space", 25, -4, 0, 0), (0.52, "w", 35, 0, 1, 0)]
    names = ("time", "keys", "mouse_x", "mouse_y", "left_click", "right_click")
    (logs / "play.csv").write_text("\n".join(",".join(map(str, row)) for row in (names, *rows)))
    (logs / "play.jsonl").write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    for name in ("play.csv", "play.jsonl"):
        yield Kind(f"log {name}", logs, name, lambda at, name=name: read_log(at / name))
    run = folder / "run"
    settings = {"seed": 0, **plain(DenoiserTrainingConfig())}
    Run(run, settings, make_console(quiet=True))
    (run / "provenance.yaml").write_text(to_yaml(DenoiserTrainingConfig()))
    rows_of_metrics = [json.dumps({"step": step, "seconds": 1.0, "loss": 0.5}) for step in range(9)]
    (run / "metrics.jsonl").write_text("\n".join(rows_of_metrics))
    own = defaults(DenoiserTrainingConfig())
    yield Kind("run's config.yaml", run, "config.yaml", lambda at: check_continues(at, settings, own))
    yield Kind("run's provenance.yaml", run, "provenance.yaml", read_provenance)
    yield Kind("run's metrics", run, "metrics.jsonl", _continue_metrics)
    (run / "mine.yaml").write_text(to_yaml(DenoiserTrainingConfig()))
    yield Kind("settings", run, "mine.yaml", lambda at: configured(DenoiserTrainingConfig(), at / "mine.yaml", ()))
    scores = folder / "scores"
    scores.mkdir()
    (scores / "scores.json").write_text(json.dumps({"Pong": [19.3, 20.9], "Breakout": [30.0]}))
    yield Kind("scores", scores, "scores.json", lambda at: read_suite(at / "scores.json"))
    suite = folder / "suite"
    (suite / "run").mkdir(parents=True)
    final = {"game": "Pong", "seed": 0, "scores": [19.0, 20.0], "mean": 19.5}
    (suite / "run" / "final.json").write_text(json.dumps(final))
    yield Kind("final score", suite, "run/final.json", read_suite)


def _continue_metrics(folder: Path) -> None:
    with MetricsLog(folder).opened(4):
        pass


def _recordings(folder: Path) -> Iterator[Kind]:
    sessions = folder / "sessions"
    header = Header("atari/Breakout", None, "fast", 1, 0, "cpu", "float32")
    log = EpisodeLog(Origin.DREAM, Start(3), [0, 1, 2], [1, 2, 3, 4])
    write_recording(sessions / "play.session.npz", Recording(header, [log, log]))
    yield Kind("session", sessions, "play.session.npz", lambda at: read_recording(at / "play.session.npz"))
    checkpoints = folder / "run" / "checkpoints"
    state = {"step": 5, "seconds": 1.0, "trainer": {"weights": torch.ones(500)}, "torch_rng": torch.get_rng_state()}
    Checkpoints(checkpoints).save(5, state)
    yield Kind("checkpoint", checkpoints, "step_00000005.pt", lambda at: Checkpoints(at).newest(lambda line: None))


def damage(content: bytes, suffix: str, chance: random.Random) -> bytes:
    """Other bytes than those of a good file."""
    if zipfile.is_zipfile(io.BytesIO(content)) and chance.random() < 0.5:
        return _inside(content, chance)
    ways = [_flip, _overwrite, _truncate, _cut_out, _repeat, _integer]
    if suffix in TEXT:
        said = [_number] * 6 + [_nest, _line]
        ways = said if chance.random() < 0.6 else ways + said
    elif suffix == ".safetensors":
        ways += [_not_finite, _number, _number]
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = chance.choice(ways)(content, chance)
    return content


def _inside(content: bytes, chance: random.Random) -> bytes:
    """An archive with one damaged member, whose checksum is right."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        chosen = chance.randrange(len(old.infolist()))
        for number, entry in enumerate(old.infolist()):
            data = old.read(entry)
            if number == chosen:
                start = data[:200] if chance.random() < 0.7 else data
                data = damage(start, "", chance) + data[len(start) :]
            new.writestr(entry, data)
    return changed.getvalue()


def _span(content: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(max(1, len(content)))
    start = min(start, chance.choice((16, 200, 2000, len(content))))  # what matters stands at the start
    return start, min(len(content), start + 2 ** chance.randrange(12))


def _flip(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 3, 20))):
        if changed:
            changed[min(_span(content, chance)[0], len(changed) - 1)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(content: bytes, chance: random.Random) -> bytes:
    start, end = _span(content, chance)
    length = end - start
    return content[:start] + chance.choice((bytes(length), b"\xff" * length, chance.randbytes(length))) + content[end:]


def _truncate(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.choice((0, 1, chance.randrange(len(content) + 1), len(content) - 1))]


def _cut_out(content: bytes, chance: random.Random) -> bytes:
    start, end = _span(content, chance)
    return content[:start] + content[end:]


def _repeat(content: bytes, chance: random.Random) -> bytes:
    start, end = _span(content, chance)
    return content[:end] + content[start:end] * chance.choice((1, 10)) + content[end:]


def _integer(content: bytes, chance: random.Random) -> bytes:
    """An absurd number of 4 or 8 bytes where there may be a size."""
    start, size = _span(content, chance)[0] & ~3, chance.choice((4, 8))
    return content[:start] + chance.choice(INTEGERS).to_bytes(size, "little") + content[start + size :]


def _number(content: bytes, chance: random.Random) -> bytes:
    found = [*NUMBER.finditer(content[:20000])]
    if not found:
        return _flip(content, chance)
    place = chance.choice(found)
    return content[: place.start()] + chance.choice(ABSURD) + content[place.end() :]


def _nest(content: bytes, chance: random.Random) -> bytes:
    start = _span(content, chance)[0]
    return content[:start] + chance.choice((b"[", b'{"a":', b"- ")) * 3000 + content[start:]


def _line(content: bytes, chance: random.Random) -> bytes:
    lines = content.split(b"\n")
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    lines.pop(chance.randrange(len(lines)))
    return b"\n".join(lines)


def _not_finite(content: bytes, chance: random.Random) -> bytes:
    if len(content) < 16:
        return content
    start = chance.randrange(len(content) // 2, len(content) - 4) & ~3
    value = np.float32(chance.choice((np.nan, np.inf, -np.inf, 3e38))).tobytes()
    return content[:start] + value + content[start + 4 :]


class HangError(Exception):
    """An input took too long."""


@contextmanager
def _hang_noticed() -> Iterator[None]:
    def stop(signum: int, frame: FrameType | None) -> None:
        raise HangError(f"not read within {HANGS_AFTER} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANGS_AFTER)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@dataclass
class Outcome:
    """What became of a campaign's inputs."""

    refused: Counter[str]
    """Those that ended in the project's error, by kind."""
    accepted: Counter[str]
    """Those that were read as if nothing were wrong, by kind."""
    failures: list[str]
    """One line for each input that ended otherwise."""


def campaign(
    first: int, last: int, seed: int, began: Callable[[int, str], None] = lambda number, kind: None
) -> Outcome:
    """Reads the damaged inputs of numbers ``first`` to ``last``; ``began`` is told each before it is read."""
    outcome = Outcome(Counter(), Counter(), [])
    with TemporaryDirectory() as made:
        known = kinds(Path(made))
        for number in range(first, last):
            kind = known[number % len(known)]
            began(number, kind.name)
            copy = Path(made, "copy")
            shutil.copytree(kind.good, copy, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
            path = copy / kind.damaged
            path.write_bytes(damage(path.read_bytes(), path.suffix, random.Random(f"{seed}, {number}")))
            _use(kind, copy, f"input {number} of seed {seed} ({kind.name})", outcome)
            shutil.rmtree(copy)
    return outcome


def _use(kind: Kind, copy: Path, name: str, outcome: Outcome) -> None:
    try:
        with _hang_noticed():
            kind.use(copy)
        outcome.accepted[kind.name] += 1
    except (DiamondError, WeightsError) as error:
        outcome.refused[kind.name] += 1
        if "\n" in str(error):
            outcome.failures.append(f"{name}: an error of several lines: {error!r}")
    except Exception as error:
        outcome.failures.append(f"{name}: {type(error).__module__}.{type(error).__name__}: {error}")


def peak_memory() -> int:
    """Bytes that this process has held at most (Linux), without what its parent held, which ``getrusage`` passes on."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def main() -> None:
    """The whole campaign, or the part of it that the options say."""
    parser = argparse.ArgumentParser(prog="python -m tests.damaged_files", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    started = time.monotonic()
    last_began = Path(TemporaryDirectory().name + ".began")

    def began(number: int, kind: str) -> None:
        last_began.write_text(f"{number} {kind}\n")  # what a crash of the process leaves

    print(f"the input being read is named in {last_began}", flush=True)
    outcome = campaign(chosen.first, chosen.first + chosen.inputs, chosen.seed, began)
    last_began.unlink()
    for line in outcome.failures:
        print(line)
    for name in sorted({*outcome.refused, *outcome.accepted}):
        print(f"{name}: {outcome.refused[name]} refused, {outcome.accepted[name]} read")
    print(
        f"{chosen.inputs} inputs, {outcome.refused.total()} refused, {outcome.accepted.total()} read, "
        f"{len(outcome.failures)} failures, {time.monotonic() - started:.0f} s, {peak_memory() / 1e6:.0f} MB at most"
    )
    sys.exit(bool(outcome.failures) or peak_memory() > MOST_MEMORY)


if __name__ == "__main__":
    main()
