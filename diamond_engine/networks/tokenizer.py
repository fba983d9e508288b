"""The tokenizer of IRIS: a vector-quantised autoencoder that makes a frame a few tokens (Micheli et al., 2023).

Shapes: B batch, C image channels, H height, W width, Z latent channels, E size of a code, h and w sides of the latent
map, K = h × w tokens a frame, V codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond_engine.networks.blocks import Upsample, conv1x1, conv3x3

GROUPS = 32
GROUP_NORM_EPS = 1e-6
COMMITMENT = 1.0
"""Weight of the term that keeps latents near their codes."""


@dataclass(frozen=True)
class TokenizerConfig:
    """Architecture of ``Tokenizer``; the defaults are those of the published Atari models."""

    img_channels: int = 3
    """Channels of one image."""
    img_size: int = 64
    """Height and width of an image in pixels."""
    channels: int = 64
    """Channels of the first level."""
    multipliers: tuple[int, ...] = (1, 1, 1, 1, 1)
    """For every level, full resolution first: its channels over those of the first; each but the last is halved."""
    res_blocks: int = 2
    """Residual blocks a level of the encoder; a level of the decoder has one more."""
    attention_sizes: tuple[int, ...] = (8, 16)
    """Levels of these heights and widths have self-attention after every block."""
    latent_channels: int = 512
    """Channels Z of what the encoder returns."""
    code_size: int = 512
    """Size E of a code."""
    vocabulary: int = 512
    """Codes V, and so kinds of tokens."""

    @property
    def latent_size(self) -> int:
        """Height and width of the map of tokens."""
        return self.img_size // 2 ** (len(self.multipliers) - 1)

    @property
    def tokens(self) -> int:
        """Tokens K of a frame."""
        return self.latent_size**2

    def widths(self) -> list[tuple[int, int, bool]]:
        """For every level, full resolution first: channels that come, channels that go, whether it has attention."""
        sizes = [self.img_size // 2**level for level in range(len(self.multipliers))]
        out = [self.channels * multiplier for multiplier in self.multipliers]
        before = [self.channels, *out[:-1]]
        return [(come, go, size in self.attention_sizes) for come, go, size in zip(before, out, sizes, strict=True)]


def norm(channels: int) -> nn.GroupNorm:
    """``(B, C, H, W)`` → same."""
    return nn.GroupNorm(GROUPS, channels, eps=GROUP_NORM_EPS)


class PlainResBlock(nn.Module):
    """Residual block without conditioning: (group norm → SiLU → 3×3 convolution) twice, plus the (projected) input.

    ``(B, Cin, H, W)`` → ``(B, Cout, H, W)``.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(in_channels), conv3x3(in_channels, out_channels)
        self.norm2, self.conv2 = norm(out_channels), conv3x3(out_channels, out_channels)
        self.nin_shortcut = conv1x1(in_channels, out_channels) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(y)))


class SingleHeadAttention(nn.Module):
    """Self-attention of one head over all positions of a feature map, plus the input. ``(B, C, H, W)`` → same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.q, self.k, self.v = (conv1x1(channels, channels) for _ in range(3))
        self.proj_out = conv1x1(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q, k, v = (part(y).flatten(2).transpose(1, 2)[:, None] for part in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v)  # (B, 1, HW, C)
        return x + self.proj_out(y[:, 0].transpose(1, 2).reshape(x.shape))


class CornerDownsample(nn.Module):
    """Halves height and width with a stride-2 3×3 convolution, padded right and below alone.

    ``(B, C, H, W)`` → ``(B, C, H/2, W/2)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Level(nn.Module):
    """Residual blocks, each followed by attention where the level has it, then a change of size where it has one.

    ``(B, Cin, H, W)`` → ``(B, Cout, H', W')``.
    """

    def __init__(self, in_channels: int, out_channels: int, blocks: int, attention: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            PlainResBlock(in_channels if i == 0 else out_channels, out_channels) for i in range(blocks)
        )
        self.attn = nn.ModuleList(SingleHeadAttention(out_channels) for _ in range(blocks if attention else 0))
        self.downsample: nn.Module = nn.Identity()
        self.upsample: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.block):
            x = block(x)
            if len(self.attn) > 0:
                x = self.attn[i](x)
        return self.upsample(self.downsample(x))


