"""What a player notices: events read off real games, dreams that are real and dreams that are not, and the command."""

import json
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from diamond_engine.agents import EpsilonPolicy, RandomPolicy
from diamond_engine.emulators import open_emulator
from diamond_engine.environment import EmulatorEnv
from diamond_engine.episodes import EpisodeFolder, cut
from diamond_engine.errors import UsageError
from diamond_engine.games import atari_game
from diamond_engine.world_model import World
from diamond_engine.worlds import write_world
from tests.conftest import make_first_person_world
from tests.programs import assert_one_line_error, diamond_eval
from tests.training.first_person.recordings import write_recording
from training.data.scripted import scripted_policy
from training.data.scripted.events import KINDS, Turn, find_events, turning_points
from training.data.scripted.readers import READERS
from training.evaluation.cli import app
from training.evaluation.dreams import Dreaming, dream, dream_steps
from training.evaluation.held_out import record_side_by_side
from training.evaluation.metrics import Share, gradient_energy, rank_correlation
from training.evaluation.play.ball_events import (
    AHEAD,
    HORIZON,
    MEASURED_STEPS,
    EventDream,
    beside_real,
    draw_event_starts,
    judge_events,
)
from training.evaluation.play.closed_loop import (
    LifeStarts,
    Lives,
    Player,
    compared,
    play_loop,
    players_of,
    ratio,
    side_of,
)
from training.evaluation.play.measurement import Playing, measure_play, planned_frames
from training.evaluation.play.moving_pixels import agreement, draw_moving_starts
from training.evaluation.play.one_ball import Watch
from training.evaluation.play.sharpness import measure_sharpness, places_as_far
from training.first_person.footage import open_footage

GAMES = ["Breakout", "Pong"]
CONTEXT = 4


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, EpisodeFolder]:
    """Real episodes of the scripted players, some of them lost."""
    folders: dict[str, EpisodeFolder] = {}
    for name in GAMES:
        game = atari_game(name)
        player = EpsilonPolicy(scripted_policy(game, 0, 1.5), len(game.actions), 0.3, seed=1)
        folders[name] = record_side_by_side(game, player, tmp_path_factory.mktemp(name), 2, 300, seed=5)
    return folders


def real_dreams(recorded: dict[str, EpisodeFolder], name: str) -> list[EventDream]:
    """Dreams that are what really happened."""
    folder = recorded[name]
    dreams: list[EventDream] = []
    for start in draw_event_starts(READERS[name], KINDS[name], folder, CONTEXT, 8, seed=1):
        row = cut(folder[start.episode], start.newest, HORIZON + 1)
        frames, rewards = row["frames"][1:].astype(np.uint8), row["rewards"][:-1].astype(np.float32)
        dreams.append(beside_real(folder[start.episode], start, frames, rewards, row["ends"][:-1].astype(bool)))
    return dreams


def test_events_are_those_that_the_game_rewards_and_ends(recorded: dict[str, EpisodeFolder]) -> None:
    folder = recorded["Breakout"]
    episodes = [folder[i] for i in range(len(folder))]
    for episode in episodes:
        events = find_events(READERS["Breakout"], KINDS["Breakout"], episode)
        hits = [event.told for event in events if event.kind == "brick hit"]
        assert hits == [step + 1 for step in np.flatnonzero(episode.rewards)]
        misses = [event.told for event in events if event.kind == "miss"]
        assert misses == ([len(episode)] if episode.terminated[-1] else [])
        returns = sorted(event.frame for event in events if event.kind == "paddle return")
        for before, after in pairwise(returns):
            assert any(before < (hit or 0) <= after for hit in hits)  # up to the bricks, which are whole, and back
    assert any(episode.terminated[-1] for episode in episodes)


