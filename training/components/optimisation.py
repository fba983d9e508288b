"""The update that all trainers share: autocast, backward, clip, warm-up, AdamW (Table 4 of the paper)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from diamond_engine.runtime import Runtime
from training.runs.procedure import Metrics
from training.runs.workers import ALONE, Workers

DECAYED_MODULES = (nn.Linear, nn.Conv2d, nn.LSTM, nn.LSTMCell)


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with linear warm-up; the defaults are the paper's."""

    learning_rate: float = 1e-4
    """Step size after warm-up."""
    weight_decay: float = 1e-2
    """Decoupled weight decay on weights of linear, convolution and LSTM layers."""
    epsilon: float = 1e-8
    """Adam's ε."""
    warmup_steps: int = 100
    """Updates over which the step size rises linearly from 0."""
    decay_steps: int = 0
    """Updates after which the step size has fallen to 0 along a half cosine; 0: no decay. Not in the paper."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this global norm."""


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Splits parameters: weights of linear, convolution and LSTM layers decay; biases, norms and embeddings do not."""
    decayed: list[nn.Parameter] = []
    exempt: list[nn.Parameter] = []
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            decays = isinstance(module, DECAYED_MODULES) and "weight" in name
            (decayed if decays else exempt).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": exempt, "weight_decay": 0.0}]


def step_size_factor(cfg: OptimiserConfig, step: int) -> float:
    """Factor of the step size after so many updates: warm-up, then a half cosine if it decays."""
    decay = 1.0 if cfg.decay_steps == 0 else (1 + math.cos(math.pi * min(1.0, step / cfg.decay_steps))) / 2
    return min(1.0, (step + 1) / max(1, cfg.warmup_steps)) * decay


class Optimiser:
    """AdamW over one network; ``update`` runs a loss function under autocast and takes one step."""

    def __init__(self, network: nn.Module, cfg: OptimiserConfig, runtime: Runtime, workers: Workers = ALONE) -> None:
        self.network = network
        self._workers = workers
        self._computation = workers.wrapped(network)
        self.cfg = cfg
        self.runtime = runtime
        self._adamw = torch.optim.AdamW(
            parameter_groups(network, cfg.weight_decay), lr=cfg.learning_rate, eps=cfg.epsilon, fused=True
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._adamw, partial(step_size_factor, cfg))

    def update(self, loss: Callable[[], tuple[Tensor, Metrics]], accumulation: int = 1) -> Metrics:
        """One step on the mean of ``accumulation`` calls of ``loss()``, one in memory at a time.

        Returns their mean metrics, ``loss`` and ``grad_norm`` as scalars. If several processes train the network,
        all of this is averaged over them.
        """
        self._adamw.zero_grad(set_to_none=True)
        means: Metrics = {}
        for call in range(accumulation):
            with self._workers.averaging(self._computation, last=call == accumulation - 1):
                with self.runtime.autocast():
                    total, metrics = self._computation(loss)
                (total / accumulation).backward()
            for name, value in {"loss": total.detach(), **metrics}.items():
                means[name] = means.get(name, 0.0) + value / accumulation
        grad_norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.cfg.max_grad_norm)
        self._adamw.step()
        self._schedule.step()
        return {**self._workers.mean(means), "grad_norm": grad_norm}

    @property
    def updates(self) -> int:
        """Steps taken so far."""
        return self._schedule.last_epoch

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue: Adam's moments and the schedule."""
        return {"adamw": self._adamw.state_dict(), "schedule": self._schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self._adamw.load_state_dict(state["adamw"])
        self._schedule.load_state_dict(state["schedule"])


class Ema:
    """Exponential moving average of a network's parameters, with warm-up so that early weights are forgotten."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = list(network.parameters())
        self._average = [p.detach().clone() for p in self._live] if decay > 0 else []
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average toward the current weights."""
        if self.decay > 0:
            self._updates += 1
            decay = min(self.decay, (1 + self._updates) / (10 + self._updates))
            for average, live in zip(self._average, self._live, strict=True):
                average.lerp_(live, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Context in which the network has the averaged weights (the live ones without an average)."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for live, average in zip(self._live, self._average, strict=False):
            kept = live.clone()
            live.copy_(average)
            average.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """The average and the number of updates."""
        return {"average": self._average, "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        for average, value in zip(self._average, state["average"], strict=True):
            average.copy_(value)
        self._updates = state["updates"]
