"""The perceptual loss reads VGG16 as its owners name it, and tells images apart."""

from pathlib import Path

import pytest
import torch

from diamond_engine.errors import DiamondError
from tests.training.trainers import RUNTIME
from training.components.perceptual import STAGES, PerceptualLoss, read_perceptual_loss

SLICES = {number: f"slice{i + 1}" for i, stage in enumerate(STAGES) for number in stage}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return PerceptualLoss().state_dict()


def named(state: dict[str, torch.Tensor], form: str) -> dict[str, torch.Tensor]:
    """As torchvision's VGG16, or as a published checkpoint of IRIS."""
    found = {"classifier.0.weight": torch.zeros(1)} if form == "torchvision" else {"tokenizer.x": torch.zeros(1)}
    for key, value in state.items():
        group, _, rest = key.partition(".")
        if group == "convolutions":
            number = int(rest.split(".")[0])
            prefix = "features" if form == "torchvision" else f"tokenizer.lpips.net.{SLICES[number]}"
            found[f"{prefix}.{rest}"] = value
        elif group == "heads" and form == "iris":
            found[f"tokenizer.lpips.lin{rest}.model.1.weight"] = value
    return found


@pytest.mark.parametrize("form", ["torchvision", "iris"])
def test_both_forms(state: dict[str, torch.Tensor], form: str, tmp_path: Path) -> None:
    torch.save(named(state, form), tmp_path / "vgg.pth")
    loss = read_perceptual_loss(tmp_path / "vgg.pth", RUNTIME)
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    others = (images + 0.1).requires_grad_()
    assert loss(images, images) == 0
    distance = loss(images, others)
    distance.backward()
    assert distance > 0
    assert others.grad is not None
    assert others.grad.any()


def test_other_files(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    whole = named(state, "torchvision")
    lacking = {key: value for key, value in whole.items() if not key.startswith("features.28")}
    torch.save(lacking, tmp_path / "lacking.pth")
    with pytest.raises(DiamondError, match=r"it lacks 2 of its tensors"):
        read_perceptual_loss(tmp_path / "lacking.pth", RUNTIME)
    torch.save(whole | {"features.0.bias": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(DiamondError, match="other sizes"):
        read_perceptual_loss(tmp_path / "other.pth", RUNTIME)