@pytest.mark.parametrize("name", GAMES)
def test_a_ball_turns_at_paddles_and_walls(recorded: dict[str, EpisodeFolder], name: str) -> None:
    reader, folder = READERS[name], recorded[name]
    found = [(i, event) for i in range(len(folder)) for event in find_events(reader, KINDS[name], folder[i])]
    returns = [(i, event.frame) for i, event in found if event.kind == "paddle return"]
    bounces = [event for _, event in found if event.kind == "wall bounce"]
    assert len(returns) >= 5
    assert len(bounces) >= 5
    axis, away = (0, -1) if name == "Breakout" else (1, -1)
    for i, frame in returns:
        frames = folder[i].all_frames
        before, here, after = (reader.ball(frames[min(at, len(frames) - 1)]) for at in (frame - 3, frame, frame + 3))
        assert here is not None
        assert before is None or (here[axis] - before[axis]) * away <= 0.5
        assert after is None or (after[axis] - here[axis]) * away >= -0.5


def test_a_turn_is_where_the_motion_changes_its_sign() -> None:
    columns = [9.0, 7, 5, 5, np.nan, 7, 9, np.nan, np.nan, np.nan, np.nan, np.nan, 7, 5]
    track = np.stack((np.zeros(len(columns)), columns), axis=1)
    assert list(turning_points(track, Turn("", 1, -1, (0, 6)))) == [3]
    assert list(turning_points(track, Turn("", 1, -1, (0, 4)))) == []
    assert list(turning_points(track, Turn("", 1, 1, (0, 64)))) == []  # the second ball is another one


def test_starts_have_a_context_and_come_shortly_before(recorded: dict[str, EpisodeFolder]) -> None:
    starts = draw_event_starts(READERS["Pong"], KINDS["Pong"], recorded["Pong"], CONTEXT, 4, seed=2)
    assert max(sum(start.event.kind == kind for start in starts) for kind in KINDS["Pong"].names) == 4
    assert {start.event.frame - start.newest for start in starts} <= set(range(AHEAD[0], AHEAD[1] + 1))
    assert all(start.newest >= CONTEXT - 1 for start in starts)
    assert all(start.event.told is None or start.event.told - start.newest <= HORIZON - 2 for start in starts)


@pytest.mark.parametrize("name", GAMES)
def test_what_really_happened_agrees_with_itself(recorded: dict[str, EpisodeFolder], name: str) -> None:
    reader, kinds, dreams = READERS[name], KINDS[name], real_dreams(recorded, name)
    results = judge_events(reader, kinds, dreams)
    assert [result.kind for result in results] == [*kinds.names]
    assert sum(result.n for result in results) == len(dreams)
    for result in results:
        assert all(share.hits == share.n for share in result.near.values())
        assert result.told is None or result.told.hits == result.told.n == result.n
        assert result.made_up is None or (result.made_up.hits == 0 < result.made_up.n)
    assert sum(result.near[1].n for result in results) > 10
    moved = [replace(dream, dreamed=np.roll(dream.dreamed, 8, axis=1)) for dream in dreams]  # half a second late
    still = [replace(dream, rewards=0 * dream.rewards, ends=dream.ends & False) for dream in moved]
    for result in judge_events(reader, kinds, still):
        assert result.near[3].hits <= result.near[3].n / 4
        assert result.told is None or result.told.hits == 0
    assert all(result.told is None for result in judge_events(reader, kinds, dreams, judged=False))
    always = [replace(dream, rewards=1 + 0 * dream.rewards, ends=dream.ends | True) for dream in dreams]
    by_kind = {result.kind: result.made_up for result in judge_events(reader, kinds, always)}
    for kind in [kinds.rewards[1], *([kinds.end] if kinds.end else [])]:
        made_up = by_kind[kind]
        assert made_up is not None
        assert made_up.value == 1


def test_rewards_and_ends_may_be_two_steps_off(recorded: dict[str, EpisodeFolder]) -> None:
    dreams = [dream for dream in real_dreams(recorded, "Breakout") if dream.start.event.told is not None]

    def told(shift: int) -> int:
        moved = [replace(d, rewards=np.roll(d.rewards, shift), ends=np.roll(d.ends, shift)) for d in dreams]
        results = judge_events(READERS["Breakout"], KINDS["Breakout"], moved)
        return sum(result.told.hits for result in results if result.told is not None)

    assert told(2) == told(-2) == len(dreams)
    assert told(4) < len(dreams) / 2


