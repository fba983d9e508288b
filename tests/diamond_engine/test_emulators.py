"""The batched emulator, held pixel-equal to a plain one: single ALE frames, maximum of two screens, area resize."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
import torch
from ale_py import ALEInterface, AtariVectorEnv, roms
from numpy.typing import NDArray

from diamond_engine.emulators import Emulator, EmulatorStep, can_emulate, open_emulator
from diamond_engine.emulators.atari import FRAME_SKIP
from diamond_engine.environment import EmulatorEnv
from diamond_engine.errors import UsageError
from diamond_engine.frames import to_numpy
from diamond_engine.games import ATARI_GAMES, Game, atari_game
from diamond_engine.runtime import Runtime

SEED = 11
Screen = NDArray[np.uint8]


def open_ale(game: Game, seed: int) -> ALEInterface:
    ale = ALEInterface()
    ale.setInt("random_seed", seed)
    ale.setInt("frame_skip", 1)
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(str(roms.get_rom_path(game.emulator.removeprefix("ale:"))))
    ale.reset_game()
    return ale


def shrink(screen: Screen) -> Screen:
    return cv2.resize(screen, (64, 64), interpolation=cv2.INTER_AREA).astype(np.uint8)


@dataclass
class PlainGame:
    """One game, frame by frame."""

    game: Game
    seed: int
    noops: int
    ale: ALEInterface = field(init=False)
    older: Screen = field(init=False)
    newer: Screen = field(init=False)

    def __post_init__(self) -> None:
        self.ale = open_ale(self.game, self.seed)
        for _ in range(self.noops):
            self.ale.act(self.ale.getMinimalActionSet()[0])
        self.newer = self.ale.getScreenRGB()
        self.older = np.zeros_like(self.newer)

    def step(self, action: int) -> tuple[Screen, float, bool]:
        """Frame, reward and whether the game is over; the screen of the emulated frame that ends it is not drawn."""
        reward = 0.0
        for i in range(FRAME_SKIP):
            reward += self.ale.act(self.ale.getMinimalActionSet()[action])
            if self.ale.game_over():
                break
            if i == FRAME_SKIP - 2:
                self.older = self.ale.getScreenRGB()
            if i == FRAME_SKIP - 1:
                self.newer = self.ale.getScreenRGB()
        self.newer = np.maximum(self.older, self.newer)
        return shrink(self.newer), reward, self.ale.game_over()


def start_frames(game: Game) -> list[Screen]:
    """The frames a game can start with: after 1 to 30 no-ops."""
    ale = open_ale(game, SEED)
    frames: list[Screen] = []
    for _ in range(30):
        ale.act(ale.getMinimalActionSet()[0])
        frames.append(shrink(ale.getScreenRGB()))
    return frames


def noop_counts(game: Game, count: int) -> list[int]:
    """How many no-ops the seed draws: one emulated frame each."""
    envs = AtariVectorEnv(game.emulator.removeprefix("ale:"), count, noop_max=30, use_fire_reset=False)
    info = envs.reset(seed=SEED)[1]
    envs.close()
    return info["episode_frame_number"].tolist()


MORE_GAMES = [pytest.param(name, marks=pytest.mark.slow) for name in ("Pong", "MsPacman", "KungFuMaster")]


@pytest.mark.parametrize("name", ["Breakout", "Seaquest", "Freeway", *MORE_GAMES])
def test_equals_single_frame_ale(name: str) -> None:
    game = atari_game(name)
    noops = noop_counts(game, 2)
    assert all(1 <= n <= 30 for n in noops)
    emulator = open_emulator(game, 2, seed=SEED)
    frames = emulator.reset()
    plain = [PlainGame(game, SEED + i, n) for i, n in enumerate(noops)]
    np.testing.assert_array_equal(frames, [shrink(p.newer) for p in plain])
    rng = np.random.default_rng(0)
    rewards = 0.0
    for _ in range(300):
        actions = rng.integers(len(game.actions), size=2)
        result = emulator.step(actions)
        steps = [one.step(int(action)) for one, action in zip(plain, actions, strict=True)]
        frames, expected_rewards, over = zip(*steps, strict=True)
        np.testing.assert_array_equal(result.successors, frames)
        np.testing.assert_array_equal(result.rewards, expected_rewards)
        np.testing.assert_array_equal(result.game_over, over)
        rewards += float(np.abs(result.rewards).sum())
        if any(over):
            break
        np.testing.assert_array_equal(result.frames, result.successors)
    assert rewards > 0 or name == "Freeway"
    emulator.close()


@pytest.mark.parametrize("name", ["Breakout", "Assault"])
def test_game_over_gives_the_final_frame_and_starts_anew(name: str) -> None:
    game = atari_game(name)
    emulator = open_emulator(game, 1, seed=SEED)
    emulator.reset()
    plain = PlainGame(game, SEED, noop_counts(game, 1)[0])
    rng = np.random.default_rng(0)
    while True:
        action = rng.integers(len(game.actions), size=1)
        result = emulator.step(action)
        frame, _, over = plain.step(int(action[0]))
        assert bool(result.game_over[0]) is over
        np.testing.assert_array_equal(result.successors[0], frame)
        if over:
            break
    assert result.terminated[0]
    assert not result.truncated[0]
    assert any((result.frames[0] == start).all() for start in start_frames(game))
    assert (result.frames[0] != result.successors[0]).any()
    emulator.close()


def play(emulator: Emulator, steps: int, seed: int = 0) -> list[EmulatorStep]:
    rng = np.random.default_rng(seed)
    emulator.reset()
    actions = rng.integers(len(emulator.game.actions), size=(steps, emulator.num_envs))
    return [emulator.step(a) for a in actions]


def test_a_lost_life_ends_an_episode_but_not_the_game() -> None:
    game = atari_game("Breakout")
    by_game = play(open_emulator(game, 2, seed=SEED), 300)
    by_life = play(open_emulator(game, 2, seed=SEED, end_on_life_loss=True), 300)
    for whole, life in zip(by_game, by_life, strict=True):
        np.testing.assert_array_equal(whole.frames, life.frames)
        np.testing.assert_array_equal(whole.game_over, life.game_over)
        assert (life.terminated | ~whole.terminated).all()
        lost = life.terminated & ~life.game_over
        np.testing.assert_array_equal(life.successors[lost], life.frames[lost])
    games = sum(int(step.terminated.sum()) for step in by_game)
    lives = sum(int(step.terminated.sum()) for step in by_life)
    assert games >= 1
    assert lives >= 5 * games  # Breakout has five lives


def test_same_seed_same_games() -> None:
    game = atari_game("Seaquest")
    first, again, other = (play(open_emulator(game, 2, seed=seed), 50) for seed in (SEED, SEED, SEED + 100))
    assert all((a.frames == b.frames).all() for a, b in zip(first, again, strict=True))
    assert any((a.frames != b.frames).any() for a, b in zip(first, other, strict=True))
    shifted = open_emulator(game, 1)
    np.testing.assert_array_equal(shifted.reset(SEED + 1)[0], open_emulator(game, 2).reset(SEED)[1])


def test_refuses_actions_the_game_does_not_have() -> None:
    emulator = open_emulator(atari_game("Breakout"), 2)
    emulator.reset()
    for actions in ([0, 4], [0], [-1, 0]):
        with pytest.raises(UsageError, match="Breakout takes 2 actions from 0 to 3"):
            emulator.step(np.array(actions))


def test_every_game_has_a_rom() -> None:
    assert all(can_emulate(game) for game in ATARI_GAMES.values())
    assert not can_emulate(Game("Nonesuch", "nonesuch", ("NOOP",)))


def test_as_a_batched_env() -> None:
    game = atari_game("Breakout")
    runtime = Runtime.choose("cpu", "float32")
    env = EmulatorEnv(open_emulator(game, 2, seed=SEED, end_on_life_loss=True), runtime.device)
    expected = play(open_emulator(game, 2, seed=SEED, end_on_life_loss=True), 300)
    env.reset()
    actions = np.random.default_rng(0).integers(len(game.actions), size=(300, 2))
    scores: list[float] = []
    running = np.zeros(2)
    for action, step in zip(actions, expected, strict=True):
        obs, rewards, ends, _, info = env.step(torch.as_tensor(action))
        np.testing.assert_array_equal(to_numpy(obs), step.frames)
        np.testing.assert_array_equal(rewards.numpy(), step.rewards)
        np.testing.assert_array_equal(ends.numpy(), step.terminated)
        assert ("final_obs" in info) == step.terminated.any()
        if "final_obs" in info:
            np.testing.assert_array_equal(to_numpy(info["final_obs"]), step.successors)
        running += step.rewards
        scores += running[step.game_over].tolist()
        running[step.game_over] = 0
    assert env.finished_scores == scores
    assert scores
