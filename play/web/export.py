"""``diamond-play export``: a folder of static files that dreams a world in the visitor's browser.

``world.json`` describes the world for ``dream.mjs``. ``networks/`` holds ONNX files, ``contexts.gz`` the start
contexts, ``recordings.gz`` pieces of the real game to show beside the dream, ``runtime/`` onnxruntime-web.
"""

from __future__ import annotations

import gzip
import json
import logging
import math
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from diamond_engine import World
from diamond_engine.contexts import StartContexts
from diamond_engine.diffusion import EDM, Denoiser, SamplerConfig
from diamond_engine.emulators import can_emulate, open_emulator
from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path
from diamond_engine.frames import from_numpy
from diamond_engine.world_model import Preset
from diamond_engine.worlds import DiffusionWorld, as_samplers, of_diffusion
from play.actions import ButtonActions, FirstPersonActions
from play.beside import begin_game
from play.bindings import Keymap
from play.genres import Genre, genre_of
from play.view import Command
from play.web.controls import CROUCH_KEY, KEYS, touch_buttons
from play.web.runtime import BACKENDS, VERSION

MISSING = "exporting needs onnx and onnxscript: pip install 'diamond-engine[web]'"
OPSET = 18
SMALL_TENSOR = 1024
"""Weights with fewer values are stored in 32 bits."""
INFINITE = 1e30
"""Replaces infinity, which JSON does not have."""
RECORDED_STEPS = 60
RECORDINGS = 4
COMMANDS = (Command.RESET, Command.PAUSE, Command.HAND_OVER)
"""Query parameters of an exported page."""
SCRIPTS = ("index.html", "page.mjs", "dreamer.mjs", "dream.mjs", "networks.mjs", "latch.mjs", "offline.mjs")
SHARED = ("style.css", "input.mjs")
NOTICE = f"onnxruntime-web {VERSION} (https://www.npmjs.com/package/onnxruntime-web), MIT, © Microsoft Corporation\n"


@dataclass(frozen=True)
class Site:
    """Initial settings of an exported page, and the files of its runtime."""

    preset: Preset
    """The first sampler, which need not be a preset of the world."""
    preset_name: str
    """Name of this sampler."""
    horizon: int
    """Steps after which a dream ends."""
    runtime: Mapping[str, Path]
    """Files of onnxruntime-web by name."""


def check_exporter() -> None:
    """Raises ``DiamondError`` if the packages of torch's exporter are not installed."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise DiamondError(MISSING) from error


def export(world: World, site: Site, folder: Path, progress: Callable[[str], None]) -> int:
    """Writes the site and returns its size in bytes. ``index.html`` comes last: a partial site cannot be opened.

    Raises ``UsageError`` for a world of IRIS, ``DiamondError`` for one without start contexts or of DDPM, and as
    ``check_exporter`` does.
    """
    check_exporter()
    world = of_diffusion(world, "a page")
    contexts = _checked(world)
    genre = genre_of(world.game)
    networks = {name: _network_file(name, call, folder, progress) for name, call in _calls(world).items()}
    description = _description(world, genre, site, networks)
    progress("writing start contexts")
    description["contexts"] = _write_arrays(folder / "contexts.gz", contexts.arrays())
    recorded = _recordings(world)
    description["recordings"] = recorded and _write_arrays(folder / "recordings.gz", recorded)
    for name, path in site.runtime.items():
        _copy(path, folder / "runtime" / name)
    _write(folder / "runtime" / "NOTICE.txt", NOTICE.encode())
    return _write_page(folder, description)


def _checked(world: DiffusionWorld) -> StartContexts:
    if world.contexts is None:
        raise DiamondError(f"{world.config.name} has no start contexts: a page could not begin anywhere")
    if world.config.denoiser.diffusion != EDM:
        raise DiamondError(f"{world.config.name} is sampled by DDPM: pages know EDM's sampler alone")
    return world.contexts


def _calls(world: DiffusionWorld) -> dict[str, tuple[nn.Module, dict[str, torch.Tensor], tuple[str, ...]]]:
    """The networks of a page: each a module, example inputs (their shapes matter), and the names of its outputs."""
    from play.web.networks import Actor, Call, Judge

    config = world.config
    inner = config.denoiser.inner_model
    channels, actions = inner.img_channels, inner.num_actions or 0
    small, large = (channels, *config.dynamics_size), (channels, config.frame_height, config.frame_width)
    calls: dict[str, tuple[nn.Module, dict[str, torch.Tensor], tuple[str, ...]]] = {}
    given = torch.zeros(1, inner.num_steps_conditioning, actions)
    calls["dynamics"] = Call(world.denoiser), _inputs(world.denoiser, small, given), ("frame",)
    if world.upsampler is not None:
        inputs = _inputs(world.upsampler, large, torch.zeros(1, *small))
        calls["upsampler"] = Call(world.upsampler), inputs, ("frame",)
    frame = torch.zeros(1, *small)
    if world.reward_end is not None:
        state = torch.zeros(1, 1, world.reward_end.cfg.lstm_dim)
        names = ("frame", "following", "action", "hidden", "cell")
        values = (frame, frame.clone(), torch.zeros(1, actions), state, state.clone())
        outputs = ("rewards", "ends", "hidden", "cell")
        calls["judge"] = Judge(world.reward_end), dict(zip(names, values, strict=True)), outputs
    if world.actor_critic is not None:
        state = torch.zeros(1, world.actor_critic.cfg.lstm_dim)
        inputs = {"frame": frame, "hidden": state, "cell": state.clone()}
        calls["agent"] = Actor(world.actor_critic), inputs, ("logits", "hidden", "cell")
    return calls


def _inputs(denoiser: Denoiser, frame: tuple[int, ...], given: torch.Tensor) -> dict[str, torch.Tensor]:
    inner = denoiser.cfg.inner_model
    channels, height, width = frame
    return {
        "noisy": torch.zeros(1, *frame),
        "context": torch.zeros(1, inner.num_steps_conditioning * channels, height, width),
        "embedding": torch.zeros(1, inner.cond_channels),
        "coefficients": torch.ones(3),
        "given": given,
    }


def _network_file(
    name: str,
    call: tuple[nn.Module, dict[str, torch.Tensor], tuple[str, ...]],
    folder: Path,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Writes a network and returns its description for ``world.json``."""
    progress(f"exporting {name}")
    path = folder / "networks" / f"{name}.onnx"
    with atomic_path(path) as temporary:
        _write_onnx(temporary, *call)
    return {
        "path": f"networks/{name}.onnx",
        "bytes": path.stat().st_size,
        "inputs": {key: list(value.shape) for key, value in call[1].items()},
    }