@pytest.mark.parametrize("name", GAMES)
def test_real_games_have_one_ball_and_one_paddle(recorded: dict[str, EpisodeFolder], name: str) -> None:
    reader, folder = READERS[name], recorded[name]
    frames = folder[int(folder.lengths.argmax())].frames
    watch, doubled, gone = (Watch(reader, 1) for _ in range(3))
    for frame in frames:
        watch.add(frame[None])
        with_another = frame.copy()
        row, column = (44, 50) if (reader.ball(frame) or (0, 0))[1] < 32 else (44, 14)
        with_another[row, column] = 220
        doubled.add(with_another[None])
    assert watch.things().one_of_each > 0.99
    assert watch.things().ball_in_sight > 0.5
    assert doubled.things().several_balls == pytest.approx(watch.things().ball_in_sight)
    middle = next(f for f in frames if (b := reader.ball(f)) and not reader.may_be_hidden(b, 1))
    gone.begin(middle[None])
    gone.add(np.zeros_like(middle)[None])
    things = gone.things()
    assert (things.ball_gone, things.one_ball, things.one_paddle) == (1, 0, 0)


def test_steps_between_ends_count_the_lives_that_are_cut_off() -> None:
    rng = np.random.default_rng(0)
    steps, ended = np.array([10.0, 30.0, 40.0]), np.array([1.0, 1.0, 0.0])
    estimate = ratio(steps, ended, rng)
    assert estimate is not None
    assert estimate.value == 40
    assert estimate.low is not None
    assert estimate.low < 40
    assert estimate.high is None  # in one resample of 27 nothing ends
    assert ratio(steps, np.zeros(3), rng) is None


def test_the_loop_counts_every_step_and_end_of_the_real_game() -> None:
    game = atari_game("Breakout")
    with closing(open_emulator(game, 2, end_on_life_loss=True)) as emulator:
        env = EmulatorEnv(emulator, torch.device("cpu"))
        lives = play_loop(env, RandomPolicy(4, seed=2), 150, seed=11)
    with closing(open_emulator(game, 2, seed=11, end_on_life_loss=True)) as emulator:
        emulator.reset()
        policy, blank = RandomPolicy(4, seed=2), torch.zeros(2)
        steps = [emulator.step(policy.act(blank).numpy()) for _ in range(150)]
    assert lives.steps.sum() == 2 * 150
    assert lives.ended.sum() == sum(step.terminated.sum() for step in steps) > 1
    assert lives.gained.sum() == sum((step.rewards > 0).sum() for step in steps) > 0
    assert lives.lost.sum() == 0


def test_dreams_start_where_the_players_real_lives_did() -> None:
    game, starts = atari_game("Breakout"), LifeStarts(CONTEXT, seed=0)
    with closing(open_emulator(game, 2, end_on_life_loss=True)) as emulator:
        lives = play_loop(EmulatorEnv(emulator, torch.device("cpu")), RandomPolicy(4, 2), 150, 11, starts=starts)
    with closing(open_emulator(game, 2, seed=11, end_on_life_loss=True)) as emulator:
        first = emulator.reset().copy()
        policy, blank = RandomPolicy(4, seed=2), torch.zeros(2)
        actions = [policy.act(blank).numpy() for _ in range(CONTEXT - 1)]
        frames = np.stack([first, *(emulator.step(taken).frames.copy() for taken in actions)], axis=1)
    drawn = starts.draw(200)
    found = {(a.tobytes(), b.tobytes()) for a, b in zip(drawn.frames, drawn.actions, strict=True)}
    assert len(found) == (lives.steps >= CONTEXT - 1).sum() > 2
    for i in range(2):
        assert (frames[i].tobytes(), np.stack(actions, axis=1)[i].astype(np.int64).tobytes()) in found
    starts.forget()
    starts.see(None, torch.zeros(2, 3, 64, 64), torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match="high <= 0"):
        starts.draw(1)


