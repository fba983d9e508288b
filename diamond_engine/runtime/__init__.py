"""Where and how networks run: device, precision, and fast paths, each a rewrite of a plain one."""

from diamond_engine.runtime.cpu.building import kernels_are_built
from diamond_engine.runtime.devices import available_devices, device_name, wait_for
from diamond_engine.runtime.diffusion_step import DiffusionMemory, DiffusionStep
from diamond_engine.runtime.frame_step import FrameStep, Memory, OnStage
from diamond_engine.runtime.frames import FrameDenoiser
from diamond_engine.runtime.kernel_swap import KernelSwap, choose_at_once
from diamond_engine.runtime.owner import DTYPES, Runtime
from diamond_engine.runtime.threads import ThreadChoice
from diamond_engine.runtime.token_step import TokenMemory, TokenStep

__all__ = [
    "DTYPES",
    "DiffusionMemory",
    "DiffusionStep",
    "FrameDenoiser",
    "FrameStep",
    "KernelSwap",
    "Memory",
    "OnStage",
    "Runtime",
    "ThreadChoice",
    "TokenMemory",
    "TokenStep",
    "available_devices",
    "choose_at_once",
    "device_name",
    "kernels_are_built",
    "wait_for",
]
