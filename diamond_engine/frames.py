"""Frames in their two forms: uint8 ``(…, H, W, 3)`` RGB at the edges, float ``(…, 3, H, W)`` in [-1, 1] inside."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_float(frames: Tensor) -> Tensor:
    """uint8 ``(…, H, W, 3)`` → float32 ``(…, 3, H, W)`` in [-1, 1]."""
    return frames.movedim(-1, -3).float().div(127.5).sub(1)


def to_uint8(images: Tensor) -> Tensor:
    """float ``(…, 3, H, W)`` in [-1, 1] → uint8 ``(…, H, W, 3)``, rounded."""
    return images.float().clamp(-1, 1).add(1).mul(127.5).round().byte().movedim(-3, -1)


def from_numpy(frames: NDArray[np.uint8], device: torch.device) -> Tensor:
    """uint8 array ``(…, H, W, 3)`` → float32 ``(…, 3, H, W)`` in [-1, 1] on ``device``."""
    return to_float(torch.as_tensor(np.ascontiguousarray(frames), device=device))


def to_numpy(images: Tensor) -> NDArray[np.uint8]:
    """float ``(…, 3, H, W)`` in [-1, 1] on any device → uint8 array ``(…, H, W, 3)``, rounded, of its own memory."""
    return np.ascontiguousarray(to_uint8(images).cpu().numpy())
