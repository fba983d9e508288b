"""Processes that train one network together (PyTorch's DDP), started by ``torchrun`` on one machine or several.

A batch is always drawn as a whole: every process draws the same one from the same random state, and computes its own
parts of it. So the result depends neither on the number of processes nor on the size of the parts. All processes have
the same state, and a run saved by the first one continues with any number of them.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.runtime.devices import communication_backend, numbered_device

LOST = "Connection closed", "Connection reset", "Broken pipe", "Timed out", "timed out"
"""Parts of gloo's messages when another process is gone."""


@dataclass(frozen=True)
class Workers:
    """The processes of a training, seen from one of them."""

    rank: int = 0
    """Number of this process among all."""
    count: int = 1
    """Number of processes."""
    local_rank: int = 0
    """Number of this process on its machine."""
    micro_batch: int | None = None
    """Most samples that a process computes at once; gradients of more are accumulated."""

    @classmethod
    def of_environment(cls, micro_batch: int | None = None) -> Workers:
        """The processes that ``torchrun`` started; one without it."""
        rank, count, local = (int(os.environ.get(name, default)) for name, default in TORCHRUN.items())
        return cls(rank, count, local, micro_batch)

    @property
    def leads(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device of this process for the requested ``name``: each takes its own GPU."""
        return name if self.count == 1 else str(numbered_device(name, self.local_rank))

    def parts(self, batch_size: int) -> list[slice]:
        """This process's parts of a batch, of equal size, to compute one after the other.

        Raises ``UsageError`` if the batch cannot be split evenly.
        """
        if batch_size % self.count:
            raise UsageError(f"a batch of {batch_size} cannot be shared evenly by {self.count} processes")
        own = batch_size // self.count
        size = next(size for size in range(min(own, self.micro_batch or own), 0, -1) if own % size == 0)
        first = self.rank * own
        return [slice(start, start + size) for start in range(first, first + own, size)]

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Context in which the processes can communicate; waits for all of them.

        Communication errors become a ``DiamondError`` of one line.
        """
        if self.count == 1:
            yield
            return
        try:
            dist.init_process_group(communication_backend(device))
            yield
            dist.barrier()
            gc.collect()  # DDP's reference cycles hold the group; its threads must end before Python does
        except RuntimeError as error:
            if isinstance(error, dist.DistError) or any(sign in str(error) for sign in LOST):
                raise DiamondError(
                    f"process {self.rank} of {self.count} lost another one: run the same command again to continue "
                    "from the last checkpoint"
                ) from error
            raise
        except BaseException:  # Ctrl-C and the like stop all of them after the same update
            gc.collect()
            raise
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()

    def wrapped(self, network: nn.Module) -> nn.Module:
        """A module that calls its argument and averages the gradients of ``network`` over the processes."""
        computation = _Computation(network)
        return computation if self.count == 1 else DistributedDataParallel(computation)

    def averaging(self, computation: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Context of one call of the ``wrapped`` module: gradients are averaged in the last call of an update."""
        if isinstance(computation, DistributedDataParallel) and not last:
            return computation.no_sync()
        return nullcontext()

    def mean(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scalars averaged over the processes."""
        if self.count == 1 or not values:
            return dict(values)
        stacked = torch.stack([value.float() for value in values.values()])
        dist.all_reduce(stacked)
        return dict(zip(values, stacked / self.count, strict=True))

    def greatest(self, *values: int) -> list[int]:
        """Elementwise maximum over the processes."""
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tensor.tolist()

    def check_alike(self, facts: Mapping[str, Any]) -> None:
        """Raises ``DiamondError`` if the processes do not agree on facts."""
        if self.count == 1:
            return
        everyones: list[Mapping[str, Any]] = [{}] * self.count
        dist.all_gather_object(cast(list[object], everyones), facts)
        for name, value in facts.items():
            if any(others[name] != value for others in everyones):
                found = ", ".join(str(others[name]) for others in everyones)
                raise DiamondError(f"the {self.count} processes differ in {name} ({found}): they must be the same")


TORCHRUN = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
ALONE = Workers()


class _Computation(nn.Module):
    """DDP averages gradients of the function it calls: here, any function of the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, function: Any) -> Any:
        return function()