def _write_onnx(path: Path, module: nn.Module, inputs: dict[str, torch.Tensor], outputs: tuple[str, ...]) -> None:
    import onnx

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it would warn of operators that are not used here
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            input_names=[*inputs],
            output_names=[_output_name(name, inputs) for name in outputs],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _forget_sources(model)
    _store_in_half(model)
    path.write_bytes(onnx.ModelProto.SerializeToString(model))


def _forget_sources(model: Any) -> None:
    """Removes the Python stack of every node: in small networks it is most of the file."""
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def _output_name(name: str, inputs: Mapping[str, Any]) -> str:
    """Outputs must not have the name of an input."""
    return f"new_{name}" if name in inputs else name


def _store_in_half(model: Any) -> None:
    """Stores large weights in 16 bits, each followed by a cast that the runtime carries out once, at loading."""
    from onnx import TensorProto, helper, numpy_helper

    graph, casts = model.graph, []
    for i, tensor in enumerate(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < SMALL_TENSOR:
            continue
        name, half = tensor.name, f"{tensor.name}_half"
        graph.initializer[i].CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _description(world: DiffusionWorld, genre: Genre, site: Site, networks: dict[str, Any]) -> dict[str, Any]:
    config = world.config
    return {
        "name": config.name,
        "title": genre.title,
        "frame_rate": config.frame_rate,
        "size": [config.frame_height, config.frame_width],
        "scale": genre.scale if config.frame_width < 2 * config.frame_height else 3,
        "context": world.context_length,
        "horizon": site.horizon,
        "actions": _actions(genre),
        "keymap": _keymap(genre.keymap),
        "touch": touch_buttons(genre),
        "presets": {
            name: {
                "dynamics": _sampler(world.denoiser, preset.dynamics),
                "upsampler": _sampler(world.upsampler, preset.upsampler),
            }
            for name, preset in {site.preset_name: as_samplers(site.preset, config), **config.presets}.items()
        },
        "default_preset": site.preset_name,
        "judge": None if world.reward_end is None else {"hidden": world.reward_end.cfg.lstm_dim},
        "agent": None if world.actor_critic is None else {"hidden": world.actor_critic.cfg.lstm_dim},
        "networks": networks,
        "backends": [name for name, known in BACKENDS.items() if known.keys() <= site.runtime.keys()],
        "runtime": {name: path.stat().st_size for name, path in site.runtime.items()},
    }


def _sampler(denoiser: Denoiser | None, sampler: SamplerConfig | None) -> dict[str, Any] | None:
    """A sampler with the network inputs of each of its levels."""
    if denoiser is None or sampler is None:
        return None
    sigmas = torch.tensor(sampler.schedule()[:-1])
    noised = torch.full_like(sigmas, math.log(sampler.s_cond) / 4) if sampler.s_cond > 0 else None
    with torch.no_grad():
        c = denoiser.conditioners(sigmas)
        embeddings = denoiser.inner_model.noise_embedding(c.c_noise, noised)
    coefficients = torch.stack([c.c_in.flatten(), c.c_out.flatten(), c.c_skip.flatten()], dim=1)
    levels = zip(embeddings.tolist(), coefficients.tolist(), strict=True)
    numbers = {name: min(value, INFINITE) for name, value in asdict(sampler).items() if name != "diffusion"}
    return numbers | {"levels": [{"embedding": e, "coefficients": k} for e, k in levels]}


def _actions(genre: Genre) -> dict[str, Any]:
    """The action space, in the format of ``dream.mjs``."""
    if isinstance(genre.actions, ButtonActions):
        game = genre.actions.game
        return {
            "size": len(game.actions),
            "names": game.actions,
            "held": [*map(sorted, game.buttons)],
            "idle": game.idle,
        }
    assert isinstance(genre.actions, FirstPersonActions)
    key_map = genre.actions.key_map
    return {
        "size": key_map.size,
        "buttons": [*key_map.keys, *key_map.buttons],
        "arrows": key_map.arrows,
        "forbidden": sorted(sorted(pair) for pair in key_map.forbidden_pairs),
        "mouse_x": key_map.mouse_x_bins,
        "mouse_y": key_map.mouse_y_bins,
    }


def _keymap(keymap: Keymap) -> dict[str, Any]:
    """The keymap of a page, with the browser's names of keys."""
    meanings = {code: keymap.keys[key] for code, key in KEYS.items() if key in keymap.keys}
    if CROUCH_KEY not in meanings and isinstance(meanings.get("ControlLeft"), str):
        meanings[CROUCH_KEY] = meanings["ControlLeft"]
    known = [line for line in keymap.bindings if any(_kept(meaning) for _, meaning in line.keys) or not line.keys]
    return {
        "keys": {code: meaning for code, meaning in meanings.items() if isinstance(meaning, str)},
        "commands": {code: meaning.name for code, meaning in meanings.items() if meaning in COMMANDS},
        "stick": asdict(keymap.stick),
        "cross": asdict(keymap.cross),
        "pad": {number: meaning for number, meaning in keymap.pad.items() if isinstance(meaning, str)},
        "triggers": dict(keymap.triggers),
        "clicks": {number - 1: button for number, button in keymap.clicks.items()},
        "mouse": bool(keymap.clicks),
        "help": [[line.text, line.shown] for line in known],
    }


def _kept(meaning: object) -> bool:
    return isinstance(meaning, str) or meaning in COMMANDS


def _recordings(world: World) -> dict[str, NDArray[np.integer]] | None:
    """Pieces of the real game: a context, then the following actions and frames.

    The world's agent plays, or random actions without one. None if there is no emulator of the game.
    """
    if not can_emulate(world.game):
        return None
    emulator = open_emulator(world.game)
    all_frames, all_actions = [], []
    for seed in range(RECORDINGS):
        begun = begin_game(emulator, world.context_length, seed)
        frames, actions = [*begun.frames], [*begun.actions.tolist()]
        act = _player(world, seed)
        for _ in range(RECORDED_STEPS):
            actions.append(act(frames[-1]))
            frames.append(emulator.step(np.array(actions[-1:])).successors[0].copy())
        all_frames.append(np.stack(frames))
        all_actions.append(actions)
    emulator.close()
    return {"frames": np.stack(all_frames), "actions": np.array(all_actions)}


def _player(world: World, seed: int) -> Callable[[NDArray[np.uint8]], int]:
    if world.actor_critic is None:
        rng = np.random.default_rng(seed)
        return lambda frame: int(rng.integers(len(world.game.actions)))
    agent = world.agent("cpu", "float32", seed)
    return lambda frame: int(agent.act(from_numpy(frame[None], torch.device("cpu")))[0])


def _write_arrays(path: Path, arrays: Mapping[str, NDArray[np.integer]]) -> dict[str, Any]:
    """Writes arrays as bytes, one after the other, gzipped; returns their names and shapes."""
    content = b"".join(np.ascontiguousarray(array, dtype=np.uint8).tobytes() for array in arrays.values())
    _write(path, gzip.compress(content, mtime=0))
    return {"path": path.name, "arrays": [{"name": name, "shape": array.shape} for name, array in arrays.items()]}


def _write_page(folder: Path, description: dict[str, Any]) -> int:
    """Writes the scripts, then ``world.json`` with a version of the whole site, then ``index.html``."""
    static = files("play.web")
    contents = {name: static.joinpath("site", name).read_bytes() for name in SCRIPTS}
    contents |= {name: static.joinpath("static", name).read_bytes() for name in SHARED}
    contents["serve.py"] = static.joinpath("isolated.py").read_bytes()
    scripts = [f"runtime/{name}" for name in description["runtime"] if name.endswith(".mjs")]
    small = ["./", *(name for name in contents if name != "serve.py"), "world.json", "contexts.gz"]
    description["files"] = [*small, *scripts, *(["recordings.gz"] if description["recordings"] else [])]
    digest = sha256(json.dumps(description).encode())
    for content in contents.values():
        digest.update(content)
    for network in description["networks"].values():
        digest.update((folder / network["path"]).read_bytes())
    description["version"] = digest.hexdigest()[:16]
    contents["world.json"] = json.dumps(description).encode()
    for name in sorted(contents, key=lambda name: name == "index.html"):
        _write(folder / name, contents[name])
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _copy(source: Path, path: Path) -> None:
    with atomic_path(path) as temporary:
        shutil.copyfile(source, temporary)
