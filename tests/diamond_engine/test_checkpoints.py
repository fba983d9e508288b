"""Weights on disk: round trips, and one clear line for everything that is not what it should be."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from diamond_engine.checkpoints import (
    adopt,
    load_strictly,
    read_component,
    read_published,
    without_weights,
    write_component,
    write_state,
)
from diamond_engine.diffusion import Denoiser
from diamond_engine.errors import DiamondError
from diamond_engine.networks import ActorCritic, Tokenizer, TokenizerConfig, TokenTransformer, TokenTransformerConfig
from tests.conftest import tiny_config
from tests.diamond_engine.published import SHAPES


def tiny_denoiser() -> Denoiser:
    return Denoiser(tiny_config("Breakout").denoiser)


def published_state() -> dict[str, Tensor]:
    actor_critic = tiny_config("Breakout").actor_critic
    assert actor_critic is not None
    networks = {"denoiser": tiny_denoiser(), "actor_critic": ActorCritic(actor_critic)}
    return {f"{prefix}.{key}": value for prefix, net in networks.items() for key, value in net.state_dict().items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_component_comes_back_in_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "denoiser.safetensors"
    denoiser, other = tiny_denoiser(), tiny_denoiser()
    write_component(path, denoiser, dtype)
    assert path.stat().st_mode & 0o777 == 0o644
    load_strictly(other, read_component(path), "test")
    for key, value in denoiser.state_dict().items():
        loaded = other.state_dict()[key]
        assert loaded.dtype == torch.float32
        assert torch.equal(loaded, value if "noise" in key else value.to(dtype).float())


def test_mixed_precisions_are_read_back_by_the_safetensors_library(tmp_path: Path) -> None:
    """An odd number of bfloat16 values before float32 ones would leave those unaligned."""
    state = {"bias": torch.randn(3), "noise_emb.weight": torch.randn(1, 5), "scale": torch.tensor(0.5)}
    write_state(tmp_path / "state.safetensors", state, torch.bfloat16)
    read = load_file(tmp_path / "state.safetensors")
    assert {key: value.dtype for key, value in read.items()} == {
        "bias": torch.bfloat16,
        "noise_emb.weight": torch.float32,
        "scale": torch.bfloat16,
    }
    assert all(torch.equal(read[key], value.to(read[key].dtype)) for key, value in state.items())


def test_adopted_weights_are_copied_only_to_change_their_precision() -> None:
    state = tiny_denoiser().state_dict()
    for dtype in (torch.float32, torch.bfloat16):
        with without_weights():
            network = tiny_denoiser()
        assert all(value.is_meta for value in network.state_dict().values())
        adopt(network, state, "test", dtype)
        for key, value in network.state_dict().items():
            same = value.data_ptr() == state[key].data_ptr()
            assert same == (dtype == torch.float32 or "noise" in key)
            assert torch.equal(value, state[key].to(value.dtype))
        assert all(parameter.requires_grad for parameter in network.parameters())


def test_published_prefixes_become_components(tmp_path: Path) -> None:
    torch.save(published_state(), tmp_path / "Breakout.pt")
    components = read_published(tmp_path / "Breakout.pt")
    assert set(components) == {"denoiser", "actor_critic"}
    load_strictly(tiny_denoiser(), components["denoiser"], "test")


def components_of(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        component, _, rest = key.partition(".")
        found.setdefault(component, {})[rest] = value
    return found


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
        lambda state: {key.replace(".", "._orig_mod.", 1): value for key, value in state.items()},
        lambda state: {f"module.{key.replace('.', '.module._orig_mod.', 1)}": value for key, value in state.items()},
        lambda state: {"epoch": 3, "agent": state, "optimizer": {"lr": 0.1}},
        lambda state: {"state_dict": {"model": state}, "args": ["x"]},
        components_of,
        lambda state: {key: value.half() for key, value in state.items()},
    ],
    ids=["compiled", "compiled parts", "wrapped", "in a run", "deep", "by component", "half"],
)
def test_checkpoints_of_the_authors_code(tmp_path: Path, wrapped: Callable[[dict[str, Tensor]], object]) -> None:
    state = published_state()
    torch.save(wrapped(state), tmp_path / "mine.pt")
    components = read_published(tmp_path / "mine.pt")
    assert set(components) == {"denoiser", "actor_critic"}
    network = tiny_denoiser()
    load_strictly(network, components["denoiser"], "test")
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, state[f"denoiser.{key}"], rtol=1e-3, atol=1e-3)


def test_dictionaries_that_hold_themselves_are_refused(tmp_path: Path) -> None:
    endless: dict[str, object] = {}
    endless["model"] = endless
    torch.save(endless, tmp_path / "endless.pt")
    with pytest.raises(DiamondError, match="not a published checkpoint"):
        read_published(tmp_path / "endless.pt")


class Payload:
    """Unpickling one creates a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.victim), "w")