def test_ranks_need_three_players_and_ends_on_both_sides() -> None:
    def side(gained: float, ends: float) -> Lives:
        return Lives(np.array([10.0]), np.array([gained]), np.zeros(1), np.array([ends]))

    def player(dreamed: Lives, real: Lives) -> Player:
        rng = np.random.default_rng(0)
        return Player("", side_of(dreamed, rng), side_of(real, rng))

    players = [player(side(gained, 1), side(2 * gained, 1)) for gained in (1.0, 2.0)]
    two = compared([*players, player(side(3.0, 1), side(3.0, 0))])
    assert (two.return_correlation, two.returns_ranked) == (None, 2)
    assert two.reward_correlation == pytest.approx(0.5)  # 1, 2, 3 against 2, 4, 3
    assert compared([*players, player(side(3.0, 1), side(1.0, 1))]).return_correlation == pytest.approx(-0.5)


def test_rank_correlation_is_spearmans() -> None:
    def of(first: list[float], second: list[float]) -> float | None:
        return rank_correlation(np.array(first), np.array(second))

    assert of([1, 2, 3, 4], [1, 10, 100, 1000]) == pytest.approx(1)
    assert of([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) == pytest.approx(0.8207826816681233)  # with a tie
    assert of([1, 2, 3], [5, 5, 5]) is None
    assert of([], []) is None


def test_intervals_of_shares_are_wilsons() -> None:
    assert Share(8, 10).interval == pytest.approx((0.490162, 0.943318), abs=1e-5)
    assert Share(0, 5).interval == pytest.approx((0, 0.434482), abs=1e-4)
    assert Share(0, 0).value is None
    assert Share(0, 0).interval is None


def test_moving_pixels_agree_where_the_dream_is_real(recorded: dict[str, EpisodeFolder]) -> None:
    folder = recorded["Breakout"]
    starts = draw_moving_starts(folder, CONTEXT, 5, seed=1)
    assert len(set(starts)) == 5
    rows = [cut(folder[start.episode], start.newest, 1 + start.steps) for start in starts]
    assert all(row["is_frame"].all() for row in rows)
    real = np.stack([row["frames"] for row in rows]).astype(np.uint8)
    for step in (1, 15):
        perfect = agreement(real, real[:, 1:], step)
        still = agreement(real, real[:, :1].repeat(15, axis=1), step)
        assert perfect.dreamed == 1
        assert still.dreamed == still.repeated == perfect.repeated
        assert perfect.repeated is not None
        assert 0.5 < perfect.repeated < 1
    assert agreement(real[:, :1].repeat(16, axis=1), real[:, 1:], 1).n == 0


def test_judged_dreams_go_on_through_ends(world: World, how: Dreaming) -> None:
    assert world.contexts is not None
    frames = world.contexts.frames[:2]
    actions = np.concatenate((world.contexts.actions[:2], np.ones((2, 6), dtype=np.int64)), axis=1)
    steps = list(dream_steps(world, how, frames, actions))
    assert any(step.ends.any() for step in steps[:-1])  # an untrained model ends every other step
    assert any(step.rewards.any() for step in steps)
    silent = list(dream_steps(replace(world, reward_end=None), how, frames, actions))
    assert not any(step.ends.any() or step.rewards.any() for step in silent)
    assert np.array_equal(np.stack([step.frames for step in silent], axis=1), dream(world, how, frames, actions))


def test_players_and_plans_are_those_a_world_allows(world: World, how: Dreaming) -> None:
    agents = ["agent", "agent epsilon 0.1", "agent epsilon 0.3"]
    assert [*players_of(world, how)] == [*agents, "scripted player", "random", "random held 8"]
    without = replace(world, actor_critic=None, reward_end=None)
    assert [*players_of(without, how)] == ["scripted player", "random", "random held 8"]
    playing = Playing(steps=10, events=2, long=5, contexts=3)
    assert sum(planned_frames(world, how, playing).values()) == 6 * 12 + 2 * 4 * HORIZON + 3 * 5 + 3 * 15
    assert sum(planned_frames(without, how, playing).values()) == 2 * 4 * HORIZON + 3 * 5 + 3 * 15


def test_sharpness_is_measured_as_far_as_recordings_last(tmp_path: Path) -> None:
    world = make_first_person_world()
    write_recording(tmp_path / "hdf5_dm_july2021_3.hdf5", 3, frames=22)
    footage = open_footage(tmp_path, Console(quiet=True))
    places, steps = places_as_far(footage, CONTEXT, 2, seed=1)
    assert steps == (1, 15)
    assert all(CONTEXT - 1 <= place.frame < 22 - 15 for place in places)
    how = Dreaming(world.config.preset("fast"), seed=1, num_envs=2, device="cpu", dtype="float32")
    found = measure_sharpness(world, footage, places, steps, how)
    assert [(at.stage, at.step, at.n) for at in found] == [
        (stage, step, 2) for stage in ("dynamics", "upsampler") for step in (1, 15)
    ]
    assert all(at.ratio is not None and at.ratio > 0 for at in found)
    frames = footage.full_res(places[0].clip, 0, 2)
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in frames]).astype(np.uint8)
    assert gradient_energy(blurred) < gradient_energy(frames) / 10
    write_world(tmp_path / "world", world)
    write_recording(tmp_path / "short" / "hdf5_dm_july2021_3.hdf5", 3, frames=6)
    options = ["--data", tmp_path / "short", "--contexts", 1, "--num-envs", 1, "--preset", "fast"]
    report = report_of(tmp_path, tmp_path / "world", *options)
    assert report["upsampler_sharpness_1"] > 0
    assert report["upsampler_sharpness_1_n"] == 1
    assert "upsampler_sharpness_15" not in report
    with pytest.raises(UsageError, match="give them with --data"):
        measure_play(world, how, Playing())