class Middle(nn.Module):
    """Block, attention, block at the smallest size. ``(B, C, H, W)`` → same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = PlainResBlock(channels, channels)
        self.attn_1 = SingleHeadAttention(channels)
        self.block_2 = PlainResBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    """Images ``(B, C, H, W)`` in [-1, 1] → latents ``(B, Z, h, w)``."""

    def __init__(self, cfg: TokenizerConfig) -> None:
        super().__init__()
        self.conv_in = conv3x3(cfg.img_channels, cfg.channels)
        levels: list[Level] = []
        for come, go, attention in cfg.widths():
            levels.append(Level(come, go, cfg.res_blocks, attention))
            levels[-1].downsample = CornerDownsample(go)
        levels[-1].downsample = nn.Identity()
        self.down = nn.ModuleList(levels)
        deepest = cfg.widths()[-1][1]
        self.mid = Middle(deepest)
        self.norm_out = norm(deepest)
        self.conv_out = conv3x3(deepest, cfg.latent_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    """Latents ``(B, Z, h, w)`` → images ``(B, C, H, W)`` around [-1, 1]. ``up`` has full resolution first."""

    def __init__(self, cfg: TokenizerConfig) -> None:
        super().__init__()
        widths = cfg.widths()
        deepest = widths[-1][1]
        self.conv_in = conv3x3(cfg.latent_channels, deepest)
        self.mid = Middle(deepest)
        levels: list[Level] = []
        for (_, go, attention), deeper in zip(widths, [*(go for _, go, _ in widths[1:]), deepest], strict=True):
            levels.append(Level(deeper, go, cfg.res_blocks + 1, attention))
            levels[-1].upsample = Upsample(go)
        levels[0].upsample = nn.Identity()
        self.up = nn.ModuleList(levels)
        self.norm_out = norm(widths[0][1])
        self.conv_out = conv3x3(widths[0][1], cfg.img_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Encoded(NamedTuple):
    """What the tokenizer makes of images."""

    latents: Tensor
    """Before quantisation, ``(B, E, h, w)``."""
    quantised: Tensor
    """The nearest codes in their place, ``(B, E, h, w)``."""
    tokens: Tensor
    """Their numbers row by row, int64 ``(B, K)``."""


class Tokenizer(nn.Module):
    """Images to tokens and back. ``forward``: images ``(B, C, H, W)`` in [-1, 1] → their reconstructions, unclipped."""

    def __init__(self, cfg: TokenizerConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.encoder = Encoder(cfg)
        self.pre_quant_conv = conv1x1(cfg.latent_channels, cfg.code_size)
        self.embedding = nn.Embedding(cfg.vocabulary, cfg.code_size)
        self.post_quant_conv = conv1x1(cfg.code_size, cfg.latent_channels)
        self.decoder = Decoder(cfg)
        nn.init.uniform_(self.embedding.weight, -1 / cfg.vocabulary, 1 / cfg.vocabulary)

    def encode(self, images: Tensor) -> Encoded:
        """``(B, C, H, W)`` in [-1, 1] → latents, codes and tokens; a token is the nearest code."""
        latents = self.pre_quant_conv(self.encoder(images.to(self.embedding.weight.dtype)))
        tokens = nearest(latents.flatten(2).transpose(1, 2), self.embedding.weight)
        return Encoded(latents, self._codes(tokens), tokens)

    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens ``(B, K)`` → float32 images ``(B, C, H, W)``, clipped to [-1, 1]."""
        return self.draw(self._codes(tokens)).float().clamp(-1, 1)

    def draw(self, codes: Tensor) -> Tensor:
        """Codes ``(B, E, h, w)`` → images ``(B, C, H, W)``, unclipped."""
        return self.decoder(self.post_quant_conv(codes))

    def forward(self, images: Tensor) -> Tensor:
        return self.draw(self.encode(images).quantised)

    def _codes(self, tokens: Tensor) -> Tensor:
        size = self.cfg.latent_size
        return self.embedding(tokens).transpose(1, 2).unflatten(2, (size, size)).contiguous()


def nearest(latents: Tensor, codes: Tensor) -> Tensor:
    """For every latent ``(B, K, E)`` the number of the code of ``(V, E)`` at the least squared distance, ``(B, K)``.

    In float32 whatever the precision around it: codes start close together.
    """
    with torch.autocast(latents.device.type, enabled=False), torch.no_grad():
        z, e = latents.float(), codes.float()
        return (e.square().sum(dim=1) - 2 * z @ e.T).argmin(dim=-1)  # |z|² is the same for all codes


@dataclass(frozen=True)
class TokenizerLosses:
    """Scalars; ``total`` is the one to differentiate."""

    total: Tensor
    reconstruction: Tensor
    commitment: Tensor


def tokenizer_loss(tokenizer: Tokenizer, images: Tensor) -> tuple[TokenizerLosses, Tensor]:
    """Absolute error of the reconstruction and the distance of latents and codes; the reconstructions ``(B, C, H, W)``.

    Images ``(B, C, H, W)`` in [-1, 1]. The gradient of the decoder's input reaches the encoder as if there were no
    quantisation (straight through).
    """
    latents, quantised, _ = tokenizer.encode(images)
    reconstructed = tokenizer.draw(latents + (quantised - latents).detach()).float()
    reconstruction = (images - reconstructed).abs().mean()
    latents, quantised = latents.float(), quantised.float()
    commitment = F.mse_loss(quantised, latents.detach()) + COMMITMENT * F.mse_loss(latents, quantised.detach())
    return TokenizerLosses(reconstruction + commitment, reconstruction, commitment), reconstructed
