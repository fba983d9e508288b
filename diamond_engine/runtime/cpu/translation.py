"""The networks' blocks as steps of a program. Adaptive group norms must be merged first (rewrites.py).

Every function writes one module and mirrors its ``forward``.
"""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from diamond_engine.networks.actor_critic import ActorCriticEncoder, SmallResBlock
from diamond_engine.networks.blocks import (
    AdaptiveGroupNorm,
    Downsample,
    GroupNorm,
    ResBlock,
    ResBlocks,
    SelfAttention2d,
    Upsample,
)
from diamond_engine.networks.reward_end import RewardEndEncoder
from diamond_engine.networks.unet import UNet
from diamond_engine.runtime.cpu.program import ProgramWriter, Room, Write, in_groups, is_supported
from diamond_engine.runtime.rewrites import Columns

Kind = TypeVar("Kind", bound=nn.Module)


def is_translatable(network: nn.Module) -> bool:
    """Whether the kernels can run all of a network's blocks: their channels come in groups of 32.

    Smaller groups are padded with zeros in the actor-critic's encoder, which concatenates nothing.
    """
    fill = in_groups if isinstance(network, ActorCriticEncoder) else int
    return all(
        is_supported(module.channels if isinstance(module, AdaptiveGroupNorm) else fill(module.norm.num_channels))
        for module in network.modules()
        if isinstance(module, AdaptiveGroupNorm | GroupNorm)
    )


def write_res_block(writer: ProgramWriter, block: ResBlock, x: Room, out: Room) -> None:
    """See ``ResBlock``."""
    size = x.height, x.width
    y = writer.scratch("y", block.conv1.out_channels, *size)
    writer.convolve(block.conv1, writer.modulate(x, _column(block.norm1)), y)
    skip = x
    if isinstance(block.proj, nn.Conv2d):
        skip = writer.scratch("skip", block.proj.out_channels, *size)
        writer.convolve(block.proj, x, skip)
    staged = writer.modulate(y, _column(block.norm2))
    if isinstance(block.attn, SelfAttention2d):
        z = writer.scratch("z", block.conv2.out_channels, *size)
        writer.convolve(block.conv2, staged, z, add=skip)
        write_attention(writer, block.attn, z, out)
    else:
        writer.convolve(block.conv2, staged, out, add=skip)


def write_attention(writer: ProgramWriter, attention: SelfAttention2d, x: Room, out: Room) -> None:
    """See ``SelfAttention2d``."""
    normed = writer.normalise(x, attention.norm.norm, silu=False, border=0)
    qkv = writer.scratch("qkv", 3 * x.channels, x.height, x.width)
    writer.convolve(attention.qkv_proj, normed, qkv)
    y = writer.scratch("attended", x.channels, x.height, x.width)
    writer.attend(qkv, y)
    writer.convolve(attention.out_proj, y, out, add=normed)


class Level:
    """The rooms of one level of a U-Net: the inputs of the blocks on the way up, each concatenated with a skip.

    Blocks on the way down write directly into their part, so that nothing has to be copied.
    """

    def __init__(self, writer: ProgramWriter, down: ResBlocks, up: ResBlocks, height: int, width: int) -> None:
        self.height, self.width = height, width
        written = [block.conv2.out_channels for block in _each(ResBlock, down.resblocks)]
        skips = [*reversed(written), _each(ResBlock, down.resblocks)[0].norm1.channels]
        joined = [writer.room(block.norm1.channels, height, width) for block in _each(ResBlock, up.resblocks)]
        self.joined = joined
        self.inputs = [room.columns(0, room.channels - skip) for room, skip in zip(joined, skips, strict=True)]
        self.skips = [room.columns(room.channels - skip, skip) for room, skip in zip(joined, skips, strict=True)]