def report_of(folder: Path, world: Path, *options: object) -> dict[str, Any]:
    """What the command writes, run in this process."""
    path = folder / "play.json"
    arguments = ["play", world, *options, "--report", path]
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(path.read_text())


def test_the_command_reports_all_parts(world: World, tmp_path: Path) -> None:
    write_world(tmp_path / "world", replace(world, actor_critic=None, config=replace(world.config, actor_critic=None)))
    amounts = ["--steps", 8, "--events", 1, "--recorded", 600, "--long", 2, "--contexts", 2, "--num-envs", 2]
    report = report_of(tmp_path, tmp_path / "world", *amounts, "--preset", "fast", "--device", "cpu")
    expected = {"dream_random_steps": 8, "real_scripted_player_steps": 8, "real_one_of_each": 1.0, "seed": 0}
    assert expected.items() <= report.items()
    assert {"paddle_return_n": 1, "brick_hit_told_n": 1, "moving_pixels_15_n": 2}.items() <= report.items()
    assert "dream_random_held_8_steps_between_ends" in report
    assert report["dream_frames_watched"] == report["real_frames_watched"] == 4
    assert report["moving_pixels_repeated_1"] > report["moving_pixels_dream_1"]
    assert {f"wall_bounce_ball_near_{step}_low" for step in MEASURED_STEPS} <= report.keys()


def test_wrong_usage_is_one_line(world_folder: Path, tmp_path: Path) -> None:
    nothing = ["--steps", 0, "--events", 0, "--long", 0, "--contexts", 0]
    assert_one_line_error(
        diamond_eval("play", world_folder, *nothing, folder=tmp_path), 2, "nothing is left to measure"
    )
    with pytest.raises(UsageError, match="--data is for first-person worlds"):
        report_of(tmp_path, world_folder, "--data", tmp_path)
