"""Memory freed between blocks that stay goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from pathlib import Path
from training.runs.memory import release_freed_memory

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

blocks = [bytearray(b"x") * 100_000 for _ in range(2000)]
kept = blocks[::10] + [bytearray(b"x") * 100_000]  # the last one holds the heap's top
del blocks
before = resident()
assert release_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other C libraries return memory by themselves")
def test_memory_between_blocks_that_stay_is_released() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 100, "180 MB of 200 were freed"
