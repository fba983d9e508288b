"""The kernels of the machine that tests, and how many threads run them."""

import os
from collections.abc import Iterator

import pytest
import torch

from diamond_engine.runtime.kernels import Kernels, KernelsUnavailableError, load_kernels


@pytest.fixture(scope="session")
def kernels() -> Kernels:
    """Built for this machine, or found in its cache."""
    try:
        return load_kernels()
    except KernelsUnavailableError as reason:
        if "CI" in os.environ:
            raise
        pytest.skip(f"no kernels here: {reason}")


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Threads that torch, and with it the kernels, may use."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
