"""The 2D U-Net of the denoisers (Ronneberger et al., 2015; Appendix C of the paper).

Shapes: B batch, C channels, H height, W width, D size of the conditioning vector.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from diamond_engine.networks.blocks import Downsample, ResBlocks, Upsample


class UNet(nn.Module):
    """Residual U-Net conditioned through adaptive group norm. ``(B, C0, H, W), (B, D)`` → ``(B, C0, H, W)``.

    Level ``i`` has ``depths[i]`` blocks of ``channels[i]`` channels on the way down and one more on the way up, with
    self-attention where ``attention[i]``; two blocks with attention lie between. Any H and W are accepted: the input
    is zero-padded on the right and at the bottom to a multiple of ``2 ** (levels - 1)`` and cropped afterwards.
    """

    def __init__(
        self,
        cond_channels: int,
        depths: tuple[int, ...],
        channels: tuple[int, ...],
        attention: tuple[bool, ...],
    ) -> None:
        super().__init__()
        self.stride = 2 ** (len(channels) - 1)
        down_blocks: list[ResBlocks] = []
        up_blocks: list[ResBlocks] = []
        for i, depth in enumerate(depths):
            outer, inner = channels[max(0, i - 1)], channels[i]
            into, out_of = [outer] + [inner] * (depth - 1), [2 * inner] * depth + [inner + outer]
            down_blocks.append(ResBlocks(into, [inner] * depth, cond_channels, attention[i]))
            up_blocks.append(ResBlocks(out_of, [inner] * depth + [outer], cond_channels, attention[i]))
        deepest = [channels[-1]] * 2
        self.d_blocks = nn.ModuleList(down_blocks)
        self.mid_blocks = ResBlocks(deepest, deepest, cond_channels, attention=True)
        self.u_blocks = nn.ModuleList(reversed(up_blocks))
        self.downsamples = nn.ModuleList([nn.Identity(), *(Downsample(c) for c in channels[:-1])])
        self.upsamples = nn.ModuleList([nn.Identity(), *(Upsample(c) for c in reversed(channels[:-1]))])

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.stride, 0, -height % self.stride))

        skips: list[list[Tensor]] = []
        for block, down in zip(self.d_blocks, self.downsamples, strict=True):
            level_input = down(x)
            x, outputs = block(level_input, cond)
            skips.append([*reversed(outputs), level_input])

        x, _ = self.mid_blocks(x, cond)
        for block, up, level_skips in zip(self.u_blocks, self.upsamples, reversed(skips), strict=True):
            x, _ = block(up(x), cond, level_skips)
        return x[..., :height, :width]
