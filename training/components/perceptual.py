"""How different two images look: the distance of their features in VGG16 (LPIPS; Zhang et al., 2018).

No weights come with this program: a person brings a file of VGG16, with the five heads of LPIPS or without.
Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond_engine.checkpoints import StateDict, read_tensors
from diamond_engine.errors import DiamondError
from diamond_engine.runtime import Runtime

STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Convolutions of VGG16 by their number in it; features are taken after the last of every stage, a max pool follows."""
WIDTHS = (64, 128, 256, 512, 512)
MEAN, DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of the images that VGG16 learned from, in [-1, 1]."""
CONVOLUTION = re.compile(r"(?:.*\.)?(?:features|slice\d)\.(\d+)\.(weight|bias)")
HEAD = re.compile(r"(?:.*\.)?lins?\.?(\d)\.(?:model\.\d+\.)?weight")
EPSILON = 1e-10


class PerceptualLoss(nn.Module):
    """``forward``: two batches of images ``(B, 3, H, W)`` in [-1, 1] → mean distance, a scalar. It does not learn."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        sizes = [3, *(width for width, stage in zip(WIDTHS, STAGES, strict=True) for _ in stage)]
        numbers = [number for stage in STAGES for number in stage]
        self.convolutions = nn.ModuleDict(
            {
                str(number): nn.Conv2d(come, go, 3, padding=1)
                for number, come, go in zip(numbers, sizes[:-1], sizes[1:], strict=True)
            }
        )
        self.heads = nn.ParameterList(torch.full((1, width, 1, 1), 1 / width) for width in WIDTHS)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None])

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        x, y = ((batch - self.mean) / self.deviation for batch in (images, others))
        distance = torch.zeros((), device=images.device)
        for i, stage in enumerate(STAGES):
            if i > 0:
                x, y = F.max_pool2d(x, 2), F.max_pool2d(y, 2)
            for number in stage:
                convolution = self.convolutions[str(number)]
                x, y = F.relu(convolution(x)), F.relu(convolution(y))
            distance = distance + (self.heads[i] * (_normalised(x) - _normalised(y)).square()).sum(dim=1).mean()
        return distance


def _normalised(features: Tensor) -> Tensor:
    """``(B, C, H, W)``, of length 1 over the channels."""
    features = features.float()
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + EPSILON)


def read_perceptual_loss(path: Path, runtime: Runtime) -> PerceptualLoss:
    """Reads VGG16, as torchvision or LPIPS name it, or a published checkpoint of IRIS, which holds it.

    Without the heads of LPIPS all channels of a stage count the same. Raises ``UsageError`` where there is no file,
    ``DiamondError`` where it is damaged or lacks a convolution.
    """
    network = PerceptualLoss()
    state = network.state_dict() | _named(read_tensors(path), path, set(network.state_dict()))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise DiamondError(f"{path} is not VGG16: a convolution of it has other sizes") from error
    return runtime.for_training(network).requires_grad_(False)


def _named(tensors: StateDict, path: Path, known: set[str]) -> StateDict:
    found: StateDict = {}
    for key, value in tensors.items():
        if match := CONVOLUTION.fullmatch(key):
            found[f"convolutions.{match[1]}.{match[2]}"] = value
        elif match := HEAD.fullmatch(key):
            found[f"heads.{match[1]}"] = value
    found = {key: value for key, value in found.items() if key in known}
    missing = sorted(key for key in known if key.startswith("convolutions.") and key not in found)
    if missing:
        raise DiamondError(f"{path} is not VGG16: it lacks {len(missing)} of its tensors, such as {missing[0]}")
    return found
