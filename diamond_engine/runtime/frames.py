"""The denoiser prepared for one sampler: everything that does not depend on the frame is computed beforehand.

Shapes: B batch, n noise levels, N context channels, C channels, H height, W width, P side of a patch,
M width of the conditioning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from diamond_engine.diffusion import Denoiser, SamplerConfig, sample
from diamond_engine.diffusion.denoiser import Conditioners, apart, wrap
from diamond_engine.diffusion.sampler import Denoise, Noise
from diamond_engine.networks.denoiser import InnerModel


@dataclass(frozen=True)
class Level:
    """A noise level of the schedule."""

    index: int
    """Its index in the schedule, the noisiest first."""
    conditioners: Conditioners
    """EDM's coefficients, one value each for any batch."""


class Trunk(nn.Module):
    """F_θ after the context's part of the first convolution. It takes its modules from an ``InnerModel``.

    ``forward(noisy, features, conditioning)``: noisy patches, float32 ``(B, P²·C, H/P, W/P)``, already scaled by c_in,
    features of the context ``(B, C0, H/P, W/P)``, conditioning ``(B, M)``. Returns patches like the noisy ones.
    """

    def __init__(self, conv_noisy: nn.Conv2d, inner_model: InnerModel) -> None:
        super().__init__()
        self.conv_noisy = conv_noisy
        self.unet, self.norm_out, self.conv_out = inner_model.unet, inner_model.norm_out, inner_model.conv_out
        del inner_model.unet, inner_model.norm_out, inner_model.conv_out

    def forward(self, noisy: Tensor, features: Tensor, conditioning: Tensor) -> Tensor:
        x = features + self.conv_noisy(noisy.to(features.dtype, memory_format=torch.channels_last))
        return self.conv_out(self.norm_out(self.unet(x, conditioning))).float()


class FrameDenoiser(nn.Module):
    """D_θ at the noise levels of one sampler. It replaces a ``Denoiser`` for drawing frames.

    Once for all: coefficients and noise embeddings of every level. Once per frame: the conditioning for every level, in
    one batch, and the context's part of the first convolution (anew per step where the sampler adds noise to the
    context). Nothing waits for the device.
    """

    def __init__(self, denoiser: Denoiser, sampler: SamplerConfig) -> None:
        """Takes the networks of ``denoiser``, on their device and in their precision. It must not be used any more."""
        super().__init__()
        self.cfg = denoiser.cfg
        self.sampler = sampler
        self.inner_model = denoiser.inner_model
        inner = denoiser.cfg.inner_model
        self.conv_context, conv_noisy = _split(
            denoiser.inner_model.conv_in, inner.img_channels * inner.patch_size**2, denoiser.cfg.sigma_data
        )
        self.trunk = Trunk(conv_noisy, denoiser.inner_model)
        sigmas = sampler.schedule()[:-1]
        conditioners = denoiser.conditioners(torch.tensor(sigmas, device=conv_noisy.weight.device))
        self._levels = {sigma: Level(i, _at(conditioners, i)) for i, sigma in enumerate(sigmas)}
        c_noise = conditioners.c_noise
        c_noise_cond = torch.full_like(c_noise, math.log(sampler.s_cond) / 4) if sampler.s_cond > 0 else None
        self._noise_embeddings = self.inner_model.noise_embedding(c_noise, c_noise_cond)[:, None]

    @property
    def device(self) -> torch.device:
        """Device on which frames are drawn."""
        return self._noise_embeddings.device

    def draw(self, noise: Noise, shape: tuple[int, ...], context: Tensor, act: Tensor | None) -> Tensor:
        """Draws a frame of every dream, of ``shape`` ``(B, C, H, W)``, given context ``(B, N, H, W)`` and actions."""
        return sample(self.given_actions(act), noise, shape, context, self.sampler)

    def given_actions(self, act: Tensor | None) -> Denoise:
        """See ``Denoiser.given_actions``; call it once per frame. σ must be a level of the sampler."""
        conditioning = self.inner_model.conditioning(self._noise_embeddings, act)  # (n, B, M), or (n, 1, M)
        weight, patch = self.conv_context.weight, self.cfg.inner_model.patch_size
        seen: Tensor | None = None
        features, newest = weight, None

        def denoise(x: Tensor, sigma: float, context: Tensor, sigma_cond: float | None) -> Tensor:
            nonlocal seen, features, newest
            if context is not seen:
                newest, told = apart(context, self.cfg.inner_model) if self.cfg.about_newest else (None, context)
                patches = pixel_unshuffle(told, patch).to(weight.dtype, memory_format=torch.channels_last)
                seen, features = context, self.conv_context(patches)
            level = self._levels[sigma]
            c = level.conditioners
            patches = pixel_unshuffle((x if newest is None else x - newest) * c.c_in, patch)
            output = pixel_shuffle(self.trunk(patches, features, conditioning[level.index].expand(len(x), -1)), patch)
            if newest is not None:
                output = output + c.c_out / self.cfg.sigma_data**2 * newest
            return wrap(x, output, c, nearest=self.cfg.about_newest)

        return denoise


def _split(conv: nn.Conv2d, noisy_channels: int, sigma_data: float) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Splits the first convolution in two: over the context, with the division by σ_data, and over the noisy frame."""
    weight = conv.weight.detach()
    over_context, over_noisy = weight[:, :-noisy_channels] / sigma_data, weight[:, -noisy_channels:]
    return _convolution(over_context, conv.bias), _convolution(over_noisy, None)


def _convolution(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A padded 3×3 convolution with given weights ``(Cout, Cin, 3, 3)``."""
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], kernel_size=3, padding=1, bias=bias is not None, device="meta")
    conv.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
    conv.bias = bias if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
    return conv


def _at(c: Conditioners, index: int) -> Conditioners:
    at = slice(index, index + 1)
    return Conditioners(c_in=c.c_in[at], c_out=c.c_out[at], c_skip=c.c_skip[at], c_noise=c.c_noise[at])
