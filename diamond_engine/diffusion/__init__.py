"""EDM (Karras et al., 2022) as used by the paper: preconditioning and loss, noise schedule, sampler; and DDPM."""

from diamond_engine.diffusion.ddpm import UniformSteps
from diamond_engine.diffusion.denoiser import Denoiser, DenoiserConfig, Segment, denoiser_loss
from diamond_engine.diffusion.levels import SamplerLevels, SigmaDistribution
from diamond_engine.diffusion.sampler import DDPM, DIFFUSIONS, EDM, SamplerConfig, sample
from diamond_engine.diffusion.schedule import karras_schedule

__all__ = [
    "DDPM",
    "DIFFUSIONS",
    "EDM",
    "Denoiser",
    "DenoiserConfig",
    "SamplerConfig",
    "SamplerLevels",
    "Segment",
    "SigmaDistribution",
    "UniformSteps",
    "denoiser_loss",
    "karras_schedule",
    "sample",
]
