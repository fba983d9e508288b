"""Convolutional networks as programs for the CPU's kernels: a list of steps that read and write buffers.

Shapes: B batch, C channels, H height, W width. Inside a program images are (H, W, C), one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor, nn

from diamond_engine.networks.blocks import GROUP_SIZE
from diamond_engine.runtime.cpu import kernels as c
from diamond_engine.runtime.cpu.kernels import Kernels

LANES = 16
ALIGNMENT = 64
LEAST_PIXELS = 64
"""Fewest pixels of an image in pairs. Smaller ones are limited by reading weights, and pairs have a third more."""
NOWHERE = c.View(-1, 0, 0, 0)


class Kind(IntEnum):
    """What a step does, numbered as in kernels.cpp."""

    LOAD, NORMALISE, COPY, CONVOLVE, ATTEND, POOL, CLEAR, RECUR = range(8)


@dataclass(frozen=True)
class Room:
    """Channels of an image in a buffer."""

    buffer: int
    """Index of the buffer."""
    channel: int
    """First channel."""
    channels: int
    """Number of channels."""
    pitch: int
    """Channels of a pixel of the buffer."""
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    row: int
    """Pixels of the buffer from one row to the next."""
    border: int = 0
    """Pixels of zeros around the image."""
    paired: bool = False
    """Whether every two pixels of a row have become four planes for a 3×3 convolution (``pairs`` in kernels.cpp)."""

    def columns(self, first: int, count: int) -> Room:
        """``count`` of the channels from ``first``."""
        return replace(self, channel=self.channel + first, channels=count)

    def within(self, height: int, width: int) -> Room:
        """The top left part of the image."""
        return replace(self, height=height, width=width)


class Program:
    """A finished program. It keeps the tensors alive that its steps point to."""

    def __init__(
        self,
        kernels: Kernels,
        dtype: torch.dtype,
        steps: list[c.Step],
        buffers: list[int | None],
        tensors: list[Tensor],
    ) -> None:
        """``buffers``: sizes in bytes; None for buffers that are passed to every run."""
        self._kernels, self._dtype, self._tensors = kernels, dtype, tensors
        self._steps = (c.Step * len(steps))(*steps)
        self._buffers = (c.Buffer * len(buffers))()
        self._given = [i for i, size in enumerate(buffers) if size is None]
        self._arena_bytes = 0
        for i, size in enumerate(buffers):
            if size is not None:
                self._buffers[i].offset = self._arena_bytes
                self._arena_bytes += -(-size // ALIGNMENT) * ALIGNMENT
        self._arena = torch.empty(0, dtype=torch.uint8)

    def run(self, given: list[Tensor], modulation: Tensor | None = None) -> None:
        """Runs on a batch of images. ``given`` are tensors ``(B, …)``, in the order in which the writer declared them.

        Two threads must not call it at once: they would share the intermediate buffers.
        """
        batch, threads = len(given[0]), torch.get_num_threads()
        teams = min(batch, threads)
        if len(self._arena) < teams * self._arena_bytes + ALIGNMENT:
            self._arena = torch.empty(teams * self._arena_bytes + ALIGNMENT, dtype=torch.uint8)
        for i, tensor in zip(self._given, given, strict=True):
            self._buffers[i] = c.Buffer(tensor.data_ptr(), tensor.stride(0) * tensor.element_size())
        self._kernels.run(
            self._dtype,
            c.Invocation(
                steps=self._steps,
                count=len(self._steps),
                buffers=self._buffers,
                arena=-(-self._arena.data_ptr() // ALIGNMENT) * ALIGNMENT,
                arena_bytes=self._arena_bytes,
                modulation=None if modulation is None else modulation.data_ptr(),
                modulation_bytes=0 if modulation is None else modulation.stride(0) * modulation.element_size(),
                batch=batch,
                teams=teams,
                threads=threads // teams,
            ),
        )


class ProgramWriter:
    """Writes a program step by step. Every method takes and returns rooms."""

    def __init__(self, kernels: Kernels, dtype: torch.dtype, *, takes_over: bool = False) -> None:
        """``takes_over``: convolutions release their weights as soon as these are packed: none is held twice."""
        self.kernels, self.dtype, self._takes_over = kernels, dtype, takes_over
        self._steps: list[c.Step] = []
        self._buffers: list[int | None] = []
        self._tensors: list[Tensor] = []
        self._scratch: dict[tuple[object, ...], Room] = {}

    def finish(self) -> Program:
        """Makes the program of the steps so far."""
        return Program(self.kernels, self.dtype, self._steps, self._buffers, self._tensors)

    def given(self, channels: int, height: int, width: int) -> Room:
        """Declares an image that is passed to every run: input or output."""
        return self._room(None, channels, height, width)

    def room(self, channels: int, height: int, width: int, border: int = 0, as_float: bool = False) -> Room:
        """New memory for an image; ``float32`` on request."""
        item = torch.float32.itemsize if as_float else self.dtype.itemsize
        size = channels * (height + 2 * border) * (width + 2 * border) * item
        return self._room(size, channels, height, width, border)

    def scratch(self, use: str, channels: int, height: int, width: int, border: int = 0) -> Room:
        """Memory that the next step of the same use may overwrite."""
        key = (use, channels, height, width, border)
        if key not in self._scratch:
            self._scratch[key] = self.room(channels, height, width, border)
        return self._scratch[key]

    def _room(self, size: int | None, channels: int, height: int, width: int, border: int = 0) -> Room:
        self._buffers.append(size)
        return Room(len(self._buffers) - 1, 0, channels, channels, height, width, width + 2 * border, border)

    def _ready(self, channels: int, height: int, width: int) -> Room:
        """Scratch memory for the input of a 3×3 convolution of stride 1, in pairs if this is faster."""
        if height * width < LEAST_PIXELS:
            return self.scratch("staged", channels, height, width, border=1)
        twice = self.scratch("paired", 2 * channels, height + 2, width + width % 2)
        return Room(twice.buffer, 0, channels, channels, height, width, width, paired=True)

    def load(self, planar: Room) -> Room:
        """A float32 image (C, H, W) as pixels, ready for a 3×3 convolution."""
        channels = planar.channels + planar.channels % 2
        out = self.scratch("staged", channels, planar.height, planar.width, border=1)
        self._add(Kind.LOAD, planar, out, flag=planar.channels)
        return out

    def copy(self, x: Room, factor: int = 1) -> Room:
        """The image, or its nearest-neighbour enlargement (factor 2), ready for a 3×3 convolution.

        Only without enlargement may the convolution have stride 2.
        """
        size = x.channels, x.height * factor, x.width * factor
        out = self.scratch("staged", *size, border=1) if factor == 1 else self._ready(*size)
        self._add(Kind.COPY, x, out, flag=factor - 1)
        return out

    def move(self, x: Room, out: Room) -> None:
        """Copies the image into a room without a border."""
        self._add(Kind.COPY, x, out, flag=0)

    def clear(self, room: Room) -> None:
        """Fills with zeros."""
        self._add(Kind.CLEAR, room, room)

    def modulate(self, x: Room, column: int) -> Room:
        """Adaptive group norm, scale and shift in the modulation from ``column``; SiLU; ready for a 3×3 convolution."""
        out = self._ready(x.channels, x.height, x.width)
        self._add(Kind.NORMALISE, x, out, flag=1, group=GROUP_SIZE, column=column)
        return out

    def normalise(self, x: Room, norm: nn.GroupNorm, silu: bool, border: int) -> Room:
        """Group norm with its own scale and shift. ``border`` 1 prepares the result for a 3×3 convolution."""
        size = x.channels, x.height, x.width
        out = self._ready(*size) if border else self.scratch("staged", *size)
        affine = (_padded(half, 0, x.channels).to(self.dtype) for half in (norm.weight, norm.bias))
        weights, group = self._kept(torch.cat([*affine])), min(norm.num_channels, GROUP_SIZE)
        self._add(Kind.NORMALISE, x, out, flag=int(silu), group=group, column=-1, weights=weights)
        return out

    def convolve(self, conv: nn.Conv2d, x: Room, out: Room, add: Room | None = None, as_float: bool = False) -> None:
        """A convolution into ``out``, plus ``add``. 3×3 ones need a border around x. ``as_float``: out is float32.

        Rooms may have more channels than the convolution: these are not read, and zeros are written to them.
        """
        weight = for_pairs(conv.weight) if x.paired else conv.weight
        weight = _padded(weight.to(self.dtype), 0, filled(out.channels))
        packed = pack_weights(weight, x.channels, self.kernels.max_vectors)
        bias = None if conv.bias is None else _padded(conv.bias.float(), 0, filled(out.channels))
        self.multiply(packed, bias, x, out, add, as_float, kernel=conv.kernel_size[0], stride=conv.stride[0])
        if self._takes_over:
            conv.weight.data = conv.weight.new_empty(0)

    def multiply(
        self,
        packed: Tensor,
        bias: Tensor | None,
        x: Room,
        out: Room,
        add: Room | None = None,
        as_float: bool = False,
        kernel: int = 1,
        stride: int = 1,
    ) -> None:
        """``convolve`` with packed weights and a float32 bias for all written channels."""
        self._add(
            Kind.CONVOLVE,
            x,
            out,
            add=add,
            vectors=filled(out.channels) // LANES,
            kernel=kernel,
            stride=stride,
            flag=int(as_float),
            paired=int(x.paired),
            weights=self._kept(packed),
            bias=None if bias is None else self._kept(bias),
        )

    def recur(self, gates: Room, cell: Room, hidden: Room) -> None:
        """An LSTM's next state from float32 gates: hidden is written, cell is replaced."""
        self._add(Kind.RECUR, gates, hidden, add=cell)

    def attend(self, qkv: Room, out: Room) -> None:
        """Softmax attention over all pixels, by heads of 8 channels."""
        self._add(Kind.ATTEND, qkv, out, channels=out.channels)

    def pool(self, x: Room, out: Room) -> None:
        """2×2 max pooling."""
        self._add(Kind.POOL, x, out, height=x.height, width=x.width)

    def _add(self, kind: Kind, x: Room, out: Room, add: Room | None = None, **fields: Any) -> None:
        values = {"height": out.height, "width": out.width, "channels": x.channels, "border": out.border, **fields}
        values.setdefault("paired", int(out.paired))
        if kind is Kind.LOAD:
            values["channels"] = out.channels
        self._steps.append(
            c.Step(
                kind=kind,
                input=_view(x),
                add=NOWHERE if add is None else _view(add),
                output=_view(out),
                **values,
            )
        )

    def _kept(self, tensor: Tensor) -> int:
        """The address of a tensor, which is kept alive as long as the program."""
        self._tensors.append(tensor.detach().contiguous())
        return self._tensors[-1].data_ptr()