def test_a_pickled_object_is_not_executed(tmp_path: Path) -> None:
    torch.save({"denoiser.x": Payload(tmp_path / "victim")}, tmp_path / "evil.pt")
    with pytest.raises(DiamondError, match="holds more than tensors"):
        read_published(tmp_path / "evil.pt")
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"step": 3}, "expected a dictionary of tensors"),
        ([torch.zeros(1)], "expected a dictionary of tensors"),
        ({}, "expected a dictionary of tensors"),
        ({"model.weight": torch.zeros(1)}, r"unexpected key 'model\.weight'"),
    ],
)
def test_other_files_of_torch(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(DiamondError, match=f"not a published checkpoint.*{message}"):
        read_published(tmp_path / "other.pt")


def test_truncated_and_foreign_checkpoints(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    torch.save(published_state(), whole)
    for name, content in {
        "truncated.pt": whole.read_bytes()[:-1000],
        "empty.pt": b"",
        "text.pt": b"<html>please log in</html>",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DiamondError, match=r"truncated or damaged\): download it again"):
            read_published(tmp_path / name)
    with pytest.raises(DiamondError, match="no such checkpoint"):
        read_published(tmp_path / "absent.pt")


def test_truncated_and_missing_components(tmp_path: Path) -> None:
    path = tmp_path / "denoiser.safetensors"
    with pytest.raises(DiamondError, match=r"missing weights: .*denoiser\.safetensors"):
        read_component(path)
    write_component(path, tiny_denoiser(), torch.float32)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DiamondError, match="truncated or damaged"):
        read_component(path)


def test_keys_and_shapes_must_agree() -> None:
    denoiser = tiny_denoiser()
    state = denoiser.state_dict()
    key = "inner_model.conv_in.bias"
    with pytest.raises(DiamondError, match=rf"denoiser of here is for another architecture: keys 1 missing \({key}\)"):
        load_strictly(denoiser, {k: v for k, v in state.items() if k != key}, "denoiser of here")
    with pytest.raises(DiamondError, match=r"keys 1 unexpected \(more\)"):
        load_strictly(denoiser, {**state, "more": torch.zeros(1)}, "denoiser of here")
    with pytest.raises(DiamondError, match=rf"{key} has shape \(9,\), expected \(8,\)"):
        load_strictly(denoiser, {**state, key: torch.zeros(9)}, "denoiser of here")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 3.4e38])
@pytest.mark.parametrize("load", [load_strictly, partial(adopt, dtype=torch.bfloat16)])
def test_weights_that_are_not_finite_are_refused(load: Callable[..., None], value: float) -> None:
    state = {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    load(nn.Linear(2, 2), state, "the world")
    state["bias"][1] = value
    with pytest.raises(DiamondError, match=r"the world holds weights that are not finite \(bias\)"):
        load(nn.Linear(2, 2), state, "the world")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_numbers_of_another_kind_are_no_weights(dtype: torch.dtype) -> None:
    state = {"weight": torch.ones(2, 2), "bias": torch.ones(2, dtype=dtype)}
    with pytest.raises(DiamondError, match=r"the world holds bias as .*, which are no weights"):
        load_strictly(nn.Linear(2, 2), state, "the world")


def test_a_refused_state_changes_nothing() -> None:
    denoiser = tiny_denoiser()
    before = {key: value.clone() for key, value in denoiser.state_dict().items()}
    wrong = {key: torch.ones_like(value) for key, value in before.items()}
    wrong["inner_model.conv_in.bias"] = torch.zeros(tiny_config("Breakout").denoiser.inner_model.channels[0] + 1)
    with pytest.raises(DiamondError):
        load_strictly(denoiser, wrong, "test")
    assert all(torch.equal(value, before[key]) for key, value in denoiser.state_dict().items())


def test_the_published_sizes_of_iris_fit(tmp_path: Path) -> None:
    """Every key of a published file: those of the perceptual loss and of masks are passed over."""
    shapes = json.loads(SHAPES.with_name("checkpoint_iris_breakout.json").read_text())
    state = {key: torch.zeros(shape) for key, shape in shapes.items()}
    torch.save(state | {"tokenizer.lpips.lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, tmp_path / "iris.pt")
    states = read_published(tmp_path / "iris.pt")
    with without_weights():
        tokenizer, transformer = Tokenizer(TokenizerConfig()), TokenTransformer(TokenTransformerConfig(num_actions=4))
    adopt(tokenizer, states["tokenizer"], "tokenizer", torch.float32)
    adopt(transformer, states["transformer"], "transformer", torch.float32)
