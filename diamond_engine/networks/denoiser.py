"""The network F_θ inside the denoiser (Equation 6 of the paper): a U-Net that sees context, noise level and actions.

Shapes: B batch, L context length, C image channels, H height, W width, A actions, D conditioning channels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond_engine.networks.blocks import FourierFeatures, GroupNorm, conv3x3
from diamond_engine.networks.unet import UNet


@dataclass(frozen=True)
class InnerModelConfig:
    """Architecture of ``InnerModel``; the defaults are the Atari model of the paper (Table 2).

    Raises ``ValueError`` for a patch size below 1.
    """

    num_actions: int | None
    """Entries of the action table; None for a network without actions (the upsampler)."""
    img_channels: int = 3
    """Channels of one image."""
    num_steps_conditioning: int = 4
    """Context length L: images (and actions) the next image is conditioned on."""
    cond_channels: int = 256
    """Size D of the conditioning vector."""
    depths: tuple[int, ...] = (2, 2, 2, 2)
    """Residual blocks per level on the way down."""
    channels: tuple[int, ...] = (64, 64, 64, 64)
    """Channels per level."""
    attn_depths: tuple[bool, ...] = (False, False, False, False)
    """Which levels have self-attention after every block."""
    multi_hot_actions: bool = False
    """Actions are multi-hot vectors ``(B, L, A)`` times the action table (CS:GO) instead of indices ``(B, L)``."""
    low_res_cond: bool = False
    """An enlarged low-resolution frame follows the context in the input (the upsampler)."""
    noise_cond: bool = False
    """A second noise embedding tells the network how noisy its context is (CS:GO)."""
    patch_size: int = 1
    """Side P of a square patch. Each patch is one position of the U-Net, which has P² times fewer positions of P²·C
    channels. 1 is the published network. H and W must be multiples of P."""

    def __post_init__(self) -> None:
        if self.patch_size < 1:
            raise ValueError(f"patch_size must be at least 1, not {self.patch_size}")


class ActionTable(nn.Embedding):
    """Looks up action indices ``(B, L)``, or multiplies multi-hot ``(B, L, A)`` by the table, → ``(B, L, D/L)``."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim == 3:
            return input.to(self.weight.dtype) @ self.weight
        return F.embedding(input, self.weight)


class InnerModel(nn.Module):
    """F_θ(noisy, context, noise level, actions).

    ``forward(noisy, c_noise, c_noise_cond, context, act)``: noisy ``(B, C, H, W)`` already scaled by c_in; c_noise and
    c_noise_cond ``(B,)``; context ``(B, L·C, H, W)``, oldest first, already divided by σ_data; act ``(B, L)`` int64 or
    ``(B, L, A)`` multi-hot, or None without actions. Returns ``(B, C, H, W)``.
    """

    def __init__(self, cfg: InnerModelConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.noise_emb = FourierFeatures(cfg.cond_channels)
        self.noise_cond_emb = FourierFeatures(cfg.cond_channels) if cfg.noise_cond else None
        self.act_emb = (
            None
            if cfg.num_actions is None
            else nn.Sequential(
                ActionTable(cfg.num_actions, cfg.cond_channels // cfg.num_steps_conditioning), nn.Flatten()
            )
        )
        self.cond_proj = nn.Sequential(
            nn.Linear(cfg.cond_channels, cfg.cond_channels),
            nn.SiLU(),
            nn.Linear(cfg.cond_channels, cfg.cond_channels),
        )
        patch_channels = cfg.img_channels * cfg.patch_size**2
        images_in = cfg.num_steps_conditioning + cfg.low_res_cond + 1
        self.conv_in = conv3x3(images_in * patch_channels, cfg.channels[0])
        self.unet = UNet(cfg.cond_channels, cfg.depths, cfg.channels, cfg.attn_depths)
        self.norm_out = GroupNorm(cfg.channels[0], silu=True)
        self.conv_out = conv3x3(cfg.channels[0], patch_channels)
        nn.init.zeros_(self.conv_out.weight)

    def noise_embedding(self, c_noise: Tensor, c_noise_cond: Tensor | None) -> Tensor:
        """The embedding of the noise levels ``(B,)`` of the frame and of its context: ``(B, D)``."""
        if self.noise_cond_emb is None:
            return self.noise_emb(c_noise)
        if c_noise_cond is None:
            c_noise_cond = torch.zeros_like(c_noise)
        return self.noise_emb(c_noise) + self.noise_cond_emb(c_noise_cond)

    def conditioning(self, noise_embedding: Tensor, act: Tensor | None) -> Tensor:
        """The vector every adaptive group norm reads: noise embedding ``(B, D)``, act as above → ``(B, D)``."""
        cond = noise_embedding if self.act_emb is None else noise_embedding + self.act_emb(act)
        return self.cond_proj(cond.to(self.conv_in.weight.dtype))

    def decode(self, features: Tensor, cond: Tensor) -> Tensor:
        """Everything after the first convolution: ``(B, C0, H/P, W/P), (B, D)`` → ``(B, C, H, W)``."""
        patches = self.conv_out(self.norm_out(self.unet(features, cond)))
        return F.pixel_shuffle(patches, self.cfg.patch_size)

    def forward(
        self, noisy: Tensor, c_noise: Tensor, c_noise_cond: Tensor | None, context: Tensor, act: Tensor | None
    ) -> Tensor:
        cond = self.conditioning(self.noise_embedding(c_noise, c_noise_cond), act)
        images = torch.cat((context, noisy), dim=1).to(self.conv_in.weight.dtype)
        return self.decode(self.conv_in(F.pixel_unshuffle(images, self.cfg.patch_size)), cond)
