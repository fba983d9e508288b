"""Starts at once on torch's kernels and swaps to the CPU's own, which are built in the background."""

from __future__ import annotations

from dataclasses import replace

from diamond_engine.runtime.cpu.building import BackgroundBuild, has_compiler, kernels_are_built
from diamond_engine.runtime.cpu.kernels import Kernels, load_kernels
from diamond_engine.runtime.devices import choose_device
from diamond_engine.runtime.owner import Runtime


class KernelSwap:
    """A runtime on the CPU's own kernels that will replace one on torch's."""

    def __init__(self, plain: Runtime) -> None:
        """Starts to build the kernels."""
        self._plain = plain
        self._build: BackgroundBuild | None = BackgroundBuild()

    def poll(self) -> Runtime | None:
        """Returns the new runtime once, when it is ready, else None. After a failed build it is plain, with a note.

        Does not wait. Only the thread that owns the device may call it.
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
    """Like ``Runtime.choose``, but does not wait for a compiler. If one is needed, also returns the swap to come.

    Raises what ``Runtime.choose`` raises.
    """
    on_cpu = choose_device(device).type == "cpu"
    later = compile and on_cpu and has_compiler() and not kernels_are_built()
    runtime = Runtime.choose(device, dtype, compile=compile and not later)
    if not later:
        return runtime, None
    return replace(runtime, notes=(*runtime.notes, "kernels are being built")), KernelSwap(runtime)