def write_unet(writer: ProgramWriter, unet: UNet, first: Write, height: int, width: int) -> Room:
    """See ``UNet``; ``first`` writes its input, of ``height`` and ``width``, into the room it is given."""
    padded = [size + -size % unet.stride for size in (height, width)]
    downs, ups = _each(ResBlocks, unet.d_blocks), _each(ResBlocks, unet.u_blocks)
    levels = [
        Level(writer, down, up, padded[0] >> i, padded[1] >> i)
        for i, (down, up) in enumerate(zip(downs, reversed(ups), strict=True))
    ]
    x = levels[0].skips[-1]
    if padded != [height, width]:
        writer.clear(x)
    first(x.within(height, width))
    for level, blocks, down in zip(levels, downs, _each(nn.Module, unet.downsamples), strict=True):
        if isinstance(down, Downsample):
            writer.convolve(down.conv, writer.copy(x), level.skips[-1])
            x = level.skips[-1]
        for block, out in zip(_each(ResBlock, blocks.resblocks), reversed(level.skips[:-1]), strict=True):
            write_res_block(writer, block, x, out)
            x = out

    deepest = levels[-1].inputs[0]
    x = write_res_blocks(writer, unet.mid_blocks, x, deepest)
    for level, blocks, up in zip(reversed(levels), ups, _each(nn.Module, unet.upsamples), strict=True):
        if isinstance(up, Upsample):
            writer.convolve(up.conv, writer.copy(x, factor=2), level.inputs[0])
        res_blocks = _each(ResBlock, blocks.resblocks)
        last = writer.scratch("up", res_blocks[-1].conv2.out_channels, level.height, level.width)
        for block, room, out in zip(res_blocks, level.joined, [*level.inputs[1:], last], strict=True):
            write_res_block(writer, block, room, out)
        x = last
    return x.within(height, width)


def write_res_blocks(writer: ProgramWriter, blocks: ResBlocks, x: Room, out: Room | None = None) -> Room:
    """See ``ResBlocks`` without skips; the last block writes into ``out``."""
    for i, block in enumerate(_each(ResBlock, blocks.resblocks)):
        is_last = i + 1 == len(blocks.resblocks)
        y = out if is_last and out is not None else writer.room(block.conv2.out_channels, x.height, x.width)
        write_res_block(writer, block, x, y)
        x = y
    return x


def write_reward_end_encoder(writer: ProgramWriter, encoder: RewardEndEncoder, x: Room) -> Room:
    """See ``RewardEndEncoder``; x is the planar pair of images."""
    y = writer.room(encoder.conv_in.out_channels, x.height, x.width)
    writer.convolve(encoder.conv_in, writer.load(x), y)
    for blocks, down in zip(_each(ResBlocks, encoder.blocks), _each(nn.Module, encoder.downsamples), strict=True):
        if isinstance(down, Downsample):
            smaller = writer.room(down.conv.out_channels, y.height // 2, y.width // 2)
            writer.convolve(down.conv, writer.copy(y), smaller)
            y = smaller
        y = write_res_blocks(writer, blocks, y)
    return y


def write_actor_critic_encoder(writer: ProgramWriter, encoder: ActorCriticEncoder, x: Room) -> Room:
    """See ``ActorCriticEncoder``; x is the planar image."""
    y = x
    for layer in encoder.encoder:
        if isinstance(layer, nn.MaxPool2d):
            out = writer.room(y.channels, y.height // 2, y.width // 2)
            writer.pool(y, out)
        elif isinstance(layer, SmallResBlock):
            out = writer.room(in_groups(_small_conv(layer).out_channels), y.height, y.width)
            write_small_res_block(writer, layer, y, out)
        else:
            assert isinstance(layer, nn.Conv2d)
            out = writer.room(in_groups(layer.out_channels), y.height, y.width)
            writer.convolve(layer, writer.load(y), out)
        y = out
    return y


def write_small_res_block(writer: ProgramWriter, block: SmallResBlock, x: Room, out: Room) -> None:
    """See ``SmallResBlock``."""
    norm = block.f[0]
    assert isinstance(norm, GroupNorm)
    skip = x
    if isinstance(block.skip_projection, nn.Conv2d):
        skip = writer.scratch("skip", out.channels, x.height, x.width)
        writer.convolve(block.skip_projection, x, skip)
    writer.convolve(_small_conv(block), writer.normalise(x, norm.norm, silu=True, border=1), out, add=skip)


def _small_conv(block: SmallResBlock) -> nn.Conv2d:
    conv = block.f[2]
    assert isinstance(conv, nn.Conv2d)
    return conv


def _column(norm: AdaptiveGroupNorm) -> int:
    """First column of its scale and shift in the modulation."""
    columns: nn.Module = norm.linear
    assert isinstance(columns, Columns)
    return columns.start


def _each(kind: type[Kind], modules: nn.Module) -> list[Kind]:
    """The children of a module list, which are all of one type."""
    children = [child for child in modules.children() if isinstance(child, kind)]
    assert len(children) == len(list(modules.children()))
    return children
