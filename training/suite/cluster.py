"""Runs on a cluster of machines with a shared disk, through Ray: one task a run."""

from __future__ import annotations

import logging
import time
from typing import Any

from diamond_engine.errors import DiamondError, UsageError
from training.suite.jobs import Job, Order, Outcome
from training.suite.machine import POLL_SECONDS

LOCAL = "local"


class Cluster:
    """A ``Place``: all machines of a Ray cluster, including those that join later.

    A run whose machine or worker dies is started again on another and continues from its last checkpoint.
    """

    def __init__(self, address: str, device: str, per_device: int | None) -> None:
        """``address``: of a running cluster, ``auto`` for the one of this machine, ``local`` to start one here.

        ``per_device``: runs at once on each GPU, or CPU cores to begin a ``local`` cluster with; None: 1. Raises
        ``UsageError`` if Ray is not installed or ``per_device`` would have no effect, ``DiamondError`` if there is no
        cluster.
        """
        self._ray = _connected(address, per_device or 1)
        resources = self._ray.cluster_resources()
        self._machines = sum(node["Alive"] for node in self._ray.nodes())
        on_gpus = device.partition(":")[0] != "cpu" and resources.get("GPU", 0) > 0
        if not on_gpus and per_device is not None and address != LOCAL:
            self._ray.shutdown()
            raise UsageError("--per-device is for GPUs: of its CPUs a Ray cluster offers cores, and each makes one run")
        per_device = per_device or 1
        self._needs = {"num_gpus": 1 / per_device, "num_cpus": 0} if on_gpus else {"num_cpus": 1}
        self._devices = f"{resources['GPU']:g} GPUs" if on_gpus else f"{resources.get('CPU', 0):g} CPU cores"
        self.slots = max(1, int(resources["GPU"] * per_device if on_gpus else resources.get("CPU", 0)))
        self._orders: dict[Any, Order] = {}

    def describe(self) -> str:
        """See ``Place.describe``."""
        return f"a Ray cluster of {self._machines} machine{'s' if self._machines > 1 else ''}, {self._devices}"

    def submit(self, order: Order) -> None:
        """See ``Place.submit``."""
        task = self._ray.remote(make).options(max_retries=order.retries, **self._needs)
        self._orders[task.remote(order)] = order

    def ended(self) -> list[tuple[Order, Outcome]]:
        """See ``Place.ended``."""
        over, _ = self._ray.wait(list(self._orders), num_returns=len(self._orders), timeout=POLL_SECONDS)
        return [(self._orders.pop(reference), self._outcome(reference)) for reference in over]

    def _outcome(self, reference: Any) -> Outcome:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.TaskCancelledError:
            return Outcome(False, "stopped")
        except self._ray.exceptions.RayError as error:
            return Outcome(False, str(error).strip().splitlines()[0])

    @property
    def busy(self) -> bool:
        """See ``Place.busy``."""
        return bool(self._orders)

    def stop(self) -> None:
        """See ``Place.stop``."""
        for reference in self._orders:
            self._ray.cancel(reference, force=False)

    def close(self) -> None:
        """See ``Place.close``."""
        self._ray.shutdown()


def _connected(address: str, workers: int) -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError("--ray needs Ray: pip install 'diamond-engine[ray]'") from error
    here = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **here)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DiamondError(f"no Ray cluster at {address!r} ({reason}): start one with 'ray start --head'") from error
    return ray


def make(order: Order) -> Outcome:
    """The task: makes a run and returns how it ended. When cancelled, it lets the run save and end first."""
    job = Job(order, {})
    try:
        return _awaited(job)
    except KeyboardInterrupt:
        job.stop()
        _awaited(job)
        raise


def _awaited(job: Job) -> Outcome:
    while (outcome := job.poll()) is None:
        time.sleep(POLL_SECONDS)
    return outcome
