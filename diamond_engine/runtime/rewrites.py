"""Rewrites of networks for inference on any device: the same function in fewer, larger steps.

They work in place on the copy that ``Runtime`` makes; the plain networks do not change. Shapes: B batch, D size of the
conditioning vector, M = sum of 2C over all adaptive group norms.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diamond_engine.networks.blocks import AdaptiveGroupNorm
from diamond_engine.networks.denoiser import InnerModel
from diamond_engine.networks.reward_end import RewardEndEncoder, RewardEndModel


class Columns(nn.Module):
    """The columns ``start`` to ``stop`` of a matrix ``(B, M)``: replaces a projection that was merged."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, matrix: Tensor) -> Tensor:
        return matrix[:, self.start : self.stop]


def merge_projections(network: nn.Module) -> nn.Linear:
    """Takes the projections out of all adaptive group norms and returns them as one: ``(B, D)`` → ``(B, M)``.

    The network's conditioning is then that result, and every norm reads its own columns.
    """
    norms = [module for module in network.modules() if isinstance(module, AdaptiveGroupNorm)]
    merged = nn.Linear(norms[0].linear.in_features, sum(norm.linear.out_features for norm in norms), device="meta")
    merged.weight = _frozen(torch.cat([norm.linear.weight for norm in norms]))
    merged.bias = _frozen(torch.cat([norm.linear.bias for norm in norms]))
    start = 0
    for norm in norms:
        stop = start + norm.linear.out_features
        norm.add_module("linear", Columns(start, stop))
        start = stop
    return merged


def merge_all_projections(network: nn.Module) -> None:
    """One matrix product per denoiser call; none for the reward/end model, whose conditioning is one of A actions."""
    for module in network.modules():
        if isinstance(module, InnerModel):
            module.cond_proj.append(merge_projections(module.unet))
        elif isinstance(module, RewardEndModel) and isinstance(module.encoder, RewardEndEncoder):
            module.act_emb.weight = _frozen(merge_projections(module.encoder)(module.act_emb.weight))


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach(), requires_grad=False)
