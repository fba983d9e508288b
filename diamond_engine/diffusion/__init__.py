"""EDM (Karras et al., 2022) as used by the paper: preconditioning and loss, noise schedule, sampler."""

from diamond_engine.diffusion.denoiser import Denoiser, DenoiserConfig, Segment, SigmaDistribution, denoiser_loss
from diamond_engine.diffusion.sampler import SamplerConfig, sample
from diamond_engine.diffusion.schedule import karras_schedule

__all__ = [
    "Denoiser",
    "DenoiserConfig",
    "SamplerConfig",
    "Segment",
    "SigmaDistribution",
    "denoiser_loss",
    "karras_schedule",
    "sample",
]
