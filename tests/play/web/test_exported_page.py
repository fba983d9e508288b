"""Exported pages in a real browser: they dream what torch dreams, obey a key, show the real game, need no network."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diamond_engine import load_world
from diamond_engine.world_model import World
from tests.play.web.browser import Browser, Page, opened
from tests.play.web.sites import PADDLE, dreamed_by_torch, export_site, hosted, small_world

pytestmark = pytest.mark.slow  # torch's exporter takes half a minute a world
FRAMES, FEWER = 50, 15
CLOSED_LOOP = """(async () => {
  const { Dream } = await import("./dream.mjs"), { loadNetworks, fetched, unzipped } = await import("./networks.mjs");
  const world = await (await fetch("world.json")).json();
  const all = new Float32Array(await (await fetch("noise.bin")).arrayBuffer());
  const preset = world.presets[%(preset)s], networks = await loadNetworks(world, "wasm");
  let drawn = 0;
  const noise = (length) => all.slice(drawn, (drawn += length));
  noise.uniform = () => 0.5;
  const dream = new Dream(world, preset, networks, noise);
  const bytes = await unzipped(await fetched("contexts.gz", world.version));
  const size = world.size[0] * world.size[1] * 3, length = world.context;
  const [shape] = world.contexts.arrays.filter(({ name }) => name === "frames").map(({ shape }) => shape);
  const frames = Array.from({ length }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
  const actions = Array.from(bytes.subarray(shape[0] * length * size).subarray(0, length - 1));
  await dream.start({ frames, actions });
  const seen = new Uint8Array(%(actions)s.length * size);
  let at = 0;
  for (const action of %(actions)s) {
    await dream.step(action);
    for (const value of pixels(dream.shown)) seen[at++] = value;
  }
  return btoa(Array.from(seen, (byte) => String.fromCharCode(byte)).join(""));
  function* pixels(planes) {
    for (let i = 0; i < planes.length / 3; i++) {
      for (let c = 0; c < 3; c++) yield Math.round((planes[(c * planes.length) / 3 + i] + 1) * 127.5);
    }
  }
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def small() -> World:
    return small_world()


@pytest.fixture(scope="module")
def small_site(browser: Browser, small: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of a tiny world of the small architecture."""
    return export_site(small, tmp_path_factory.mktemp("small") / "site", "fast")


@pytest.fixture(scope="module")
def breakout() -> World:
    return load_world("atari/Breakout", dtype="float32")


@pytest.fixture(scope="module")
def breakout_site(browser: Browser, breakout: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of the bundled world."""
    return export_site(breakout, tmp_path_factory.mktemp("breakout") / "site", "fast")


def dreamed_by_the_page(page: Page, site: Path, preset: str, actions: list[int], noise: torch.Tensor) -> np.ndarray:
    """The frames ``(T, H, W, 3)`` of the same dream in the browser."""
    (site / "noise.bin").write_bytes(noise.numpy().tobytes())
    answer = page.evaluate(CLOSED_LOOP % {"preset": json.dumps(preset), "actions": json.dumps(actions)})
    return np.frombuffer(base64.b64decode(answer), dtype=np.uint8).reshape(len(actions), 64, 64, 3)


def compared(browser: Browser, world: World, site: Path, preset: str, frames: int) -> np.ndarray:
    """By how many of 256 levels the page's frames differ from torch's, ``(T, H, W, 3)``."""
    rng = np.random.default_rng(0)
    actions = rng.integers(4, size=frames).repeat(3)[:frames].tolist()
    noise = torch.randn(frames, 3 * 64 * 64, generator=torch.Generator().manual_seed(0))
    expected = np.stack(dreamed_by_torch(world, preset, actions, noise))
    with hosted(site) as address:
        page = browser.page(address + "style.css")
        page.until("location.pathname === '/style.css'")
        found = dreamed_by_the_page(page, site, preset, actions, noise)
        page.close()
    return np.abs(found.astype(int) - expected)


@pytest.mark.parametrize("preset", ["fast", "quality"])
def test_the_small_architecture_dreams_what_torch_dreams(
    browser: Browser, small: World, small_site: Path, preset: str
) -> None:
    """Over 50 frames of a closed loop; the order of sums differs, and with it now and then a level."""
    difference = compared(browser, small, small_site, preset, FRAMES)
    assert difference[0].max() <= 1
    assert (difference > 2).mean() < 0.01


def test_breakout_dreams_what_torch_dreams(browser: Browser, breakout: World, breakout_site: Path) -> None:
    """Its weights are of bfloat16, which 16 bits hold exactly but for the smallest."""
    difference = compared(browser, breakout, breakout_site, "quality", FEWER)
    assert difference[0].max() <= 1
    assert (difference > 2).mean() < 0.01


def told(page: Page, label: str) -> str:
    """A value of the panel."""
    return page.evaluate(f"document.querySelector('[data-label={json.dumps(label)}]')?.textContent")


def test_the_agent_plays_until_a_key_is_pressed(browser: Browser, small_site: Path) -> None:
    with hosted(small_site) as address:
        page = browser.page(address)
        page.until("document.getElementById('picture').dataset.frame >= 3")
        assert told(page, "who plays") == "agent"
        page.key("ArrowRight", True)
        page.until(
            "document.querySelector('[data-label=\"who plays\"]')?.textContent === 'you'"
        )  # the agent goes right too
        page.until("document.querySelector('[data-label=action]')?.textContent === 'RIGHT'")
        page.key("ArrowRight", False)
        page.until("document.querySelector('[data-label=action]')?.textContent === 'NOOP'")
        page.evaluate("document.getElementById('report').click()")
        report: dict[str, Any] = json.loads(page.evaluate("document.getElementById('reportText').textContent"))
        assert (report["world"], report["backend"], report["isolated"]) == ("atari/Breakout", "wasm", True)
        assert report["model_ms"] > 0
        assert report["threads"] >= 1
        page.evaluate("document.getElementById('besideButton').click()")
        page.until("!document.getElementById('beside').hidden")
        assert told(page, "who plays") == "recorded player"
        page.key("ArrowLeft", True)
        page.until("document.getElementById('beside').hidden")
        assert not page.errors
        page.close()


def test_a_page_that_was_visited_needs_no_network(browser: Browser, small_site: Path) -> None:
    with hosted(small_site) as address:
        page = browser.page(address)
        page.until("document.getElementById('picture').dataset.frame >= 1")
        page.until("navigator.serviceWorker.ready.then(({ active }) => active.state === 'activated')")
    page.open(address)
    page.until("document.getElementById('picture').dataset.frame >= 1 && navigator.serviceWorker.controller !== null")
    assert page.evaluate("crossOriginIsolated")
    page.close()


def test_a_held_key_moves_the_paddle(browser: Browser, breakout_site: Path) -> None:
    with hosted(breakout_site) as address:
        page = browser.page(address)
        page.until("document.getElementById('picture').dataset.frame >= 1")
        for key, place in (("ArrowLeft", "< 15"), ("ArrowRight", "> 40")):
            page.key(key, True)
            page.until(f"(({PADDLE}) ?? 28) {place}")
            page.key(key, False)
        assert told(page, "who plays") == "you"
        assert not page.errors
        page.close()
