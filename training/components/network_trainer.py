"""What the trainers of one network share that learns from segments: its checkpoint and its file in a world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn

from training.components.optimisation import Optimiser
from training.data.segments import SegmentStream

Network = TypeVar("Network", bound=nn.Module)


class NetworkTrainer(Generic[Network]):
    """Keeps the weights, the optimiser and the random state; a subclass adds ``update``."""

    def __init__(
        self,
        network: Network,
        optimiser: Optimiser,
        segments: SegmentStream,
        export: Callable[[Path, Network, dict[str, Any]], None],
    ) -> None:
        self.network = network
        self.optimiser = optimiser
        self._segments = segments
        self._export = export

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser and random state."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": self._segments.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self._segments.load_state_dict(state["rng"])

    def export(self, folder: Path, provenance: dict[str, Any]) -> None:
        """Writes the network into a world folder."""
        self._export(folder, self.network, provenance)
