"""Starting at once on torch's kernels and going on with the CPU's own: they are built beside what runs meanwhile."""

from __future__ import annotations

from dataclasses import replace

from diamond_engine.runtime.cpu.building import BackgroundBuild, has_compiler, kernels_are_built
from diamond_engine.runtime.cpu.kernels import Kernels, load_kernels
from diamond_engine.runtime.devices import choose_device
from diamond_engine.runtime.owner import Runtime


class KernelSwap:
    """The better runtime that follows another one, which then is at an end."""

    def __init__(self, plain: Runtime) -> None:
        """Begins to build."""
        self._plain = plain
        self._build: BackgroundBuild | None = BackgroundBuild()

    def poll(self) -> Runtime | None:
        """The runtime to go on with, once, as soon as it is known; not compiled where that has failed, with a note.

        Waits for nothing, and is to be called by the thread that owns the device.
        """
        if self._build is None or not self._build.finished:
            return None
        build, self._build = self._build, None

        def load() -> Kernels:
            build.check()
            return load_kernels()

        return self._plain.with_kernels(load)


def choose_at_once(
    device: str = "auto", dtype: str = "auto", *, compile: bool = True
) -> tuple[Runtime, KernelSwap | None]:
    """What ``Runtime.choose`` chooses, without waiting for a compiler; where one is needed, what will follow it.

    Raises what ``Runtime.choose`` raises.
    """
    on_cpu = choose_device(device).type == "cpu"
    later = compile and on_cpu and has_compiler() and not kernels_are_built()
    runtime = Runtime.choose(device, dtype, compile=compile and not later)
    if not later:
        return runtime, None
    return replace(runtime, notes=(*runtime.notes, "kernels are being built")), KernelSwap(runtime)
