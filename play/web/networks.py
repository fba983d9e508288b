"""Networks as ONNX files for the browser: one call of D_θ, of the reward/end model, of the agent.

Coefficients and noise embeddings of a sampler's levels are inputs, computed once when a world is exported: Fourier
features of the noise level need more precision than a phone's GPU may have. Actions are
vectors of zeros and ones in every world. Shapes: L context length, C channels, A actions, D conditioning channels, H
height, W width (h, w before upsampling), F hidden size of an LSTM.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from diamond_engine.diffusion import Denoiser
from diamond_engine.diffusion.denoiser import Conditioners, apart, enlarge
from diamond_engine.networks import ActorCritic, RewardEndModel


class Call(nn.Module):
    """D_θ at one noise level, of one frame.

    ``forward(noisy, context, embedding, coefficients, given)``: noisy ``(1, C, H, W)``, context ``(1, L·C, H, W)``
    oldest first, embedding ``(1, D)`` of the noise level, coefficients ``(3,)``: c_in, c_out and c_skip, given: actions
    ``(1, L, A)``, or for an upsampler the small frame ``(1, C, h, w)``. Returns the clean frame ``(1, C, H, W)``.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, noisy: Tensor, context: Tensor, embedding: Tensor, coefficients: Tensor, given: Tensor) -> Tensor:
        cfg, inner = self.denoiser.cfg, self.denoiser.inner_model
        c_in, c_out, c_skip = (coefficients[i : i + 1].reshape(1, 1, 1, 1) for i in range(3))
        act = None
        if cfg.upsampling_factor is not None:
            context = torch.cat((context, enlarge(given, cfg.upsampling_factor)), dim=1)
        else:
            act = given
        newest, told = apart(context, inner.cfg) if cfg.about_newest else (None, context)
        frame = (noisy if newest is None else noisy - newest) * c_in
        images = pixel_unshuffle(torch.cat((told / cfg.sigma_data, frame), dim=1), inner.cfg.patch_size)
        output = inner.decode(inner.conv_in(images), inner.conditioning(embedding, act))
        if newest is not None:
            output = output + c_out / cfg.sigma_data**2 * newest
        return self.denoiser.wrap(noisy, output, Conditioners(c_in, c_out, c_skip, c_in))


class Judge(nn.Module):
    """A step of the reward/end model.

    ``forward(frame, following, action, hidden, cell)``: frames ``(1, C, H, W)``, action ``(1, A)``, the LSTM's state,
    each half ``(1, 1, F)``. Returns reward logits ``(1, 3)``, end logits ``(1, 2)`` and the new state.
    """

    def __init__(self, model: RewardEndModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, frame: Tensor, following: Tensor, action: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        model = self.model
        features = model.encoder(torch.cat((frame, following), dim=1), action @ model.act_emb.weight)
        y, (hidden, cell) = model.lstm(features[:, None], (hidden, cell))
        rewards, ends = model.head(y)[:, 0].split((3, 2), dim=1)
        return rewards, ends, hidden, cell


class Actor(nn.Module):
    """One step of the agent.

    ``forward(frame, hidden, cell)``: frame ``(1, C, H, W)``, the LSTM's state, each half ``(1, F)``. Returns policy
    logits ``(1, A)`` and the new state.
    """

    def __init__(self, network: ActorCritic) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, _, (hidden, cell) = self.network(frame, (hidden, cell))
        return logits, hidden, cell