def _view(room: Room) -> c.View:
    return c.View(room.buffer, room.channel, room.pitch, room.row)


def filled(channels: int) -> int:
    """Channels that a convolution writes: a multiple of 16."""
    return -(-channels // LANES) * LANES


def _padded(tensor: Tensor, dim: int, multiple: int = LANES) -> Tensor:
    """Pads one dimension with zeros to a multiple."""
    missing = -tensor.shape[dim] % multiple
    shape = list(tensor.shape)
    shape[dim] = missing
    return torch.cat((tensor, tensor.new_zeros(shape)), dim)


def for_pairs(weight: Tensor) -> Tensor:
    """3×3 weights for images in pairs (Winograd's F(2, 3) along rows): ``(Cout, Cin, 3, 3)`` → ``(Cout, Cin, 4, 3)``.

    Four products make two pixels, where the direct convolution needs six.
    """
    left, middle, right = weight.detach().float().unbind(3)
    return torch.stack((left, (left + middle + right) / 2, (left - middle + right) / 2, right), dim=2)


def pack_weights(weight: Tensor, channels: int, max_vectors: int) -> Tensor:
    """Convolution weights ``(Cout, Cin, k, k)``, or those of ``for_pairs``, in the order the kernel reads them.

    The order is: block of up to ``max_vectors`` vectors of 16 output channels, kernel row, kernel column, input channel
    (in bfloat16 by pairs), output channel. Cin is padded to ``channels``, Cout to a multiple of 16.
    """
    packed = 2 if weight.dtype == torch.bfloat16 else 1
    weight = _padded(_padded(weight.detach(), 0), 1, channels)
    blocks: list[Tensor] = []
    first = 0
    while first < len(weight):
        left = (len(weight) - first) // LANES
        vectors = max_vectors if left >= max_vectors else (2 if left >= 2 else 1)
        rows = weight[first : first + vectors * LANES]
        block = rows.reshape(len(rows), -1, packed, *rows.shape[2:])
        blocks.append(block.permute(3, 4, 1, 0, 2).flatten())
        first += vectors * LANES
    return torch.cat(blocks)


Write = Callable[[Room], None]
"""Writes an image into a room."""


def is_supported(channels: int) -> bool:
    """Whether the kernels can normalise this number of channels."""
    return channels % GROUP_SIZE == 0


def in_groups(channels: int) -> int:
    """Channels of a room, at least one whole group, so that the kernels can normalise them."""
    return max(channels, GROUP_SIZE)
