"""Modules that run programs of the CPU's kernels in place of the plain networks.

A program is written for the first input, whose size is fixed for a world; then the plain network is released.
Shapes: B batch, C channels, H height, W width, F features, M width of a modulation, C0 channels of the first level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diamond_engine.networks.actor_critic import ActorCriticEncoder
from diamond_engine.networks.reward_end import RewardEndEncoder
from diamond_engine.runtime.cpu.kernels import Kernels
from diamond_engine.runtime.cpu.program import LANES, Program, ProgramWriter, Room, filled, pack_weights
from diamond_engine.runtime.cpu.translation import (
    is_translatable,
    write_actor_critic_encoder,
    write_reward_end_encoder,
    write_unet,
)
from diamond_engine.runtime.frames import Trunk

LARGE = 1 << 20
"""Fewest weights of a product for which the speed of reading them matters."""


class CompiledTrunk(nn.Module):
    """See ``Trunk``."""

    def __init__(self, plain: Trunk, kernels: Kernels) -> None:
        super().__init__()
        self._plain: Trunk | None = plain
        self._kernels = kernels
        self._program: Program | None = None

    def forward(self, noisy: Tensor, features: Tensor, modulation: Tensor) -> Tensor:
        b, channels, height, width = noisy.shape
        if self._plain is not None:
            self._program, self._plain = self._written(self._plain, height, width), None
        assert self._program is not None
        output = noisy.new_empty(b, height, width, filled(channels))
        pixels = features.permute(0, 2, 3, 1).contiguous()
        self._program.run([noisy.contiguous(), pixels, output], modulation)
        return output[..., :channels].permute(0, 3, 1, 2)

    def _written(self, plain: Trunk, height: int, width: int) -> Program:
        writer = ProgramWriter(self._kernels, plain.conv_noisy.weight.dtype, takes_over=True)
        noisy = writer.given(plain.conv_noisy.in_channels, height, width)
        features = writer.given(plain.conv_noisy.out_channels, height, width)
        output = writer.given(filled(plain.conv_out.out_channels), height, width)

        def first(out: Room) -> None:
            writer.convolve(plain.conv_noisy, writer.load(noisy), out, add=features)

        x = write_unet(writer, plain.unet, first, height, width)
        x = writer.normalise(x, plain.norm_out.norm, silu=True, border=1)
        writer.convolve(plain.conv_out, x, output, as_float=True)
        return writer.finish()


class CompiledEncoder(nn.Module):
    """The encoder of the reward/end model or of the actor-critic: ``(B, C, H, W)``, ``(B, M)`` or None → features.

    Features are ``(B, F)`` of a ``RewardEndEncoder``, ``(B, C', H', W')`` of an ``ActorCriticEncoder``.
    """

    def __init__(self, plain: RewardEndEncoder | ActorCriticEncoder, kernels: Kernels) -> None:
        super().__init__()
        self._plain: RewardEndEncoder | ActorCriticEncoder | None = plain
        self._is_flat = isinstance(plain, RewardEndEncoder)
        convolutions = [module for module in plain.modules() if isinstance(module, nn.Conv2d)]
        self._channels = None if self._is_flat else convolutions[-1].out_channels  # the other channels are zeros
        self._dtype = next(plain.parameters()).dtype
        self._kernels = kernels
        self._written: tuple[Program, Room] | None = None

    def forward(self, x: Tensor, modulation: Tensor | None = None) -> Tensor:
        if self._plain is not None:
            self._written, self._plain = self._write(self._plain, *x.shape[1:]), None
        assert self._written is not None
        program, room = self._written
        features = x.new_empty(len(x), room.height, room.width, room.channels, dtype=self._dtype)
        program.run([x.float().contiguous(), features], modulation)
        images = features[..., : self._channels].permute(0, 3, 1, 2)
        return images.flatten(1) if self._is_flat else images

    def _write(
        self, plain: RewardEndEncoder | ActorCriticEncoder, channels: int, height: int, width: int
    ) -> tuple[Program, Room]:
        writer = ProgramWriter(self._kernels, self._dtype, takes_over=True)
        x = writer.given(channels, height, width)
        if isinstance(plain, RewardEndEncoder):
            y = write_reward_end_encoder(writer, plain, x)
        else:
            y = write_actor_critic_encoder(writer, plain, x)
        out = writer.given(y.channels, y.height, y.width)
        writer.move(y, out)
        return writer.finish(), out


class CompiledLinear(nn.Module):
    """``nn.Linear``: ``(…, F)`` → ``(…, M)``. Its weights are packed once, and read once a call by all threads.

    The rows are treated as the pixels of an image.
    """

    def __init__(self, plain: nn.Linear, kernels: Kernels) -> None:
        super().__init__()
        self._kernels, self._dtype = kernels, plain.weight.dtype
        self._packed = pack_weights(plain.weight[:, :, None, None], plain.in_features, kernels.max_vectors)
        self._bias = plain.bias.detach().float()
        self._sizes = plain.in_features, plain.out_features
        self._programs: dict[int, Program] = {}

    def forward(self, x: Tensor) -> Tensor:
        rows = x.to(self._dtype).reshape(-1, self._sizes[0]).contiguous()
        if len(rows) not in self._programs:
            writer = ProgramWriter(self._kernels, self._dtype)
            given, out = (writer.given(size, 1, len(rows)) for size in self._sizes)
            writer.multiply(self._packed, self._bias, given, out)
            self._programs[len(rows)] = writer.finish()
        products = rows.new_empty(len(rows), self._sizes[1])
        self._programs[len(rows)].run([rows[None], products[None]])
        return products.reshape(*x.shape[:-1], -1)


class CompiledCell(nn.Module):
    """``nn.LSTMCell`` with bias, as one product: ``(B, F)`` and the state (h, c), ``(B, D)`` each → the new state.

    The weights are packed once and read once a call for any batch, which is treated as the width of an image.
    """

    def __init__(self, plain: nn.LSTMCell, kernels: Kernels) -> None:
        super().__init__()
        self._kernels, self._dtype = kernels, plain.weight_ih.dtype
        weight = torch.cat((plain.weight_ih, plain.weight_hh), dim=1)[:, :, None, None]
        self._packed = pack_weights(weight, weight.shape[1], kernels.max_vectors)
        self._bias = plain.bias_ih.detach().float() + plain.bias_hh.detach().float()
        self._programs: dict[int, Program] = {}

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        before, cell = state[0].contiguous(), state[1].clone(memory_format=torch.contiguous_format)
        b = len(x)
        if b not in self._programs:
            self._programs[b] = self._written(b, x.shape[1], cell.shape[1])
        hidden = torch.empty_like(cell)
        self._programs[b].run([tensor[None] for tensor in (x.to(self._dtype).contiguous(), before, cell, hidden)])
        return hidden, cell

    def _written(self, batch: int, inputs: int, size: int) -> Program:
        writer = ProgramWriter(self._kernels, self._dtype)
        x, before, cell, hidden = (writer.given(channels, 1, batch) for channels in (inputs, size, size, size))
        joined = writer.room(inputs + size, 1, batch)
        writer.move(x, joined.columns(0, inputs))
        writer.move(before, joined.columns(inputs, size))
        gates = writer.room(4 * size, 1, batch, as_float=True)
        writer.multiply(self._packed, self._bias, joined, gates, as_float=True)
        writer.recur(gates, cell, hidden)
        return writer.finish()


class OneStepLSTM(nn.Module):
    """``nn.LSTM`` of one layer, batch first, step by step by a cell.

    ``(B, T, F)``, ``(1, B, D)`` twice or None → ``(B, T, D)`` and the new state.
    """

    def __init__(self, cell: nn.Module, size: int) -> None:
        super().__init__()
        self.cell, self._size = cell, size

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        zeros = x.new_zeros(len(x), self._size)
        hidden, cell = (zeros, zeros) if state is None else (state[0][0], state[1][0])
        outputs: list[Tensor] = []
        for step in x.unbind(1):
            hidden, cell = self.cell(step, (hidden, cell))
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), (hidden[None], cell[None])


def compiled_cell(plain: nn.LSTMCell, kernels: Kernels) -> nn.Module:
    """The cell on the kernels, or the cell itself if they do not support its size."""
    known = plain.hidden_size % LANES == 0 and (plain.input_size + plain.hidden_size) % 2 == 0
    return CompiledCell(plain, kernels) if known else plain


def cell_of(plain: nn.LSTM) -> nn.LSTMCell:
    """The cell of an LSTM of one layer. Torch's own LSTM packs its weights again at every call."""
    cell = nn.LSTMCell(plain.input_size, plain.hidden_size, device="meta")
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        setattr(cell, name, getattr(plain, f"{name}_l0"))
    return cell


def is_large(plain: nn.Linear) -> bool:
    """Whether a product gains from the kernels and has a size they support."""
    fits = plain.out_features % LANES == 0 and plain.in_features % 2 == 0
    return fits and plain.weight.numel() >= LARGE and "bias" in dict(plain.named_parameters())


def compile_for_cpu(network: nn.Module, kernels: Kernels) -> None:
    """Replaces in place all modules that the kernels can run: denoiser trunks, encoders, LSTMs, large products."""
    for name, child in network.named_children():
        if isinstance(child, nn.LSTM):
            setattr(network, name, OneStepLSTM(compiled_cell(cell_of(child), kernels), child.hidden_size))
        elif isinstance(child, nn.LSTMCell):
            setattr(network, name, compiled_cell(child, kernels))
        elif isinstance(child, nn.Linear) and is_large(child):
            setattr(network, name, CompiledLinear(child, kernels))
        elif isinstance(child, Trunk) and is_translatable(child):
            setattr(network, name, CompiledTrunk(child, kernels))
        elif isinstance(child, RewardEndEncoder | ActorCriticEncoder) and is_translatable(child):
            setattr(network, name, CompiledEncoder(child, kernels))
        else:
            compile_for_cpu(child, kernels)
